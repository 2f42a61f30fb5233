"""What counts to expect: a seasonal, over-dispersed baseline, fitted to each series' own history.

The mean of hour t is `mu = S[slot] * D[weekday] * R * L`: S is a profile over 48 slots (hour of the local day, times
work or free day), D a factor by weekday, R a level that the series moved to for good, L the level of the last 72 hours.
Past outliers weigh less, so that yesterday's attack is not tomorrow's normal. The variance is `mu + a mu^2` with an
over-dispersion `a` of the series' own at each resolution, shrunk to a prior, plus the uncertainty of the mean itself,
plus, for series that did little so far, that events come in sessions. A day or week has the sum of its hours.

Everything is vectorised over series, and the baseline of a day uses only what happened before that day (and, for the
level, before that hour): in whatever order events arrive and scans run, a bucket is judged by the same figures.

Source: Farrington et al. (1996), JRSS A 159(3); Noufaily et al. (2013), Statistics in Medicine 32(7).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from anomalies.detection.history import DAY, HOUR, Counts, History, Peers
from anomalies.detection.lateness import SETTLED_DAYS
from anomalies.detection.screening import Records

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

VERSION = 1  # of what is kept for the scans of a day
MINUTE, FIVE_MINUTES, WEEK = 60, 300, 7 * DAY
RESOLUTIONS = (MINUTE, FIVE_MINUTES, HOUR, DAY, WEEK)

SLOT_PRIOR_HOURS = 0.5  # weight of the series' level in each slot of the profile
# Hours seen in a slot at which its neighbours count half as much as at none. Of fourfold hours of agents with sharp
# office hours (400 an hour, over-dispersion 0.1), 0.59 are found where 0.52 were with neighbours that always count.
NEIGHBOUR_HOURS = 4.0
WEEKDAY_PRIOR_EVENTS = 20.0
LEVEL_PRIOR_EVENTS = 30.0
# With 48 hours F1 was lower by .002 (Poisson) to .006 (strong drift), with 24 by up to .022 (contaminated).
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

# Of 80 series each whose level tripled for good (`method.changes`), 1.00 to 1.08 anomalies a series were raised where
# it never rests and 1.01 to 1.13 where it keeps office hours, with over-dispersions of 0, 0.05 and 0.2; of those that
# fell silent, 1.00 and 1.06. None was missed, and of spikes on the new level 159 of 160 were found (99 at 0.2). The
# further ones: nights of a weekend that begin the change more than a day before Monday tells, and single hours of a
# week later. Before what settles was told as one (`deviation`), it were 1.00 to 1.43, 1.13 to 1.38, 1.20 and 1.36.
# A level that moved for good: at least twice (or half) the usual one, in hours that hold most of what was expected.
SHIFT_RATIO = 2.0
SHIFT_HOUR_RATIO = 1.5  # of a single hour that counts as moved
SHIFT_SHARE = 0.7
SHIFT_EVENTS = 10.0  # expected at least, to speak of a level,
SHIFT_DAY_SHARE = 0.5  # and at least so much of a mean day's events: a weekend says nothing of the week
SHIFT_SD = 2.0  # by which the level surely exceeds `SHIFT_HOUR_RATIO`
LEAST_LEVEL = 1e-3  # of the silent
SHIFT_DAYS = 2  # from which it is the usual one in both directions; before, either level is usual

WHOLE_DAYS = 28.0  # of history, before days are judged
WHOLE_WEEKS, MOST_WEEKS = 8, 10  # of history, before weeks are judged, and from which

# The tenant's own level informs a newcomer's prior, by what is settled.
TENANT_DAYS = 28
LEAST_TENANT_DAYS = 7
# What the members of its group did in these days informs it more, the more of them there are: so many of whom much is
# known weigh as much as the tenant, and of one who is known for so many hours half of what it is worth is known.
# Of newcomers of groups of 10 (`method.newcomers`, seeds 1 to 3, 600 of them, 300 spikes of 10 to 20 times),
# F1 is .271 with 11 false alarms by the tenant alone, .471 and none with 1, .455 with 2, .399 with 4; of groups of 2,
# .245 and 9, .490 and none, .396 and 1, .309 and 2. With 0.5 F1 is higher yet (.495, .566), but where members differ
# e-fold it has 5 false alarms instead of 4.
GROUP_PRIOR_MEMBERS = 1.0
GROUP_PRIOR_HOURS = 72.0
LEAST_PRIOR_SHARE = 0.25  # of the configured prior, that a quiet tenant leaves of it
TOGETHER = 128  # rows fitted at once: their arrays stay in the cache


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
YOUNG_DAYS, MOST_YOUNG_DAYS = 3.0, 30
FIT_DAYS = 60.0
FIVES_DAYS = 7  # from which the over-dispersion of 5-minute counts is estimated
MINUTES_DAYS = 2  # and of 1-minute counts
_FINE_DAYS = {FIVE_MINUTES: FIVES_DAYS, MINUTE: MINUTES_DAYS}


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

    def lower_tail(self, counts: NDArray[np.int32]) -> Floats:
        """Return P(count <= observed); 1 where the count is not below the mean."""
        p = np.ones(self.mean.shape)
        low = counts < self.mean
        if low.any():
            size, q = _parameters(self.mean[low], self.variance[low])
            p[low] = stats.nbinom.cdf(counts[low], size, q)
        return p

    def quantile(self, probability: float) -> Floats:
        """Return the count that is not exceeded with that probability, (n, b)."""
        size, q = _parameters(self.mean, self.variance)
        return np.asarray(stats.nbinom.ppf(probability, size, q), dtype=np.float64)

    def part(self, rows: slice, buckets: slice) -> Self:
        """Return the band of these rows and buckets alone."""
        return type(self)(self.mean[rows, buckets], self.variance[rows, buckets], self.history_days[rows, buckets])


def _parameters(mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
    mean = np.maximum(mean, TINY)
    size = mean**2 / np.maximum(variance - mean, TINY * mean)
    return size, size / (size + mean)


# What the days before a UTC day say of it, for one series: all of a baseline that the day itself does not change.
_OUTLOOK = np.dtype(
    [
        ("usual", "<f8", LEVEL_HOURS),  # mean of the hours before, but for their level
        ("base", "<f8", 24),  # mean of its own hours, but for their level and the one that the series moved to
        ("least", "<f8", 24),  # share of it without what its neighbours add to an hour
        ("weight", "<f8", 24),  # hours behind each mean
        ("dispersion", "<f8"),
        ("day_dispersion", "<f8"),
        ("moved", "<f8"),  # level that it moved to, 1 if it did not,
        ("moved_days", "<f8"),  # since when
        ("mean_day", "<f8"),  # events expected in one
        ("events", "<f8"),  # seen in the days that it is fitted to,
        ("hours", "<f8"),  # of which it is known in so many
        ("week_before", "<f8"),  # events of its week before it
        ("week_mean", "<f8"),
        ("week_variance", "<f8"),
        ("week_days", "<f8"),  # of history behind these
    ]
)


@dataclass(frozen=True, slots=True)
class _Clock:
    """The hours of a stretch of time on one calendar."""

    slots: NDArray[np.int64]  # (t,)
    weekdays: NDArray[np.int64]  # (t,)
    in_slot: Floats  # (t, 48), 1 where the hour is in the slot
    on_weekday: Floats  # (t, 7)

    @classmethod
    def of(cls, hour_of_week: NDArray[np.int16], free: NDArray[np.bool_]) -> Self:
        slots = hour_of_week.astype(np.int64) % 24 + 24 * free
        weekdays = hour_of_week.astype(np.int64) // 24
        return cls(slots, weekdays, np.eye(48)[slots], np.eye(7)[weekdays])


@dataclass(frozen=True, slots=True)
class _Fit:
    known: Floats  # (n, h) 1 from the hour of the first event on
    profile: Floats  # (n, 48)
    own_profile: Floats  # (n, 48) without its neighbours' part
    weekday: Floats  # (n, 7)
    slot_weight: Floats  # (n, 48) hours behind each value of the profile
    dispersion: Floats  # (n,)
    usual: Floats  # (n, h) mean of each past hour, but for the level of its last 72 hours
    level: Floats  # (n, h) that level
    moved: Floats  # (n,) the level that it moved to, 1 if it did not
    moved_days: NDArray[np.int64]  # (n,) since when


def _smooth(sums: Floats, own: Floats) -> Floats:
    """Add to each slot what its two neighbours say, less the more hours `own` the slot itself has seen; (n, 48)."""
    days = sums.reshape(-1, 2, 24)
    neighbours = np.roll(days, 1, axis=2) + np.roll(days, -1, axis=2)
    share = 0.5 * NEIGHBOUR_HOURS / (NEIGHBOUR_HOURS + own)
    return np.asarray(sums + share * neighbours.reshape(sums.shape))


def _before(values: Floats, hours: int) -> Floats:
    """Return the sum of the hours before each, (n, t)."""
    total = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=total[:, 1:])
    sums = total[:, :-1].copy()
    sums[:, hours:] -= total[:, : max(0, values.shape[1] - hours)]
    return sums


def _rolling_level(counts: Floats, mean: Floats) -> Floats:
    """Return the level before each hour from the 72 hours before it, (n, t)."""
    return (_before(counts, LEVEL_HOURS) + LEVEL_PRIOR_EVENTS) / (_before(mean, LEVEL_HOURS) + LEVEL_PRIOR_EVENTS)


def _winsorised(counts: Floats, mean: Floats, dispersion: Floats) -> Floats:
    sd = np.sqrt(mean * (1 + dispersion[:, None] * mean))
    return np.asarray(np.minimum(counts, mean + WINSOR_SD * sd))


def _usual_burst(counts: Floats) -> Floats:
    """Return the entity's own busiest active bucket, but for the few that are busier yet, (n,)."""
    if not counts.shape[1]:
        return np.zeros(len(counts))
    ordered = np.sort(counts, axis=1)
    active = np.count_nonzero(ordered, axis=1)
    rank = ordered.shape[1] - active + np.floor(USUAL_BURST * np.maximum(active - 1, 0)).astype(np.intp)
    return np.asarray(ordered[np.arange(len(ordered)), np.minimum(rank, ordered.shape[1] - 1)], dtype=np.float64)


