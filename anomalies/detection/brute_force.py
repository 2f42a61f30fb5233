"""Brute force in plain sight: what login attempts say without any statistics.

Three rules, each over the attempts of one address or one principal: many failures within an hour; many users tried
from one address within minutes; a success right after failures. The first two hold only where failures are at least
half of the attempts: a busy gateway, refused now and then, guesses nothing.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalies.detection.history import Attempts


@dataclass(frozen=True, slots=True)
class Rules:
    failures: int  # within an hour
    users: int  # from one address within `users_seconds`
    users_seconds: float
    failures_before_success: int  # in a row, within an hour
    share: float  # of failures among the attempts
    quiet_seconds: float  # without a failure, that end a spell


@dataclass(frozen=True, slots=True)
class Spell:
    """A run of failures that broke a rule; times in seconds since the epoch."""

    start: float  # of its first failure
    end: float  # of its last failure, or the success
    raised_at: float  # when the first rule was broken
    failures: int
    most_in_an_hour: int
    partners: tuple[str, ...]  # users tried, or addresses they were tried from, most frequent first
    sprayed: bool  # many users
    success_at: float | None  # of the first success after enough failures
    success_for: str


HOUR = 3600.0


def spells(attempts: Attempts, rules: Rules, *, count_users: bool) -> list[Spell]:
    """Return the spells in the attempts of one entity, by time.

    Failures belong to one spell while gaps are at most `quiet_seconds`, or while a rule holds over the hour before.
    """
    failed_at = attempts.times[attempts.failed]
    if not len(failed_at):
        return []
    parts = np.flatnonzero(np.diff(failed_at) > rules.quiet_seconds) + 1
    found = []
    for index in np.split(np.arange(len(failed_at)), parts):
        start, end = float(failed_at[index[0]]), float(failed_at[index[-1]])
        if (spell := _spell(attempts, rules, start, end, count_users)) is not None:
            found.append(spell)
    return found


def _spell(attempts: Attempts, rules: Rules, start: float, end: float, count_users: bool) -> Spell | None:
    near = (attempts.times > start - HOUR) & (attempts.times <= end + rules.quiet_seconds)
    times, failed, partners = attempts.times[near], attempts.failed[near], attempts.partners[near]
    failures = np.cumsum(failed)

    hour_ago = np.searchsorted(times, times - HOUR, side="right")
    at = np.arange(len(times))
    within: NDArray[np.int64] = failures - np.where(hour_ago > 0, failures[hour_ago - 1], 0)
    guessing = failed & (within >= rules.share * (at + 1 - hour_ago))
    mine = failed & (times >= start) & (times <= end)
    raised: list[float] = times[mine & guessing & (within >= rules.failures)][:1].tolist()

    sprayed = False
    if count_users:
        minutes_ago = np.searchsorted(times, times - rules.users_seconds, side="right")
        enough = failures - np.where(minutes_ago > 0, failures[minutes_ago - 1], 0) >= rules.users
        for last in np.flatnonzero(mine & guessing & enough).tolist():
            tried = slice(int(minutes_ago[last]), last + 1)
            if len(set(partners[tried][failed[tried]].tolist()) - {""}) >= rules.users:
                sprayed = True
                raised.append(float(times[last]))
                break

    success_at, success_for = None, ""
    last_success = np.concatenate([[-1], np.maximum.accumulate(np.where(failed, -1, at))[:-1]])
    in_a_row = at - 1 - np.maximum(last_success, hour_ago - 1)
    broke_in = np.flatnonzero(~failed & (times >= start) & (in_a_row >= rules.failures_before_success))
    if len(broke_in):
        success_at, success_for = float(times[broke_in[0]]), str(partners[broke_in[0]])
        raised.append(success_at)

    if not raised:
        return None
    names, counts = np.unique(partners[mine], return_counts=True)
    return Spell(
        start=start,
        end=max(end, success_at or end),
        raised_at=min(raised),
        failures=int(mine.sum()),
        most_in_an_hour=int(within[mine].max()),
        partners=tuple(str(names[i]) for i in np.argsort(-counts, kind="stable") if names[i]),
        sprayed=sprayed,
        success_at=success_at,
        success_for=success_for,
    )
