"""What counts to expect: a seasonal, over-dispersed baseline, fitted to each entity's own history.

The mean of hour t is `mu = S[slot] * D[weekday] * L`: S is a profile over 48 slots (hour of the local day, times work
or free day), D a factor by weekday, L the level of the last 72 hours. Past outliers weigh less, so that yesterday's
attack is not tomorrow's normal. The variance is `mu + a mu^2` with an over-dispersion `a` of the entity's own, shrunk
to a prior, plus the uncertainty of the mean itself, plus, for entities that did little so far, that events come in
sessions. Everything is vectorised over entities, and the baseline of a day
uses only what happened before that day (and, for the level, before that hour): in whatever order events arrive and
scans run, a bucket is judged by the same figures.

Source: Farrington et al. (1996), JRSS A 159(3); Noufaily et al. (2013), Statistics in Medicine 32(7).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from anomalies.detection.history import DAY, HOUR, History

Floats = NDArray[np.float64]

SLOT_PRIOR_HOURS = 0.5  # weight of the entity's level in each slot of the profile
# Hours seen in a slot at which its neighbours count half as much as at none. Of fourfold hours of agents with sharp
# office hours (400 an hour, over-dispersion 0.1), 0.59 are found where 0.52 were with neighbours that always count.
NEIGHBOUR_HOURS = 4.0
WEEKDAY_PRIOR_EVENTS = 20.0
LEVEL_PRIOR_EVENTS = 30.0
LEVEL_HOURS = 72
WINSOR_SD = 3.0
OUTLIER_RESIDUAL = 2.58
ROUNDS = 3
DISPERSION_PRIOR_WEIGHT = 50.0  # squared expected events
SESSION_PRIOR_EVENTS = 50.0
# Quantile of active buckets. With 0.98, up to 1.2e-4 of over-dispersed hours had p < 1e-5; with this, up to 6e-5.
USUAL_BURST = 0.995
TINY = 1e-9
# Of the silent: without it a few events after months of silence would be impossible rather than rare.
LEAST_EVENTS_PER_HOUR = 0.01


@dataclass(frozen=True, slots=True)
class Prior:
    """What is expected of an entity without a history.

    Its mean is Gamma(shape) around `events_per_hour`: 120 and 1/2 let it do some 250 in 5 minutes. Its variance is
    `mu (1 + session) + dispersion mu^2`: of an entity that hardly ever acts, a few events at once are one session, not
    a spike. The session's part fades as `SESSION_PRIOR_EVENTS / (SESSION_PRIOR_EVENTS + events known)`.
    """

    events_per_hour: float
    shape: float
    dispersion: float
    session: float  # events


PRIOR = Prior(events_per_hour=120.0, shape=0.5, dispersion=0.2, session=5.0)
YOUNG_DAYS = 3.0
FIT_DAYS = 60.0
FIVES_DAYS = 7  # from which the over-dispersion of 5-minute counts is estimated
MINUTES_DAYS = 2  # and of 1-minute counts


@dataclass(frozen=True, slots=True)
class Band:
    """Mean and variance of the count of each judged bucket, float64 (n, b); the history behind it in days."""

    mean: Floats
    variance: Floats
    history_days: Floats

    def tail(self, counts: NDArray[np.int32]) -> Floats:
        """Return P(count >= observed) under a negative binomial; 1 where the count is not above the mean."""
        p = np.ones(self.mean.shape)
        high = counts > self.mean
        if high.any():
            size, q = _parameters(self.mean[high], self.variance[high])
            p[high] = stats.nbinom.sf(counts[high] - 1, size, q)
        return p

    def quantile(self, probability: float) -> Floats:
        """Return the count that is not exceeded with that probability, (n, b)."""
        size, q = _parameters(self.mean, self.variance)
        return np.asarray(stats.nbinom.ppf(probability, size, q), dtype=np.float64)

    def until(self, buckets: int) -> "Band":
        """The band of the first buckets alone."""
        return Band(self.mean[:, :buckets], self.variance[:, :buckets], self.history_days[:, :buckets])

    def row(self, row: int) -> "Band":
        """The band of one entity, (1, b)."""
        one = slice(row, row + 1)
        return Band(self.mean[one], self.variance[one], self.history_days[one])

    def at(self, bucket: int) -> "Band":
        """The band in one bucket, (n, 1)."""
        one = slice(bucket, bucket + 1)
        return Band(self.mean[:, one], self.variance[:, one], self.history_days[:, one])


def _concatenated(bands: Sequence[Band]) -> Band:
    """Return the band of consecutive days as one."""
    return Band(
        np.concatenate([band.mean for band in bands], axis=1),
        np.concatenate([band.variance for band in bands], axis=1),
        np.concatenate([band.history_days for band in bands], axis=1),
    )


def _parameters(mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
    mean = np.maximum(mean, TINY)
    size = mean**2 / np.maximum(variance - mean, TINY * mean)
    return size, size / (size + mean)


@dataclass(frozen=True, slots=True)
class _Fit:
    profile: Floats  # (n, 48)
    weekday: Floats  # (n, 7)
    slot_weight: Floats  # (n, 48) hours behind each value of the profile
    dispersion: Floats  # (n,)


def _by_group(values: Floats, groups: NDArray[np.int16], size: int) -> Floats:
    """Sum (n, t) values by their group number into (n, size)."""
    n = values.shape[0]
    flat = groups.astype(np.int64) + size * np.arange(n)[:, None]
    sums = np.bincount(flat.ravel(), weights=values.ravel(), minlength=n * size)
    return np.asarray(sums.reshape(n, size), dtype=np.float64)


def _smooth(sums: Floats, own: Floats) -> Floats:
    """Add to each slot what its two neighbours say, less the more hours `own` the slot itself has seen; (n, 48)."""
    days = sums.reshape(-1, 2, 24)
    neighbours = np.roll(days, 1, axis=2) + np.roll(days, -1, axis=2)
    share = 0.5 * NEIGHBOUR_HOURS / (NEIGHBOUR_HOURS + own)
    return np.asarray(sums + share * neighbours.reshape(sums.shape))


def _rolling_level(counts: Floats, mean: Floats) -> Floats:
    """Return the level before each hour from the 72 hours before it, (n, t)."""

    def before(values: Floats) -> Floats:
        total = np.cumsum(values, axis=1)
        total = np.concatenate([np.zeros((len(values), 1)), total[:, :-1]], axis=1)
        total[:, LEVEL_HOURS:] -= total[:, :-LEVEL_HOURS].copy()
        return total

    return (before(counts) + LEVEL_PRIOR_EVENTS) / (before(mean) + LEVEL_PRIOR_EVENTS)


def _winsorised(counts: Floats, mean: Floats, dispersion: Floats) -> Floats:
    sd = np.sqrt(mean + dispersion[:, None] * mean**2)
    return np.asarray(np.minimum(counts, mean + WINSOR_SD * sd))


def _capped(counts: Floats, mean: Floats) -> Floats:
    """Cap counts at the entity's own busiest active buckets, so that one attack is not its usual burst."""
    if not counts.shape[1]:
        return counts
    ordered = np.sort(counts, axis=1)
    active = np.count_nonzero(ordered, axis=1)
    rank = ordered.shape[1] - active + np.floor(USUAL_BURST * np.maximum(active - 1, 0)).astype(np.intp)
    usual = ordered[np.arange(len(ordered)), np.minimum(rank, ordered.shape[1] - 1)]
    return np.asarray(np.minimum(counts, np.maximum(usual[:, None], mean)))