def _capped(counts: Floats, mean: Floats, burst: Floats) -> Floats:
    """Cap counts at the usual burst, so that one attack is not part of what is usual."""
    return np.asarray(np.minimum(counts, np.maximum(burst[:, None], mean)))


def _dispersion(counts: Floats, mean: Floats, prior: float, weight: float = DISPERSION_PRIOR_WEIGHT) -> Floats:
    """Return the over-dispersion by moments, shrunk to the prior, (n,); of buckets not known the mean is 0.

    Entities that act rarely but in bursts have little weight against the prior, and yet are far from Poisson: the
    estimate is at least the raw one less its standard error.
    """
    squares = np.maximum(np.einsum("ij,ij->i", mean, mean), TINY)
    total = mean.sum(axis=1)
    off = counts - mean
    raw = (np.einsum("ij,ij->i", off, off) - total) / squares
    error = np.sqrt(2 * squares + total) / squares
    shrunk = (np.maximum(raw, 0.0) * squares + prior * weight) / (squares + weight)
    return np.asarray(np.maximum(shrunk, raw - error))


def _mean_day(usual: Floats, known: Floats) -> Floats:
    """Return the events expected in a mean day since the first event, (n,)."""
    return np.asarray(24 * usual.sum(axis=1) / np.maximum(known.sum(axis=1), 24.0))


