"""From counts and their bands to deviations: runs of buckets at each resolution, joined where they are one spell."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalies.detection import baseline, interval, scoring, wording
from anomalies.detection.band import Band
from anomalies.detection.baseline import RESOLUTIONS, Bands, Rows
from anomalies.detection.finding import PATTERN_CHANGE, TRANSIENT, Interval, Metric, metric, plain
from anomalies.detection.history import DAY, FIVE_MINUTES, HOUR, MINUTE, WEEK, Counts, History
from anomalies.detection.prior import Prior
from anomalies.detection.screening import Glance
from anomalies.detection.week import Weeks, of_weeks

Floats = NDArray[np.float64]
Observed = NDArray[np.int32]
Mask = NDArray[np.bool_]

# That the budget of false alarms is for. One alpha for each test, whatever else is looked at with it: with
# Benjamini-Hochberg over the hour's 500 series (q = .04) F1 fell from .997 to .990 (Poisson), .918 to .844
# (over-dispersed), .962 to .890 (drift), .967 to .919 (weekday), rose from .905 to .926 (contaminated), with 0.2 to 3.2
# false a day and 1,000 series instead of 0 to 0.3; and a verdict would depend on who else was looked at.
SERIES = 1000
ACTIONS = 10  # that an agent is taken to have: all of them together have the budget of one series
# What an entity did while a level became usual for good is one change of pattern: all that overlaps the 24 hours by
# which an hour's level is recognised (`baseline`), and the days that begin in the next 24, since their first hours are
# held against what was usual at their begin. Of buckets shorter than an hour, only spells of 6 hours and more are
# called that: they end with the hour's level, not with one of their own.
SETTLING_SECONDS = DAY
LASTING_SECONDS = 6 * HOUR
BAND = 0.9999


@dataclass(frozen=True, slots=True)
class Limits:
    """What makes a bucket deviate; the same for every series."""

    up: bool  # spikes, not drops
    false_alarms_per_day: float  # of 1,000 series, at all resolutions together
    extend_alpha: float
    min_excess: float  # events
    min_ratio: float
    min_expected: float
    full_days: float  # younger than this, alpha is a tenth
    prior: Prior
    young_days: float
    fit_days: float

    @property
    def widths(self) -> tuple[int, ...]:
        """Drops show in complete buckets alone, of an hour or more."""
        return RESOLUTIONS if self.up else tuple(width for width in RESOLUTIONS if width >= HOUR)

    @property
    def outlook(self) -> baseline.Outlook:
        return baseline.Outlook(self.prior.dispersion, self.fit_days)

    def alpha(self, width: int) -> float:
        """Return the tail probability below which a bucket of that many seconds opens an interval."""
        return self.false_alarms_per_day * width / (SERIES * DAY * len(self.widths))

    def threshold(self, width: int, history_days: Floats) -> Floats:
        return np.where(history_days < self.full_days, self.alpha(width) / 10, self.alpha(width))

    def tail(self, band: Band, observed: Observed) -> Floats:
        return band.tail(observed) if self.up else band.lower_tail(observed)

    def large(self, observed: Observed, mean: Floats) -> Mask:
        """Return where the effect is large enough to speak of; where nothing is known the mean is 0."""
        if self.up:
            far = (observed - mean >= self.min_excess) & (observed + 1 >= self.min_ratio * (mean + 1))
        else:
            far = (mean - observed >= self.min_excess) & (mean + 1 >= self.min_ratio * (observed + 1))
        return far & (mean > 0) & (mean >= self.min_expected)


@dataclass(frozen=True, slots=True)
class Deviation:
    """An interval of one series, with the figures of its most surprising bucket."""

    row: int
    interval: Interval
    bucket: float  # its start
    p: float
    observed: int
    expected: float
    lower: float
    upper: float
    history_days: float
    raised_at: float  # when what had come first sufficed
    total: int
    weekday: str  # on the entity's own clock, with the zone of that where it is not UTC

    @property
    def width(self) -> int:
        return self.interval.resolution_seconds

    @property
    def adjusted_p(self) -> float:
        """p times the buckets a day: how many as surprising to expect in a day."""
        return self.p * DAY / self.width


@dataclass(frozen=True, slots=True)
class Spell:
    """Deviations of one entity that overlap: of all it does or, if that stays in its band, of single actions."""

    main: int  # row of the series that it is told by
    deviations: tuple[Deviation, ...]
    lasting: bool  # a level became usual by which it would be none

    @property
    def best(self) -> Deviation:
        """The most surprising one of the main series."""
        return min(self.of(self.main), key=lambda one: (one.adjusted_p, one.width))

    @property
    def others(self) -> list[Deviation]:
        return [one for one in self.of(self.main) if one is not self.best]

    @property
    def raised_at(self) -> float:
        return min(one.raised_at for one in self.deviations)

    def of(self, row: int) -> list[Deviation]:
        return [one for one in self.deviations if one.row == row]

    def bounds(self) -> tuple[float, float, bool]:
        """Return start, end, and whether it goes on.

        A finer resolution tells where in its first and last bucket a coarser one begins and ends. Days and weeks are
        told as a whole: what finer ones saw in them does not explain them.
        """
        by_width: dict[int, list[Interval]] = defaultdict(list)
        for one in self.deviations:
            by_width[one.width].append(one.interval)
        widths = sorted(by_width, reverse=True)
        start = min(one.start for one in by_width[widths[0]])
        last = max(by_width[widths[0]], key=lambda one: one.end)
        end, is_open, width = last.end, last.open, widths[0]
        for finer in widths[1:]:
            starts = [one.start for one in by_width[finer] if one.start < start + width]
            ends = [one for one in by_width[finer] if one.end > end - width]
            if width < DAY and starts:
                start = min(starts)
            elif starts:
                start = min(start, *starts)
            if ends and (width < DAY or max(one.end for one in ends) > end):
                last = max(ends, key=lambda one: one.end)
                end, is_open = last.end, last.open
            width = finer
        return start, end, is_open


def spells(history: History, limits: Limits, rows: Rows | None = None) -> list[Spell]:
    """Return the spells in which entities did far more, or far less, than expected, by row and time.

    A bucket is hot if p < alpha and the effect is large. A day or week counts only if it is hot also without what its
    own hours and 5 minutes explain, which are taken at their mean: so the spike of an hour is no spike of its week.
    Of an agent, a single action is told apart only where all that it does stays in its band, and then with a tenth of
    alpha. Each series is judged from the begin of the UTC day on, and of the week if that is hot, so that a spell
    looks the same from wherever on it is judged.

    Raises ValueError if no day is to be judged.
    """
    wanted = np.arange(len(history.entities)) if rows is None else rows
    weeks = of_weeks(history, prior=limits.prior) if WEEK in limits.widths else None
    deep = wanted[:0]
    if weeks is not None:
        hot = _hot(limits, WEEK, weeks.observed, weeks.band) & _judged(history, weeks.starts, WEEK, limits, None)
        deep = wanted[hot[wanted].any(axis=1)]
    found: list[Deviation] = []
    settled: dict[str, list[float]] = defaultdict(list)
    shallow = np.setdiff1d(wanted, deep)
    if len(shallow):
        bands = _bands(history, limits, shallow, None)
        found += _deviations(history, bands, shallow, limits, None)
        _settle(history, bands, shallow, limits, settled)
    if len(deep) and weeks is not None:
        bands = _bands(history, limits, deep, float(weeks.starts[0]))
        found += _deviations(history, bands, deep, limits, weeks)
        _settle(history, bands, deep, limits, settled)
    return sorted(_spells(history, found, limits, settled), key=lambda spell: (spell.main, spell.bounds()))


def screen(glance: Glance, limits: Limits) -> Mask:
    """Return the rows in which `spells` may find what it did not when they were last looked at, (n,).

    Of spikes, those of newcomers: what is expected of them takes more to know.
    """
    history, outlook = glance.history, glance.outlooks[limits.outlook]
    bands = baseline.of_outlook(
        history, outlook, prior=limits.prior, young_days=limits.young_days, fit_days=limits.fit_days
    )
    every = np.arange(len(history.entities), dtype=np.intp)
    found = np.zeros(len(every), dtype=np.bool_)
    for counts in (history.hours, history.fives, history.minutes):
        if counts.width in limits.widths:
            found[_hot_rows(counts, bands, every, limits, new=True)] = True
    if limits.up:
        totals = every < len(history.totals)
        found |= totals & (history.first_time > glance.day - limits.young_days * DAY)
        today = history.hours.requests[:, -24:].sum(axis=1)
        found |= _hot(limits, DAY, today[:, None].astype(np.int32), bands.whole_days(every))[:, 0]
        week = Band(*(outlook[name][:, None] for name in ("week_mean", "week_variance", "week_days")))
        so_far = (outlook["week_before"] + today).astype(np.int32)[:, None]
        found |= _hot(limits, WEEK, so_far, week)[:, 0]
    return found


def metrics(history: History, spell: Spell) -> tuple[Metric, ...]:
    """Return the series of a spell, the one it is told by first, then the most surprising."""
    rows = sorted({one.row for one in spell.deviations})
    made = []
    for row in rows:
        deviations = spell.of(row)
        best = min(deviations, key=lambda one: (one.adjusted_p, one.width))
        intervals = tuple(one.interval for one in sorted(deviations, key=lambda one: (one.width, one.interval.start)))
        score, evidence = scoring.score(scoring.surprise(best.p)), plain(figures(best))
        entity, action = history.entities[row], history.actions[row]
        made.append(metric("requests", history.kind, entity, intervals, score=score, evidence=evidence, action=action))
    main = rows.index(spell.main)
    rest = sorted((one for at, one in enumerate(made) if at != main), key=lambda one: (-one.score, one.name))
    return (made[main], *rest)


def figures(one: Deviation) -> dict[str, object]:
    """Return what every metric tells of its most surprising bucket."""
    return {
        "observed": one.observed,
        "expected": one.expected,
        "lower": one.lower,
        "upper": one.upper,
        "p": one.p,
        "unit": "requests",
        "resolution_seconds": one.width,
        "start": one.bucket,
        "end": one.bucket + one.width,
    }


def also(spell: Spell) -> list[dict[str, object]]:
    """Return what the other resolutions, and other intervals, saw of the main series."""
    return [
        {
            "resolution_seconds": one.width,
            "observed": one.observed,
            "expected": one.expected,
            "p": one.p,
            "start": one.bucket,
        }
        for one in spell.others
    ]


def _bands(history: History, limits: Limits, rows: Rows, since: float | None) -> Bands:
    return baseline.of_days(
        history, prior=limits.prior, young_days=limits.young_days, fit_days=limits.fit_days, since=since, rows=rows,
        quiet_days=not limits.up,
    )  # fmt: skip


def _hot(limits: Limits, width: int, observed: Observed, band: Band) -> Mask:
    hot = limits.large(observed, band.mean)
    rows, buckets = np.nonzero(hot)
    few = Band(*(each[rows, buckets][:, None] for each in (band.mean, band.variance, band.history_days)))
    hot[rows, buckets] = (
        limits.tail(few, observed[rows, buckets][:, None]) < limits.threshold(width, few.history_days)
    )[:, 0]
    return hot


def _judged(history: History, starts: Floats, width: int, limits: Limits, since: float | None) -> Mask:
    """Return which buckets count: those that overlap the time to judge or, of drops, are complete; (n, b).

    That begins with its UTC day; where a week is hot, with that week.
    """
    if limits.up:
        reached = np.broadcast_to((starts < history.until)[None, :], (len(history.entities), len(starts)))
    else:
        lag = history.lag[:, None] if len(history.lag) else 0.0
        reached = starts[None, :] + width + lag <= history.until
    days = history.judge_from // DAY * DAY
    begin = days if since is None else np.minimum(days, since)
    return reached & (starts[None, :] + width > begin[:, None])


def _deviations(history: History, bands: Bands, rows: Rows, limits: Limits, weeks: Weeks | None) -> list[Deviation]:
    found: list[Deviation] = []
    explained = np.zeros((len(rows), 24 * bands.days), dtype=np.bool_)
    since = bands.start if weeks is not None else None
    for width, counts in ((HOUR, history.hours), (FIVE_MINUTES, history.fives), (MINUTE, history.minutes)):
        # A week is loaded without its minutes.
        if width in limits.widths and not (width == MINUTE and weeks is not None):
            for one in _fine(history, counts, bands, rows, limits, since):
                found.append(one)
                if width > MINUTE:
                    first = int((one.interval.start - bands.start) // HOUR)
                    last = int(np.ceil((one.interval.end - bands.start) / HOUR))
                    explained[np.searchsorted(rows, one.row), first:last] = True
    for one in _days(history, bands, rows, limits, since, explained):
        found.append(one)
        first = int((one.interval.start - bands.start) // HOUR)
        explained[np.searchsorted(rows, one.row), first : int((one.interval.end - bands.start) // HOUR)] = True
    if weeks is not None:
        found += _weeks(history, bands, rows, limits, weeks, explained)
    return found


def _fine(
    history: History, counts: Counts, bands: Bands, rows: Rows, limits: Limits, since: float | None
) -> Iterator[Deviation]:
    width, parts = counts.width, HOUR // counts.width
    offset = counts.index(bands.start)
    observed = counts.requests[rows, offset : offset + 24 * bands.days * parts]
    t = observed.shape[1]
    starts = counts.starts[offset : offset + t]
    hot_rows = _hot_rows(counts, bands, rows, limits)
    if not len(hot_rows):
        return
    mine = rows[hot_rows]
    band = bands.hours(mine, up=limits.up) if parts == 1 else bands.fine(width, mine, up=limits.up)
    band = band.part(slice(None), slice(0, t))
    judged = _judged(history, starts, width, limits, since)[mine]
    p = np.where(judged, limits.tail(band, observed[hot_rows]), 1.0)
    hot = (p < limits.threshold(width, band.history_days)) & limits.large(observed[hot_rows], band.mean)
    moved = np.repeat(_moved(history, bands, mine, limits)[:, : t // parts], parts, axis=1)
    for i in np.flatnonzero(hot.any(axis=1)).tolist():
        one = _Judged(int(mine[i]), width, starts, observed[hot_rows[i]], p[i], band.part(slice(i, i + 1), slice(None)))
        for first, last in interval.runs(hot[i], p[i] < limits.extend_alpha, width):
            yield _deviation(history, limits, one, first, last, hot[i], moved[i])


def _hot_rows(counts: Counts, bands: Bands, rows: Rows, limits: Limits, *, new: bool = False) -> Rows:
    """Return which of these rows may have a hot bucket, or one that is `new` to be judged; numbers into `rows`.

    Only what is large is worth a tail, and only series that then deviate, by the over-dispersion of their hours, which
    is the smaller one, are worth one of their own.
    """
    history, width, parts = bands.history, counts.width, HOUR // counts.width
    first = max(0, int((history.judge_from.min() - bands.start) // HOUR)) if new else 0
    offset = counts.index(bands.start) + first * parts
    observed = counts.requests[rows, offset : offset + (24 * bands.days - first) * parts]
    n, t = observed.shape
    if not n or not t:
        return rows[:0]
    mean = (bands.high if limits.up else bands.low)[rows, first : first + t // parts]
    large = limits.large(observed.reshape(n, -1, parts), mean[:, :, None] / parts)
    at, hour, part = np.nonzero(large)
    if new:
        ends = bands.start + (first + hour) * HOUR + (part + 1) * width
        judged = ends > history.judge_from[rows[at]]
        if not limits.up:
            judged &= ends + history.lag[rows[at]] <= history.until
        at, hour, part = at[judged], hour[judged], part[judged]
    if not len(at):
        return rows[:0]
    some_mean, day = mean[at, hour] / parts, (first + hour) // 24
    excess = np.maximum(bands.dispersion[rows[at], day] + bands.young[rows[at], first + hour], 0.0)
    variance = some_mean * (1 + bands.session[rows[at], day]) + excess * some_mean**2
    history_days = bands.history_days[rows[at], first + hour]
    few = Band(some_mean[:, None], variance[:, None], history_days[:, None])
    p = limits.tail(few, observed.reshape(n, -1, parts)[at, hour, part][:, None])
    return np.unique(at[(p < limits.threshold(width, few.history_days))[:, 0]])


def _days(
    history: History, bands: Bands, rows: Rows, limits: Limits, since: float | None, explained: Mask
) -> Iterator[Deviation]:
    first = history.hours.index(bands.start)
    hourly = history.hours.requests[rows, first : first + 24 * bands.days]
    observed = hourly.reshape(len(rows), -1, 24).sum(axis=2).astype(np.int32)
    starts = bands.start + DAY * np.arange(bands.days, dtype=np.float64)
    band = bands.whole_days(rows, up=limits.up)
    judged = _judged(history, starts, DAY, limits, since)[rows]
    mean = (bands.high if limits.up else bands.low)[rows]
    hot = _hot(limits, DAY, observed, band) & judged
    usual_by_now = _moved(history, bands, rows, limits)
    for i in np.flatnonzero(hot.any(axis=1)).tolist():
        own = band.part(slice(i, i + 1), slice(None))
        rest = np.where(explained[i], mean[i], hourly[i]).reshape(-1, 24).sum(axis=1).astype(np.int32)
        left = _hot(limits, DAY, rest[None, :], own)[0] & judged[i]
        p = np.where(judged[i], limits.tail(own, observed[i][None, :])[0], 1.0)
        warm = np.where(judged[i], limits.tail(own, rest[None, :])[0], 1.0) < limits.extend_alpha
        one = _Judged(int(rows[i]), DAY, starts, observed[i], p, own)
        moved = usual_by_now[i].reshape(-1, 24)[:, 0]
        for begin, last in interval.runs(left, warm, DAY):
            yield _deviation(history, limits, one, begin, last, left, moved)


def _weeks(
    history: History, bands: Bands, rows: Rows, limits: Limits, weeks: Weeks, explained: Mask
) -> Iterator[Deviation]:
    judged = _judged(history, weeks.starts, WEEK, limits, None)
    monday = ((weeks.starts - bands.start) // DAY).astype(np.intp)
    hourly = np.zeros((len(rows), 168 * len(weeks.starts)))
    hour = history.hours.index(bands.start)
    seen = history.hours.requests[rows, hour : hour + 24 * bands.days]
    hourly[:, : seen.shape[1]] = np.where(explained, (bands.high if limits.up else bands.low)[rows], seen)
    rest = hourly.reshape(len(rows), -1, 168).sum(axis=2).astype(np.int32)
    usual_by_now = _moved(history, bands, rows, limits)
    for i, row in enumerate(rows.tolist()):
        # What moved before the week is no news of it.
        level = bands.level[row, monday][None, :]
        level = np.maximum(level, 1.0) if limits.up else np.minimum(level, 1.0)
        known = weeks.band.part(slice(row, row + 1), slice(None))
        band = Band(known.mean * level, known.variance * level**2, known.history_days)
        left = _hot(limits, WEEK, rest[i][None, :], band)[0] & judged[row]
        if not left.any():
            continue
        p = np.where(judged[row], limits.tail(band, weeks.observed[row][None, :])[0], 1.0)
        warm = np.where(judged[row], limits.tail(band, rest[i][None, :])[0], 1.0) < limits.extend_alpha
        one = _Judged(row, WEEK, weeks.starts, weeks.observed[row], p, band)
        for first, last in interval.runs(left, warm, WEEK):
            yield _deviation(history, limits, one, first, last, left, usual_by_now[i, 24 * monday])


def _moved(history: History, bands: Bands, rows: Rows, limits: Limits) -> Mask:
    """Return the hours whose usual level is a new one; of the hours before each all is known, (len(rows), t)."""
    moved = (bands.risen if limits.up else bands.fallen)[rows]
    lag = history.lag[rows, None] if len(history.lag) and not limits.up else 0.0
    starts = bands.start + HOUR * np.arange(moved.shape[1])
    return np.asarray(moved & (starts[None, :] + lag <= history.until))


def _settle(history: History, bands: Bands, rows: Rows, limits: Limits, settled: dict[str, list[float]]) -> None:
    """Add the times at which a new level of all that an entity does became its usual one.

    Of one that does more, these are hours in which it did anything: for what it did it is looked at.
    """
    totals = rows[rows < len(history.totals)]
    moved = _moved(history, bands, totals, limits)
    first = history.hours.index(bands.start)
    for i in np.flatnonzero(moved.any(axis=1)).tolist():
        new = False
        for hour in range(1, moved.shape[1]):
            new = bool(moved[i, hour]) and (new or not moved[i, hour - 1])
            if new and (not limits.up or history.hours.requests[totals[i], first + hour]):
                settled[history.entities[totals[i]]].append(bands.start + HOUR * hour)
                new = False


@dataclass(frozen=True, slots=True)
class _Judged:
    """One series at one resolution."""

    row: int
    width: int
    starts: Floats  # (b,)
    observed: Observed  # (b,)
    p: Floats  # (b,)
    band: Band  # (1, b)


def _deviation(
    history: History, limits: Limits, one: _Judged, first: int, last: int, hot: Mask, moved: Mask
) -> Deviation:
    inside = slice(first, last + 1)
    best = first + int(np.argmin(one.p[inside]))
    opened = first + int(np.argmax(hot[inside]))
    start, end = float(one.starts[first]), float(one.starts[last]) + one.width
    band = one.band.part(slice(None), inside)
    lower, upper = band.quantile(1 - BAND)[0], band.quantile(BAND)[0]
    seen = one.observed[inside]
    p, expected = _rounded(one.p[best]), _rounded(band.mean[0, best - first])
    beyond = np.maximum(seen - upper, 0.0) if limits.up else np.maximum(lower - seen, 0.0)
    after = moved[last : last + 2]
    lasting = (one.width >= HOUR or end - start >= LASTING_SECONDS) and bool(after.any())
    hour = min(history.hours.index(float(one.starts[best])), history.calendar.hour_of_week.shape[1] - 1)
    return Deviation(
        row=one.row,
        interval=Interval(
            resolution_seconds=one.width,
            start=start,
            end=end,
            open=interval.is_open(end=end, width=one.width, until=history.until),
            peak=float(seen.max() if limits.up else seen.min()),
            expected=expected,
            lower=float(lower[best - first]),
            upper=float(upper[best - first]),
            sum_deltas=float(beyond.sum()),
            up=limits.up,
            deviation=PATTERN_CHANGE if lasting else TRANSIENT,
            score=scoring.score(scoring.surprise(p)),
        ),
        bucket=float(one.starts[best]),
        p=p,
        observed=int(one.observed[best]),
        expected=expected,
        lower=float(lower[best - first]),
        upper=float(upper[best - first]),
        history_days=float(band.history_days[0, best - first]),
        raised_at=_raised_at(history, limits, one, opened),
        total=int(seen.sum()),
        weekday=wording.WEEKDAYS[history.calendar.hour_of_week[one.row, max(hour, 0)] // 24] + _zone(history, one.row),
    )


def _rounded(value: float) -> float:
    """Six digits: the last bits of a sum depend on what else was in the array."""
    return float(f"{value:.6g}")


def _raised_at(history: History, limits: Limits, one: _Judged, bucket: int) -> float:
    """Return when a hot bucket had enough events, to the resolution that is finer and there."""
    start, end = float(one.starts[bucket]), float(one.starts[bucket]) + one.width
    if not limits.up:
        return end + (float(history.lag[one.row]) if len(history.lag) else 0.0)
    finer = (history.hours,) if one.width >= DAY else (history.minutes, history.fives)
    for counts in finer:
        first = counts.index(start)
        if counts.width >= one.width or first < 0:
            continue
        so_far = np.cumsum(counts.requests[one.row, first : first + one.width // counts.width], dtype=np.int32)[None, :]
        at = one.band.part(slice(None), slice(bucket, bucket + 1))
        band = Band(*(np.broadcast_to(each, so_far.shape) for each in (at.mean, at.variance, at.history_days)))
        enough = np.flatnonzero(_hot(limits, one.width, so_far, band)[0])
        if len(enough):
            return float(start + counts.width * (int(enough[0]) + 1))
    return end


def _spells(
    history: History, found: Sequence[Deviation], limits: Limits, settled: Mapping[str, Sequence[float]]
) -> Iterator[Spell]:
    by_entity: dict[str, list[Deviation]] = defaultdict(list)
    for one in found:
        by_entity[history.entities[one.row]].append(one)
    totals = len(history.totals)
    for entity, mine in by_entity.items():
        times = settled.get(entity, ())
        parted = _overlapping([one for one in mine if one.row < totals], times)
        alone: list[Deviation] = []
        for one in (one for one in mine if one.row >= totals):
            joined = next(
                (some for some in parted if any(_overlap(one, other) for other in some if other.row < totals)), None
            )
            if joined is not None:
                joined.append(one)
            elif one.p < limits.alpha(one.width) / ACTIONS:
                alone.append(one)
        for some in [*parted, *_overlapping(alone)]:
            judge_from = history.judge_from[some[0].row]
            if any(one.interval.end > judge_from for one in some):
                of_all = [one for one in some if one.row < totals] or some
                main = min(of_all, key=lambda one: (one.adjusted_p, history.actions[one.row])).row
                start, end = min(one.interval.start for one in some), max(one.interval.end for one in some)
                lasting = any(start < time and time - SETTLING_SECONDS < end for time in times)
                yield Spell(main, _without_minutes_of_weeks(some), lasting)


def _without_minutes_of_weeks(some: Sequence[Deviation]) -> tuple[Deviation, ...]:
    week = any(one.width == WEEK for one in some)
    return tuple(one for one in some if not (week and one.width == MINUTE))


def _overlap(one: Deviation, other: Deviation) -> bool:
    return one.interval.start < other.interval.end and other.interval.start < one.interval.end


def _overlapping(found: Sequence[Deviation], settled: Sequence[float] = ()) -> list[list[Deviation]]:
    """Group what overlaps, or overlaps the time in which a level that became usual at one of these times did so."""
    spans: list[tuple[float, float, Deviation | None]] = [(time - SETTLING_SECONDS, time, None) for time in settled]
    for one in found:
        start = one.interval.start
        late = [time - 1 for time in settled if one.width >= DAY and time <= start < time + SETTLING_SECONDS]
        spans.append((min([start, *late]), one.interval.end, one))
    groups: list[list[Deviation]] = []
    end = -np.inf
    for start, until, deviation in sorted(spans, key=lambda span: span[:2]):
        if not groups or start >= end:
            groups.append([])
            end = until
        end = max(end, until)
        groups[-1] += [deviation] if deviation else []
    return [sorted(some, key=lambda one: (one.interval.start, one.row, one.width)) for some in groups if some]


def _zone(history: History, row: int) -> str:
    zone = history.calendar.zones[row]
    return "" if zone == "UTC" else f" ({zone})"