def _dispersion(counts: Floats, mean: Floats, known: Floats, prior: float) -> Floats:
    """Return the over-dispersion by moments, shrunk to the prior, (n,).

    Entities that act rarely but in bursts have little weight against the prior, and yet are far from Poisson: the
    estimate is at least the raw one less its standard error.
    """
    squares = np.maximum(np.sum(known * mean**2, axis=1), TINY)
    raw = np.sum(known * ((counts - mean) ** 2 - mean), axis=1) / squares
    error = np.sqrt(2 * squares + np.sum(known * mean, axis=1)) / squares
    shrunk = (np.maximum(raw, 0.0) * squares + prior * DISPERSION_PRIOR_WEIGHT) / (squares + DISPERSION_PRIOR_WEIGHT)
    return np.asarray(np.maximum(shrunk, raw - error))


def _fit(counts: Floats, known: Floats, slots: NDArray[np.int16], weekdays: NDArray[np.int16], prior: Prior) -> _Fit:
    """Fit profile, weekdays and over-dispersion to (n, h) hours, of which `known` (0 or 1) count."""
    n = counts.shape[0]
    weight = known.copy()
    dispersion = np.full(n, prior.dispersion)
    for _ in range(ROUNDS):
        hours = np.maximum(weight.sum(axis=1), TINY)
        level = (weight * counts).sum(axis=1) / hours
        seen = _by_group(weight, slots, 48)
        slot_sums = _smooth(_by_group(weight * counts, slots, 48), seen)
        slot_weight = _smooth(seen, seen) + SLOT_PRIOR_HOURS
        profile = (slot_sums + SLOT_PRIOR_HOURS * level[:, None]) / slot_weight
        seasonal = np.take_along_axis(profile, slots.astype(np.intp), axis=1)
        weekday = (_by_group(weight * counts, weekdays, 7) + WEEKDAY_PRIOR_EVENTS) / (
            _by_group(weight * seasonal, weekdays, 7) + WEEKDAY_PRIOR_EVENTS
        )
        usual = known * seasonal * np.take_along_axis(weekday, weekdays.astype(np.intp), axis=1)
        mean = usual * _rolling_level(_winsorised(counts, usual, dispersion), usual)
        dispersion = _dispersion(_capped(counts, mean), mean, known, prior.dispersion)
        safe = np.maximum(mean, TINY)
        residual = (
            1.5 * (counts ** (2 / 3) - safe ** (2 / 3)) / (safe ** (1 / 6) * np.sqrt(1 + dispersion[:, None] * safe))
        )
        weight = known * np.where(residual <= OUTLIER_RESIDUAL, 1.0, np.maximum(residual, 1.0) ** -2)
    return _Fit(profile, weekday, slot_weight, dispersion)


