"""What counts to expect: a seasonal, over-dispersed baseline, fitted to each series' own history.

The mean of an hour is fitted (`fit`). The variance is `mu + a mu^2` with an over-dispersion `a` of the series' own at
each resolution, shrunk to a prior, plus the uncertainty of the mean itself, plus, for series that did little so far,
that events come in sessions. A day has the sum of its hours; weeks are held against weeks (`week`).

Everything is vectorised over series, and the baseline of a day uses only what happened before that day (and, for the
level, before that hour): in whatever order events arrive and scans run, a bucket is judged by the same figures.

Source: Farrington et al. (1996), JRSS A 159(3); Noufaily et al. (2013), Statistics in Medicine 32(7).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalies.detection import outlier
from anomalies.detection.band import TINY, Band, around, over_dispersion
from anomalies.detection.fit import Clock, Fit
from anomalies.detection.history import DAY, FIVE_MINUTES, HOUR, MINUTE, WEEK, Counts, History
from anomalies.detection.level import LEVEL_HOURS, SHIFT_DAYS, levels_of_hours, mean_day, sums_before
from anomalies.detection.prior import LEAST_EVENTS_PER_HOUR, SESSION_PRIOR_EVENTS, Prior, of_group, of_tenant
from anomalies.detection.screening import Records
from anomalies.detection.week import monday, of_week

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

VERSION = 1  # of what is kept for the scans of a day
RESOLUTIONS = (MINUTE, FIVE_MINUTES, HOUR, DAY, WEEK)

WHOLE_DAYS = 28.0  # of history, before days are judged
TOGETHER = 128  # rows fitted at once: their arrays stay in the cache
FIT_DAYS = 60.0
FIVES_DAYS = 7  # from which the over-dispersion of 5-minute counts is estimated
MINUTES_DAYS = 2  # and of 1-minute counts
_FINE_DAYS = {FIVE_MINUTES: FIVES_DAYS, MINUTE: MINUTES_DAYS}


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
        return around(
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
        band = around(
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
                capped = outlier.capped(observed, mean, outlier.usual_burst(observed)) * (mean > 0)
                own = over_dispersion(capped, mean, self.least_fine_dispersion)
                found[at, day] = np.maximum(own, coarser[at, day])
        return found


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
        found["week_mean"], found["week_variance"], found["week_days"] = of_week(
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
        known = of_tenant(history.tenant, day, prior)
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


def _prior_of(history: History, row: int, by_group: Mapping[str, Prior], otherwise: Prior) -> Prior:
    peers = history.peers.get(history.entities[row])
    return by_group[peers.group] if peers and row < len(history.totals) else otherwise


def _alike(history: History, rows: Rows, hour: int, fit_days: float) -> Iterator[tuple[Rows, Clock]]:
    """Yield rows that share a calendar, with the clock from the fit's begin to the day's end."""
    span = slice(max(0, hour - 24 * round(fit_days)), hour + 24)
    week, free = history.calendar.hour_of_week[:, span], history.calendar.free[:, span]
    by_calendar: dict[bytes, list[int]] = defaultdict(list)
    for row in rows.tolist():
        by_calendar[week[row].tobytes() + free[row].tobytes()].append(row)
    for alike in by_calendar.values():
        clock = Clock.of(week[alike[0]], free[alike[0]])
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


def _outlooks(history: History, rows: Rows, day: float, clock: Clock, dispersion: float) -> tuple[Records, Floats]:
    """Fit the baseline of one UTC day to what rows of one calendar did before it; as `_foreseen`."""
    last = history.hours.index(day) + 24
    span = slice(last - len(clock.slots), last)
    counts = history.hours.requests[rows, span.start : last - 24].astype(np.float64)
    starts = history.hours.start + HOUR * np.arange(span.start, span.stop)
    known = (starts[None, :] + HOUR > history.first_time[rows, None]).astype(np.float64)
    before = Clock(clock.slots[:-24], clock.weekdays[:-24], clock.in_slot[:-24], clock.on_weekday[:-24])
    fit = Fit.of(counts, known[:, :-24], before, dispersion)
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
    found["mean_day"] = mean_day(fit.usual, fit.known)
    found["events"], found["hours"] = counts.sum(axis=1), fit.known.sum(axis=1)
    whole = (day - history.first_time[rows]) / DAY >= WHOLE_DAYS
    if whole.any():
        calm = outlier.winsorised(counts, fit.usual * fit.level, fit.dispersion)
        by_day = (fit.usual.reshape(len(rows), -1, 24).sum(axis=2)) * fit.level[:, ::24]
        own = over_dispersion(calm.reshape(len(rows), -1, 24).sum(axis=2), by_day, dispersion)
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
    dispersion, a_day = outlook["dispersion"], outlook["mean_day"] * np.minimum(moved, 1.0)
    high_level, up = levels_of_hours(counts, np.concatenate([outlook["usual"], high], axis=1), dispersion, a_day)
    low_level, down = levels_of_hours(counts, np.concatenate([outlook["usual"], low], axis=1), dispersion, a_day)

    today = slice(24 * number, 24 * number + 24)
    age_days = np.maximum(starts[None, :] - first_time, 0.0) / DAY
    young = age_days < young_days
    if young.any():
        known = (starts[None, :] + HOUR > first_time).astype(np.float64)
        events = outlook["events"][:, None] + sums_before(counts[:, -24:], 24)
        so_far = events / np.maximum(outlook["hours"][:, None] + sums_before(known, 24), 1.0)
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
    bands.dispersion[rows, number] = dispersion
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
