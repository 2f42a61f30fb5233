"""Weeks: what a whole one lets expect, by the 8 to 10 before it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalies.detection import outlier
from anomalies.detection.band import Band, around, over_dispersion
from anomalies.detection.history import DAY, WEEK, History
from anomalies.detection.prior import Prior

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

WHOLE_WEEKS, MOST_WEEKS = 8, 10  # of history, before weeks are judged, and from which


@dataclass(frozen=True, slots=True)
class Weeks:
    """Weeks from Monday 00:00 UTC that are to be judged, each with its band; all (n, w)."""

    starts: Floats  # (w,)
    observed: NDArray[np.int32]
    band: Band


def of_weeks(history: History, *, prior: Prior) -> Weeks:
    """Return the weeks that end after the earliest time to judge, with what the 8 to 10 weeks before let expect.

    `mu` is their mean, outliers weighing less; their over-dispersion by moments. A series that is younger than 8
    weeks has a mean of 0.

    Source: Farrington et al. (1996), JRSS A 159(3), which judges weeks.
    """
    hours, n = history.hours, len(history.entities)
    starts = np.arange(monday(float(np.min(history.judge_from))), min(history.until, hours.end), WEEK)
    mean, variance, known_days = (np.zeros((n, len(starts))) for _ in range(3))
    observed = np.zeros((n, len(starts)), dtype=np.int32)
    for number, start in enumerate(starts.tolist()):
        first = hours.index(start)
        observed[:, number] = hours.requests[:, max(0, first) : first + 168].sum(axis=1)
        rows = np.flatnonzero(observed[:, number])
        found = of_week(history, start, rows, prior.dispersion)
        mean[rows, number], variance[rows, number], known_days[rows, number] = found
    return Weeks(starts, observed, Band(mean, variance, known_days))


def of_week(history: History, start: float, rows: Rows, prior_dispersion: float) -> tuple[Floats, Floats, Floats]:
    """Return mean, variance and the days of history behind them of the week from that Monday on, each (m,)."""
    mean, variance, known_days = (np.zeros(len(rows)) for _ in range(3))
    first = history.hours.index(start)
    weeks = min(MOST_WEEKS, first // 168)
    age = np.clip((start - history.first_time[rows]) // WEEK, 0, max(weeks, 0))
    old = np.flatnonzero(age >= WHOLE_WEEKS)
    if not len(old):
        return mean, variance, known_days
    past = history.hours.requests[rows[old], first - 168 * weeks : first].reshape(len(old), weeks, 168).sum(axis=2)
    past, age = past.astype(np.float64), age[old]
    known = (np.arange(weeks)[None, :] >= weeks - age[:, None]).astype(np.float64)
    weight, dispersion = known, np.full(len(old), prior_dispersion)
    for _ in range(outlier.ROUNDS):
        level = (weight * past).sum(axis=1) / weight.sum(axis=1)
        means = known * level[:, None]
        dispersion = over_dispersion(known * outlier.winsorised(past, means, dispersion), means, prior_dispersion)
        weight = known * outlier.weight(past, means, dispersion)
    band = around(level, dispersion, np.zeros(len(old)), age, 7.0 * age)
    mean[old], variance[old], known_days[old] = band.mean, band.variance, band.history_days
    return mean, variance, known_days


def monday(time: float) -> float:
    """Return the Monday 00:00 UTC at or before that time; 1970-01-01 was a Thursday."""
    return float((time // DAY - (time // DAY + 3) % 7) * DAY)