@dataclass(frozen=True, slots=True)
class Bands:
    """What was to be expected, at each resolution, from `start` on (seconds since the epoch, a UTC midnight)."""

    start: float
    by_width: dict[int, Band]  # seconds of a bucket: (n, b)


def of_days(history: History, *, prior: Prior, young_days: float, fit_days: float, quiet_days: bool = False) -> Bands:
    """Return the bands of all UTC days from the earliest that is to be judged to the last that has counts.

    Days on which nobody did anything have no spikes: their band is left at zero unless `quiet_days`.

    Raises ValueError if no day is to be judged.
    """
    start = float(np.min(history.judge_from) // DAY * DAY)
    days = [
        _of_day(history, day, prior, young_days, fit_days)
        if quiet_days or history.hours.requests[:, (hour := history.hours.index(day)) : hour + 24].any()
        else _nothing(history)
        for day in np.arange(start, min(history.until, history.hours.end), DAY).tolist()
    ]
    if not days:
        raise ValueError("no day is to be judged")
    return Bands(start, {width: _concatenated([day[width] for day in days]) for width in days[0]})


def _nothing(history: History) -> dict[int, Band]:
    n = len(history.entities)
    return {
        counts.width: Band(*(np.zeros((n, DAY // counts.width)) for _ in range(3)))
        for counts in (history.hours, history.fives)
    }


def _of_day(history: History, day: float, prior: Prior, young_days: float, fit_days: float) -> dict[int, Band]:
    """Return what was to be expected in one UTC day, at each resolution.

    Hours in which an entity is younger than `young_days` are judged by the prior, its mean being raised to what the
    entity did so far: whether that is its day or its night is not known yet, so it is no surer than the prior. A bucket
    of 5 minutes has a twelfth of its hour's mean, and an over-dispersion of its own, from the days before that
    `history.fives` holds.
    """
    last = history.hours.index(day) + 24
    first = max(0, last - 24 - round(fit_days * 24))
    starts = history.hours.start + HOUR * np.arange(first, last)
    counts = history.hours.requests[:, first:last].astype(np.float64)
    known = (starts[None, :] + HOUR > history.first_time[:, None]).astype(np.float64)
    hour_of_week = history.calendar.hour_of_week[:, first:last]
    slots = (hour_of_week % 24 + 24 * history.calendar.free[:, first:last]).astype(np.int16)
    weekdays = (hour_of_week // 24).astype(np.int16)

    past = slice(None, -24)
    fit = _fit(counts[:, past], known[:, past], slots[:, past], weekdays[:, past], prior)
    usual = np.take_along_axis(fit.profile, slots.astype(np.intp), axis=1)
    usual *= known * np.take_along_axis(fit.weekday, weekdays.astype(np.intp), axis=1)
    winsorised = _winsorised(counts, usual, fit.dispersion)
    mean = usual * _rolling_level(winsorised, usual)
    observations = np.take_along_axis(fit.slot_weight, slots.astype(np.intp), axis=1)

    age_days = np.maximum(starts[None, :] - history.first_time[:, None], 0.0) / DAY
    young = age_days < young_days
    so_far = np.cumsum(counts, axis=1) - counts
    hours_so_far = np.cumsum(known, axis=1) - known
    young_mean = np.maximum(prior.events_per_hour, so_far / np.maximum(hours_so_far, 1.0))

    today = slice(-24, None)
    mean = np.maximum(np.where(young, young_mean, mean), LEAST_EVENTS_PER_HOUR)[:, today]
    uncertainty = np.where(young, 1.0 / prior.shape, 0.0)[:, today]
    trusted = np.where(young, np.inf, observations)[:, today]
    days = np.minimum(age_days[:, today], fit_days)
    known_events = so_far[:, -24]
    session = prior.session * SESSION_PRIOR_EVENTS / (SESSION_PRIOR_EVENTS + known_events)

    def band(mean: Floats, dispersion: Floats, repeat: int) -> Band:
        spread = np.repeat(uncertainty, repeat, axis=1)
        counted = np.repeat(trusted, repeat, axis=1)
        excess = dispersion[:, None] * mean
        variance = mean * (1 + session[:, None]) + excess * mean + spread * mean**2 + mean * (1 + excess) / counted
        return Band(mean, variance, np.repeat(days, repeat, axis=1))

    fives_dispersion = _fives_dispersion(history, fit, usual, day, first, prior)
    return {
        history.hours.width: band(mean, fit.dispersion, 1),
        history.fives.width: band(np.repeat(mean, 12, axis=1) / 12, fives_dispersion, 12),
    }


def _fives_dispersion(history: History, fit: _Fit, usual: Floats, day: float, first: int, prior: Prior) -> Floats:
    """Return the over-dispersion of 5-minute counts in the days before, (n,): more than that of the hours."""
    fives = history.fives
    last = fives.index(day)
    days = min(FIVES_DAYS * DAY, last * fives.width) // DAY
    if not days:
        return np.maximum(fit.dispersion, prior.dispersion)
    past = slice(last - days * DAY // fives.width, last)
    hours = slice(history.hours.index(day) - days * 24 - first, history.hours.index(day) - first)
    mean = np.repeat(usual[:, hours], 12, axis=1) / 12
    known = (fives.starts[None, past] + fives.width > history.first_time[:, None]).astype(np.float64)
    capped = _capped(fives.requests[:, past].astype(np.float64), mean)
    return np.maximum(_dispersion(capped, mean, known, prior.dispersion), fit.dispersion)