def _moved(counts: Floats, usual: Floats, known: Floats, dispersion: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the level that each series moved to and has kept, 1 if it did not, and for how many days; both (n,).

    Of all stretches of whole days that end with the last one, that is the likeliest in which most hours, by what was
    expected of them, lie on one side, surely far off, the newest ones too.
    """
    n = len(counts)
    level, days = np.ones(n), np.zeros(n, dtype=np.int64)
    if not counts.shape[1]:
        return level, days

    def since(values: Floats) -> Floats:
        """Sum of each day and all later ones, the shortest stretch first."""
        return np.cumsum(values.reshape(len(values), -1, 24).sum(axis=2)[:, ::-1], axis=1)

    seen, expected = since(counts), since(usual)
    ratio = seen / np.maximum(expected, TINY)
    a_day = _mean_day(usual, known)[:, None]
    busy = np.maximum(np.minimum(SHIFT_EVENTS, SHIFT_DAY_SHARE * a_day), TINY)
    newest = np.argmax(expected >= busy, axis=1)
    far = (ratio >= SHIFT_RATIO) | (ratio <= 1 / SHIFT_RATIO)
    enough = expected >= np.maximum(SHIFT_EVENTS, SHIFT_DAY_SHARE * a_day)
    rows = np.flatnonzero((far & enough).any(axis=1))
    if not len(rows):
        return level, days
    n = len(rows)
    counts, usual, dispersion, newest = counts[rows], usual[rows], dispersion[rows], newest[rows]
    seen, expected, ratio, enough = seen[rows], expected[rows], ratio[rows], enough[rows]
    noise = SHIFT_SD * np.sqrt(seen + 1 + dispersion[:, None] * ratio**2 * since(usual**2))
    likelier = seen * np.log(np.maximum(ratio, TINY)) - (seen - expected)
    best = np.zeros(n)
    for up in (True, False):
        side = counts >= SHIFT_HOUR_RATIO * usual if up else SHIFT_HOUR_RATIO * counts <= usual
        share = since(usual * side) / np.maximum(expected, TINY)
        if up:
            holds = (ratio >= SHIFT_RATIO) & (seen - noise > SHIFT_HOUR_RATIO * expected)
        else:
            holds = (ratio <= 1 / SHIFT_RATIO) & (SHIFT_HOUR_RATIO * (seen + noise) < expected)
        holds &= (share >= SHIFT_SHARE) & enough
        holds &= (share[np.arange(n), newest] >= SHIFT_SHARE)[:, None]
        gain = np.where(holds, likelier, 0.0)
        longest = np.argmax(gain, axis=1)
        better = gain[np.arange(n), longest] > best
        best = np.where(better, gain[np.arange(n), longest], best)
        level[rows[better]] = ratio[np.arange(n), longest][better]
        days[rows[better]] = longest[better] + 1
    return np.maximum(level, LEAST_LEVEL), days


def _fit(counts: Floats, known: Floats, clock: _Clock, prior_dispersion: float) -> _Fit:
    """Fit profile, weekdays, level and over-dispersion to (n, h) hours of whole days; `known` is 0 or 1."""
    n, h = counts.shape
    hour = np.arange(h)
    weight, exposure = known, known
    dispersion = np.full(n, prior_dispersion)
    burst = _usual_burst(counts)
    moved, days = np.ones(n), np.zeros(n, dtype=np.int64)
    for number in range(ROUNDS):
        weighted = weight * counts
        level = weighted.sum(axis=1) / np.maximum(exposure.sum(axis=1), TINY)
        seen = exposure @ clock.in_slot
        slot_weight = _smooth(seen, seen) + SLOT_PRIOR_HOURS
        sums, prior_sum = weighted @ clock.in_slot, SLOT_PRIOR_HOURS * level[:, None]
        profile = (_smooth(sums, seen) + prior_sum) / slot_weight
        seasonal = profile[:, clock.slots]
        weekday = (weighted @ clock.on_weekday + WEEKDAY_PRIOR_EVENTS) / (
            (exposure * seasonal) @ clock.on_weekday + WEEKDAY_PRIOR_EVENTS
        )
        usual = known * seasonal * weekday[:, clock.weekdays]
        if number:  # before, outliers weigh as much as all else
            moved, days = _moved(counts, usual, known, dispersion)
        scale = np.where(hour >= h - 24 * days[:, None], moved[:, None], 1.0) if days.any() else np.ones((1, 1))
        usual = usual * scale
        lately = _rolling_level(_winsorised(counts, usual, dispersion), usual)
        mean = usual * lately
        dispersion = _dispersion(_capped(counts, mean, burst), mean, prior_dispersion)
        weight = known * _outlier_weight(counts, mean, dispersion)
        exposure = weight * scale
    own_profile = (sums + prior_sum) / (seen + SLOT_PRIOR_HOURS)
    return _Fit(known, profile, own_profile, weekday, slot_weight, dispersion, usual, lately, moved, days)


def _outlier_weight(counts: Floats, mean: Floats, dispersion: Floats) -> Floats:
    """Return 1, or r^-2 where the Anscombe residual r exceeds `OUTLIER_RESIDUAL`, (n, t)."""
    weight = np.ones(counts.shape)
    safe = np.maximum(mean, TINY)
    # r <= (y - mu) / sd, so that only what is far off needs its roots.
    sd = np.sqrt(safe * (1 + dispersion[:, None] * safe))
    far = np.nonzero(counts - safe > OUTLIER_RESIDUAL * sd)
    y, mu = counts[far], safe[far]
    residual = 1.5 * (y ** (2 / 3) - mu ** (2 / 3)) / (mu ** (1 / 6) * np.sqrt(1 + dispersion[far[0]] * mu))
    weight[far] = np.where(residual <= OUTLIER_RESIDUAL, 1.0, np.maximum(residual, 1.0) ** -2)
    return weight


class Bands:
    """What was to be expected at each resolution from `start` on, of the rows and days that were asked for.

    A series that has just moved to a new level has two usual ones: `high` is the higher, for spikes, `low` the lower,
    for drops. Where nothing was asked for, the mean is 0.
    """

    def __init__(self, history: History, start: float, days: int) -> None:
        n, t = len(history.entities), 24 * days
        self.history, self.start, self.days = history, start, days
        self.high, self.low = np.zeros((n, t)), np.zeros((n, t))
        self.young = np.zeros((n, t))  # 1 / shape of the prior, 0 from when the series has a baseline of its own
        self.least_fine_young = 0.0  # of 5 minutes and of minutes: a group's prior tells of hours alone
        self.seen = np.full((n, t), np.inf)  # hours behind the mean
        self.history_days = np.zeros((n, t))
        self.risen, self.fallen = (np.zeros((n, t), dtype=np.bool_) for _ in range(2))  # to a level that is now usual
        self.dispersion, self.session = np.zeros((n, days)), np.zeros((n, days))
        self.day_high, self.day_low = np.zeros((n, days)), np.zeros((n, days))
        self.day_dispersion, self.known_days = np.zeros((n, days)), np.zeros((n, days))
        self.level = np.ones((n, days))  # at the begin of the day, against all of the history
        self.lately: dict[int, list[tuple[Rows, Floats]]] = defaultdict(list)  # by day: usual means of the week before
        self.least_fine_dispersion = 0.0

    def hours(self, rows: Rows, *, up: bool = True) -> Band:
        """Return the band of the hours of these rows."""
        return self._band(rows, HOUR, self.dispersion[rows], up)

    def fine(self, width: int, rows: Rows, *, up: bool = True) -> Band:
        """Return the band of buckets of 1 or 5 minutes: the share of their hours, with an over-dispersion of their own.

        It comes from the days before that the history holds at that resolution, 7 of 5 minutes, 2 of minutes, and is
        at least that of the next coarser one.
        """
        return self._band(rows, width, self._fine_dispersion(width, rows), up)

    def whole_days(self, rows: Rows, *, up: bool = True) -> Band:
        """Return the band of the days of these rows; those without 28 days of history have a mean of 0."""
        mean = (self.day_high if up else self.day_low)[rows]
        return _with_variance(
            mean, self.day_dispersion[rows], self.session[rows], np.maximum(self.known_days[rows] / 3.5, 1.0),
            self.known_days[rows],
        )  # fmt: skip

    def _band(self, rows: Rows, width: int, dispersion: Floats, up: bool) -> Band:
        parts = HOUR // width
        mean = (self.high if up else self.low)[rows]
        by_hour = np.repeat(dispersion, 24, axis=1), np.repeat(self.session[rows], 24, axis=1)
        young = self.young[rows]
        if parts > 1:
            young = np.where(young > 0, np.maximum(young, self.least_fine_young), 0.0)
        band = _with_variance(
            mean / parts, by_hour[0] + young, by_hour[1], self.seen[rows], self.history_days[rows],
            spread=by_hour[0],
        )  # fmt: skip
        if parts == 1:
            return band
        return Band(*(np.repeat(each, parts, axis=1) for each in (band.mean, band.variance, band.history_days)))

    def _fine_dispersion(self, width: int, rows: Rows) -> Floats:
        coarser = self.dispersion[rows] if width == FIVE_MINUTES else self._fine_dispersion(FIVE_MINUTES, rows)
        counts = self.history.fives if width == FIVE_MINUTES else self.history.minutes
        found = np.maximum(coarser, self.least_fine_dispersion)
        parts, place = HOUR // width, {row: at for at, row in enumerate(rows.tolist())}
        for day, fitted in self.lately.items():
            last = counts.index(self.start + day * DAY)
            hours = 24 * int(min(_FINE_DAYS[width] * DAY, last * width) // DAY)
            for some, usual in fitted:
                mine = np.flatnonzero(np.isin(some, rows))
                if hours <= 0 or not len(mine):
                    continue
                at = [place[row] for row in some[mine].tolist()]
                mean = np.repeat(usual[mine, -hours:], parts, axis=1) / parts
                observed = counts.requests[some[mine], last - hours * parts : last].astype(np.float64)
                capped = _capped(observed, mean, _usual_burst(observed)) * (mean > 0)
                own = _dispersion(capped, mean, self.least_fine_dispersion)
                found[at, day] = np.maximum(own, coarser[at, day])
        return found


def _with_variance(
    mean: Floats, excess: Floats, session: Floats, seen: Floats, history_days: Floats, *, spread: Floats | None = None
) -> Band:
    own = excess if spread is None else spread
    variance = mean * (1 + session) + excess * mean**2 + mean * (1 + own * mean) / seen
    return Band(mean, variance, history_days)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the days before a UTC day let expect of it: a `screening.Outlook`."""

    dispersion: float  # of the prior
    fit_days: float

    @property
    def name(self) -> str:
        return f"baseline {VERSION} {self.dispersion} {self.fit_days}"

    @property
    def dtype(self) -> np.dtype[np.void]:
        return _OUTLOOK

    def of(self, history: History, day: float) -> Records:
        """Return it for all rows, (n,), that of the day's week with it."""
        found, _ = _foreseen(history, np.arange(len(history.entities)), day, self.dispersion, self.fit_days)
        week, hour = monday(day), history.hours.index(day)
        first = history.hours.index(week)
        found["week_before"] = history.hours.requests[:, max(0, first) : hour].sum(axis=1)
        found["week_mean"], found["week_variance"], found["week_days"] = _week(
            history, week, np.arange(len(found)), self.dispersion
        )
        return found


def of_outlook(history: History, outlook: Records, *, prior: Prior, young_days: float, fit_days: float) -> Bands:
    """Return the bands of the last day of a history, of which these days before it are known by their outlook alone.

    Those of newcomers are not to be relied on: what other agents do is not known here.
    """
    bands = Bands(history, history.hours.end - DAY, 1)
    bands.least_fine_dispersion, bands.least_fine_young = prior.dispersion, 1.0 / prior.shape
    totals = {history.entities[row]: row for row in history.totals}
    every = np.arange(len(history.entities), dtype=np.intp)
    for rows in (every[: len(totals)], every[len(totals) :]):
        if len(rows):
            _enter(
                bands,
                0,
                rows,
                outlook[rows],
                parents=np.array([totals[history.entities[row]] for row in rows.tolist()], dtype=np.intp),
                priors=[prior] * len(rows),
                prior=prior,
                young_days=young_days,
                fit_days=fit_days,
            )
    return bands


def of_days(
    history: History,
    *,
    prior: Prior,
    young_days: float,
    fit_days: float,
    since: float | None = None,
    rows: Rows | None = None,
    quiet_days: bool = False,
) -> Bands:
    """Return the bands of all UTC days from the earliest that is to be judged, or `since`, to the last with counts.

    On days on which a series did nothing it has no spikes: its band is left at zero unless `quiet_days`.

    Raises ValueError if no day is to be judged.
    """
    start = float(np.min(history.judge_from) // DAY * DAY) if since is None else since
    start = max(start, history.hours.start)
    days = np.arange(start, min(history.until, history.hours.end), DAY)
    if not len(days):
        raise ValueError("no day is to be judged")
    wanted = np.arange(len(history.entities)) if rows is None else rows
    bands = Bands(history, start, len(days))
    bands.least_fine_dispersion, bands.least_fine_young = prior.dispersion, 1.0 / prior.shape
    totals = {history.entities[row]: row for row in history.totals}
    groups = {peers.group: peers for peers in history.peers.values()}
    for number, day in enumerate(days.tolist()):
        hour = history.hours.index(day)
        active = history.hours.requests[wanted, hour : hour + 24].any(axis=1)
        todays = wanted if quiet_days else wanted[active]
        known = replace(prior, events_per_hour=_prior_level(history.tenant, day, prior))
        priors = {group: of_group(peers, day, known) for group, peers in groups.items()}
        # Totals come first: a new action is held against all that its agent does.
        for some in (todays[todays < len(history.totals)], todays[todays >= len(history.totals)]):
            if len(some):
                outlooks, usual = _foreseen(history, some, day, prior.dispersion, fit_days)
                bands.lately[number].append((some, usual))
                _enter(
                    bands,
                    number,
                    some,
                    outlooks,
                    parents=np.array([totals[history.entities[row]] for row in some.tolist()], dtype=np.intp),
                    priors=[_prior_of(history, row, priors, known) for row in some.tolist()],
                    prior=prior,
                    young_days=young_days,
                    fit_days=fit_days,
                )
    return bands


def _prior_of(history: History, row: int, by_group: Mapping[str, Prior], of_tenant: Prior) -> Prior:
    peers = history.peers.get(history.entities[row])
    return by_group[peers.group] if peers and row < len(history.totals) else of_tenant


def _alike(history: History, rows: Rows, hour: int, fit_days: float) -> Iterator[tuple[Rows, _Clock]]:
    """Yield rows that share a calendar, with the clock from the fit's begin to the day's end."""
    span = slice(max(0, hour - 24 * round(fit_days)), hour + 24)
    week, free = history.calendar.hour_of_week[:, span], history.calendar.free[:, span]
    by_calendar: dict[bytes, list[int]] = defaultdict(list)
    for row in rows.tolist():
        by_calendar[week[row].tobytes() + free[row].tobytes()].append(row)
    for alike in by_calendar.values():
        clock = _Clock.of(week[alike[0]], free[alike[0]])
        for first in range(0, len(alike), TOGETHER):
            yield np.array(alike[first : first + TOGETHER], dtype=np.intp), clock


def _foreseen(history: History, rows: Rows, day: float, dispersion: float, fit_days: float) -> tuple[Records, Floats]:
    """Return what the days before that day say of it, (m,), and the usual means of the 7 days before, (m, 168).

    What was fitted once is kept with the history: detectors share it.
    """
    known = history.fits.setdefault((dispersion, fit_days, day), {})
    names = [(history.entities[row], history.actions[row]) for row in rows.tolist()]
    missing = rows[[name not in known for name in names]]
    for some, clock in _alike(history, missing, history.hours.index(day), fit_days):
        fitted = _outlooks(history, some, day, clock, dispersion)
        for row, one, usual in zip(some.tolist(), *fitted, strict=True):
            known[history.entities[row], history.actions[row]] = one, usual
    found = [known[name] for name in names]
    return np.array([one for one, _ in found], dtype=_OUTLOOK), np.array([usual for _, usual in found])


def _outlooks(history: History, rows: Rows, day: float, clock: _Clock, dispersion: float) -> tuple[Records, Floats]:
    """Fit the baseline of one UTC day to what rows of one calendar did before it; as `_foreseen`."""
    last = history.hours.index(day) + 24
    span = slice(last - len(clock.slots), last)
    counts = history.hours.requests[rows, span.start : last - 24].astype(np.float64)
    starts = history.hours.start + HOUR * np.arange(span.start, span.stop)
    known = (starts[None, :] + HOUR > history.first_time[rows, None]).astype(np.float64)
    before = _Clock(clock.slots[:-24], clock.weekdays[:-24], clock.in_slot[:-24], clock.on_weekday[:-24])
    fit = _fit(counts, known[:, :-24], before, dispersion)
    found = np.zeros(len(rows), dtype=_OUTLOOK)
    usual = np.zeros((len(rows), 24 * FIVES_DAYS))
    hours = min(usual.shape[1], fit.usual.shape[1])
    usual[:, usual.shape[1] - hours :] = fit.usual[:, fit.usual.shape[1] - hours :]
    found["usual"] = usual[:, -LEVEL_HOURS:]
    today = clock.slots[-24:]
    found["base"] = known[:, -24:] * fit.profile[:, today] * fit.weekday[:, clock.weekdays[-24:]]
    # Beside the begin and end of office hours, smoothing expects more than there ever is: that would be a drop a day.
    # With it, 3.0 drops a day were found among 1,000 Poisson series without any; without, none.
    found["least"] = np.minimum(fit.own_profile / np.maximum(fit.profile, TINY), 1.0)[:, today]
    found["weight"] = fit.slot_weight[:, today]
    found["dispersion"], found["moved"], found["moved_days"] = fit.dispersion, fit.moved, fit.moved_days
    found["mean_day"] = _mean_day(fit.usual, fit.known)
    found["events"], found["hours"] = counts.sum(axis=1), fit.known.sum(axis=1)
    whole = (day - history.first_time[rows]) / DAY >= WHOLE_DAYS
    if whole.any():
        calm = _winsorised(counts, fit.usual * fit.level, fit.dispersion)
        by_day = (fit.usual.reshape(len(rows), -1, 24).sum(axis=2)) * fit.level[:, ::24]
        own = _dispersion(calm.reshape(len(rows), -1, 24).sum(axis=2), by_day, dispersion)
        found["day_dispersion"] = np.where(whole, own, 0.0)
    return found, usual


def _enter(
    bands: Bands,
    number: int,
    rows: Rows,
    outlook: Records,
    *,
    parents: Rows,
    priors: Sequence[Prior],
    prior: Prior,
    young_days: float,
    fit_days: float,
) -> None:
    """Enter what was to be expected of these rows in one UTC day; `priors` are those of newcomers, one a row.

    Hours in which an entity is younger than `young_days` are judged by its prior, the mean being raised to what the
    entity did so far: whether that is its day or its night is not known yet, so it is no surer than the prior. A new
    action of an agent is expected to be no more than all that the agent does. A bucket of 5 minutes has a twelfth of
    its hour's mean.
    """
    history = bands.history
    last = history.hours.index(bands.start + number * DAY) + 24
    counts = _lately(history.hours, rows, last, LEVEL_HOURS + 24)
    starts = bands.start + number * DAY + HOUR * np.arange(24, dtype=np.float64)
    first_time = history.first_time[rows, None]

    moved, settled = outlook["moved"], outlook["moved_days"] >= SHIFT_DAYS
    high = outlook["base"] * np.where(settled, moved, np.maximum(moved, 1.0))[:, None]
    low = outlook["base"] * outlook["least"] * np.where(settled, moved, np.minimum(moved, 1.0))[:, None]
    high_level, up = _levels(counts, outlook, high)
    low_level, down = _levels(counts, outlook, low)

    today = slice(24 * number, 24 * number + 24)
    age_days = np.maximum(starts[None, :] - first_time, 0.0) / DAY
    young = age_days < young_days
    if young.any():
        known = (starts[None, :] + HOUR > first_time).astype(np.float64)
        events = outlook["events"][:, None] + _before(counts[:, -24:], 24)
        so_far = events / np.maximum(outlook["hours"][:, None] + _before(known, 24), 1.0)
        of_all = bands.high[parents, today]
        level = np.array([each.events_per_hour for each in priors])[:, None]
        group = np.where((parents != rows)[:, None] & (of_all > 0), of_all, level)
        newcomer = np.maximum(group, so_far)
    else:
        newcomer = high
    mean = np.where(young, newcomer, high * np.maximum(high_level, up))
    bands.high[rows, today] = np.maximum(mean, LEAST_EVENTS_PER_HOUR)
    bands.low[rows, today] = np.where(young, 0.0, low * np.minimum(low_level, down))
    bands.young[rows, today] = np.where(young, np.array([1.0 / each.shape for each in priors])[:, None], 0.0)
    bands.seen[rows, today] = np.where(young, np.inf, outlook["weight"])
    bands.history_days[rows, today] = np.minimum(age_days, fit_days)
    bands.risen[rows, today] = (up > 1.0) | (moved > 1.0)[:, None]
    bands.fallen[rows, today] = (down < 1.0) | (moved < 1.0)[:, None]
    bands.dispersion[rows, number] = outlook["dispersion"]
    bands.session[rows, number] = prior.session * SESSION_PRIOR_EVENTS / (SESSION_PRIOR_EVENTS + outlook["events"])
    bands.level[rows, number] = np.maximum(moved, 1.0) * np.maximum(high_level, up)[:, 0]

    whole = age_days[:, 0] >= WHOLE_DAYS
    bands.known_days[rows, number] = np.where(whole, age_days[:, 0], 0.0)
    # By the level at its begin. With that of each hour, 9 of 80 over-dispersed series whose level tripled for good and
    # of which no hour alone was improbable were not found at all.
    bands.day_high[rows, number] = whole * high.sum(axis=1) * np.maximum(high_level, up)[:, 0]
    bands.day_low[rows, number] = whole * low.sum(axis=1) * np.minimum(low_level, down)[:, 0]
    bands.day_dispersion[rows, number] = np.where(whole, outlook["day_dispersion"], 0.0)


def _lately(hours: Counts, rows: Rows, last: int, wanted: int) -> Floats:
    """Return the counts of so many hours before that one, (m, wanted); 0 before the first."""
    counts = np.zeros((len(rows), wanted))
    there = min(last, wanted)
    counts[:, wanted - there :] = hours.requests[rows, last - there : last]
    return counts


def _levels(counts: Floats, outlook: Records, today: Floats) -> tuple[Floats, Floats]:
    """Return the level of today's hours, and the level that they moved to within a day; both (n, 24).

    The last is 1 unless the 24 hours before show a new level: then it is that of the last 12. `counts` are those of
    the hours of `outlook` and of today.
    """
    usual, dispersion = np.concatenate([outlook["usual"], today], axis=1), outlook["dispersion"]
    level = _rolling_level(_winsorised(counts, usual, dispersion), usual)[:, -24:]

    seen, expected = _before(counts, 24)[:, -24:], _before(usual, 24)[:, -24:]
    ratio = seen / np.maximum(expected, TINY)
    a_day = outlook["mean_day"] * np.minimum(outlook["moved"], 1.0)
    enough = expected >= np.maximum(SHIFT_EVENTS, SHIFT_DAY_SHARE * a_day)[:, None]
    moved = np.ones(level.shape)
    if not (enough & ((ratio >= SHIFT_RATIO) | (ratio <= 1 / SHIFT_RATIO))).any():
        return level, moved
    noise = SHIFT_SD * np.sqrt(seen + 1 + dispersion[:, None] * ratio**2 * _before(usual**2, 24)[:, -24:])
    half_seen, half_expected = _before(counts, 12)[:, -24:], _before(usual, 12)[:, -24:]
    now = np.where(half_expected >= SHIFT_EVENTS, half_seen / np.maximum(half_expected, TINY), ratio)
    for up in (True, False):
        side = counts >= SHIFT_HOUR_RATIO * usual if up else SHIFT_HOUR_RATIO * counts <= usual
        share = _before(usual * side, 24)[:, -24:] / np.maximum(expected, TINY)
        if up:
            holds = (ratio >= SHIFT_RATIO) & (seen - noise > SHIFT_HOUR_RATIO * expected) & (now >= SHIFT_RATIO)
        else:
            holds = (ratio <= 1 / SHIFT_RATIO) & (SHIFT_HOUR_RATIO * (seen + noise) < expected)
            holds &= now <= 1 / SHIFT_RATIO
        moved = np.where(holds & enough & (share >= SHIFT_SHARE), now, moved)
    return level, moved


def _prior_level(tenant: Counts, day: float, prior: Prior) -> float:
    """Return how many events an hour a newcomer is expected to make: no more than everybody together does.

    Only days that late events can't change any more count, so that the order of arrival is no matter.
    """
    last = max(0, min(tenant.index(day - SETTLED_DAYS * DAY), tenant.requests.shape[1]))
    lately = tenant.requests[0, max(0, last - 24 * TENANT_DAYS) : last]
    active = np.flatnonzero(lately)
    if not len(active) or len(lately) - active[0] < 24 * LEAST_TENANT_DAYS:
        return prior.events_per_hour
    everybody = float(lately[active[0] :].mean())
    return min(prior.events_per_hour, max(everybody, LEAST_PRIOR_SHARE * prior.events_per_hour))


def of_group(peers: Peers, day: float, prior: Prior) -> Prior:
    """Return the prior of a newcomer in a group: `prior`, drawn to what members did in any hour of their settled days.

    Mean and squared variation are those of all their hours but for the few that are busier than the usual burst, and
    are drawn the further the more members are known, and the longer.
    """
    last = max(0, min(int((day - SETTLED_DAYS * DAY - peers.start) // HOUR), peers.requests.shape[1]))
    lately = slice(max(0, last - 24 * TENANT_DAYS), last)
    starts = peers.start + HOUR * np.arange(lately.start, lately.stop)
    known = starts[None, :] + HOUR > peers.first_time[:, None]
    members = int(known.any(axis=1).sum())
    if not members:
        return prior
    counts = peers.requests[:, lately][known].astype(np.float64)
    counts = np.minimum(counts, _usual_burst(counts[None, :])[0])
    mean = max(float(counts.mean()), LEAST_EVENTS_PER_HOUR)
    variation = max((float((counts**2).mean()) - mean) / mean**2 - 1.0, 0.0)
    much = members * len(counts) / (len(counts) + members * GROUP_PRIOR_HOURS)
    share = much / (much + GROUP_PRIOR_MEMBERS)
    return replace(
        prior,
        events_per_hour=mean**share * prior.events_per_hour ** (1 - share),
        shape=1.0 / (share * variation + (1 - share) / prior.shape),
    )


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
        found = _week(history, start, rows, prior.dispersion)
        mean[rows, number], variance[rows, number], known_days[rows, number] = found
    return Weeks(starts, observed, Band(mean, variance, known_days))


def _week(history: History, start: float, rows: Rows, prior_dispersion: float) -> tuple[Floats, Floats, Floats]:
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
    for _ in range(ROUNDS):
        level = (weight * past).sum(axis=1) / weight.sum(axis=1)
        means = known * level[:, None]
        dispersion = _dispersion(known * _winsorised(past, means, dispersion), means, prior_dispersion)
        weight = known * _outlier_weight(past, means, dispersion)
    mean[old] = level
    variance[old] = level + dispersion * level**2 + level * (1 + dispersion * level) / age
    known_days[old] = 7.0 * age
    return mean, variance, known_days


def monday(time: float) -> float:
    """Return the Monday 00:00 UTC at or before that time; 1970-01-01 was a Thursday."""
    return float((time // DAY - (time // DAY + 3) % 7) * DAY)
