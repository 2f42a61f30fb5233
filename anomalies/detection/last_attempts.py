"""Last attempts: the requests by which those who act rarely are judged, whichever hours they were made in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anomalies.detection import failure_ratio
from anomalies.detection.failure_ratio import Limits
from anomalies.detection.history import DAY, HOUR, Counts, History
from anomalies.detection.screening import Mask

# So many requests at most, in so many days. Of agents with 2, 10 and 30 requests a day of whose next 15 to 40 then 50
# to 90 % are refused, 0.56, 0.65 and 0.63 are found (`method.refusals`), after 8, 1.1 and 0.3 days, each told once; by
# the last 50 alone 0.50, 0.37 and 0.31; by hours and 5 minutes alone none, none and 0.01. Whole days and weeks found
# 0.41, 0.48 and 0.56 of a like simulation at ten times the alpha, many of them when the week was over.
MOST_REQUESTS = (20, 50)
MOST_DAYS = 14  # with 30, 0.53, 0.65 and 0.63
# Of alpha, since each attempt is looked at many times: with all of it 4 and, where the rate differs a lot from day to
# day, 8 of 150 agents with 30 requests a day were found falsely within 30 days; with this none and 5.
ALPHA_SHARE = 0.1
RUN_DAYS = 45  # from which a spell may go on: so much of the history has 30 days and a spell's attempts before it


@dataclass(frozen=True, slots=True)
class LastAttempts:
    """The last attempts of a series at the end of an hour in which it was refused."""

    first: int  # hour of the first of them, by its number in `History.hours`,
    last: int  # and of the last one
    requests: int
    failures: int
    usual: float  # ratio of failures, 0..1,
    kappa: float  # and its steadiness, in requests
    p: float  # chance of so many failures


def spells(history: History, complete: Mask, limits: Limits) -> Iterator[tuple[int, list[LastAttempts]]]:
    """Yield the row and the last attempts of each spell in which those who act rarely were refused too often.

    `complete` are the hours to judge, (n, t). A spell lasts from the first of these refusals to the last one after
    which it is so. What began before the time to judge is told as a whole: a refusal belongs to one spell alone.
    """
    hours = history.hours
    due = complete & _rarely(hours)
    due[len(history.totals) :] = False
    for row in np.flatnonzero(due.any(axis=1)).tolist():
        without = _without_hot_hours(history, row, limits)
        if not _hot(history, row, without, np.flatnonzero(due[row]), limits):
            continue
        until = int(np.flatnonzero(due[row])[-1])
        earliest = max(0, int(np.flatnonzero(due[row])[0]) - 24 * RUN_DAYS)
        at = earliest + np.flatnonzero(_rarely(hours.of(np.array([row])))[0, earliest : until + 1])
        for run in _joined(_hot(history, row, without, at, limits)):
            if hours.starts[run[-1].last] + HOUR > history.judge_from[row]:
                yield row, run


def possible(hours: Counts, complete: Mask, limits: Limits) -> Mask:
    """Return the rows whose last attempts may be too many refusals, (n,), of a history that begins days ago only.

    `complete` are the hours to judge, (n, t).
    """
    due = complete & _rarely(hours)
    found = np.zeros(len(due), dtype=np.bool_)
    n, k = (np.cumsum(each[:, ::-1], axis=1)[:, ::-1] for each in (hours.requests, hours.failures))
    for hour in np.flatnonzero(due.any(axis=0)).tolist():
        after = [each[:, hour + 1 : hour + 2].sum(axis=1, keepdims=True) for each in (n, k)]
        requests, failures = (each[:, : hour + 1] - rest for each, rest in zip((n, k), after, strict=True))
        for most in MOST_REQUESTS:
            unknown = requests[:, 0] < most
            first = np.maximum((requests >= most).sum(axis=1) - 1, 0)[:, None]
            some = (np.take_along_axis(each, first, axis=1)[:, 0] for each in (requests, failures))
            found |= due[:, hour] & (unknown | limits.exceeded(*some))
    return found


def _rarely(hours: Counts) -> Mask:
    """Return the hours with a refusal that alone do not hold its last attempts."""
    return np.asarray((hours.failures > 0) & (hours.requests < max(MOST_REQUESTS)))


def _without_hot_hours(history: History, row: int, limits: Limits) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the requests and failures of each hour, 0 in those that are hot by themselves."""
    n, k = (counts[row].astype(np.int64) for counts in (history.hours.requests, history.hours.failures))
    for hour in np.flatnonzero(limits.possible(n, k)).tolist():
        if _judged(history, row, hour, hour, n[hour], k[hour], limits):
            n[hour] = k[hour] = 0
    return n, k


def _hot(
    history: History,
    row: int,
    counts: tuple[NDArray[np.int64], NDArray[np.int64]],
    at: NDArray[np.intp],
    limits: Limits,
) -> list[LastAttempts]:
    """Return the last attempts at the ends of these hours where they are hot, the fewest that are."""
    sums = [np.concatenate([[0], np.cumsum(each)]) for each in counts]
    found: dict[int, LastAttempts] = {}
    strict = replace(limits, alpha=ALPHA_SHARE * limits.alpha)
    for most in sorted(MOST_REQUESTS, reverse=True):
        first = np.searchsorted(sums[0], sums[0][at + 1] - most, side="right") - 1
        first = np.maximum(first, np.maximum(at + 1 - 24 * MOST_DAYS, 0))
        first = np.searchsorted(sums[0], sums[0][first], side="right") - 1  # the hour of the first of them
        n, k = (each[at + 1] - each[first] for each in sums)
        for i in np.flatnonzero(limits.possible(n, k) & (first < at)).tolist():
            if hot := _judged(history, row, int(first[i]), int(at[i]), n[i], k[i], strict):
                found[hot.last] = hot
    return [found[hour] for hour in sorted(found)]


def _judged(
    history: History, row: int, first: int, last: int, n: np.int64, k: np.int64, limits: Limits
) -> LastAttempts | None:
    """Return the attempts of those hours if k of n are too many, by what was usual before the day of the first."""
    day = float(history.hours.starts[first] // DAY * DAY)
    ratio, kappa = failure_ratio.usual(history, np.array([row]), day, limits)
    requests, failures = np.array([n]), np.array([k])
    p = failure_ratio.tail(requests, failures, ratio, kappa)
    if p[0] < limits.alpha and limits.exceeded(requests, failures, ratio)[0]:
        return LastAttempts(first, last, int(n), int(k), float(ratio[0]), float(kappa[0]), float(p[0]))
    return None


def _joined(hot: Sequence[LastAttempts]) -> list[list[LastAttempts]]:
    """Join those that share attempts."""
    runs: list[list[LastAttempts]] = []
    for one in hot:
        if runs and one.first <= runs[-1][-1].last:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs
