"""Off hours: activity in hours in which an agent is not at work, or hardly ever is."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import scipy
from numpy.typing import NDArray

from anomalies.detection import interval, scoring, wording
from anomalies.detection.chart import Chart, of_requests
from anomalies.detection.detector import Detector, Learning, Seen
from anomalies.detection.finding import LOW, Finding, Interval, metric, plain
from anomalies.detection.history import DAY, HOUR, History
from anomalies.detection.parameter import parameter
from anomalies.detection.screening import Glance, Mask, Records

VERSION = 2
WEEK_HOURS = 168
NIGHT_BEGINS = 12  # local hour: a night is from noon to noon
OFTEN = 0.25  # of past days on which an hour was active: then it is at work, however little it does there
USUAL_BURST = 0.75  # quantile of an agent's active hours at which each hour's weight is capped
OFF_AT_WORK_RATIO = 1e-3  # share of a night's events expected off the configured hours
TOGETHER = 128  # agents looked at at once: their arrays stay in the cache
Rows = NDArray[np.intp]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Config:
    alpha: float = parameter(
        1e-4,
        label="Chance that raises it",
        unit="probability",
        low=1e-15,
        high=0.01,
        help="Chance of so much activity below which it is raised",
    )
    min_slots: int = parameter(
        3,
        label="Active slots in a night, at least",
        unit="slots of 5 minutes",
        low=1,
        high=144,
        help="Least slots with activity off hours in a night",
    )
    rare_mass: float = parameter(
        0.02,
        label="Share of the week that is off hours",
        unit="ratio",
        low=1e-4,
        high=0.2,
        help="Hours that together hold less of the week's activity are off",
    )
    prior_events: float = parameter(
        24.0,
        label="Events assumed over the week",
        unit="events",
        low=1,
        high=1000,
        help="Spread evenly over the week, added to what was seen",
    )
    min_days: float = parameter(
        14.0, label="Hours are learned after", unit="days", low=1, high=60, help="Younger agents have no learned hours"
    )
    min_events_known: int = parameter(
        100, label="Hours are learned from", unit="events", low=10, high=100_000, help="With fewer, the same"
    )
    min_active_days: int = parameter(
        5,
        label="Hours are learned from active days",
        unit="days",
        low=1,
        high=60,
        help="With fewer active days, the same",
    )
    history_days: float = parameter(
        60.0, label="History of the hours", unit="days", low=14, high=90, help="History that the hours are learned from"
    )
    max_entropy: float = parameter(
        0.95,
        label="Evenness of one that never sleeps",
        unit="ratio",
        low=0.5,
        high=1,
        help="An agent whose week is more even than this never sleeps",
    )


@dataclass(frozen=True, slots=True)
class _Night:
    """What an agent did off hours in one night; indices are of `history.hours`."""

    hours: NDArray[np.intp]  # off hours with activity
    opened: int  # the one in which it sufficed
    events: int  # off hours
    slots: int  # of 5 minutes with activity off hours
    all_slots: int  # with activity in the night
    mass: float
    p: float


def detect(history: History, config: Config) -> list[Finding]:
    """Return the nights in which agents were active off hours.

    With configured working hours (agent's zone, holidays), all else is off. Otherwise hours are learned: the
    hour-of-week histogram before the UTC day in which the night begins, hours capped at the agent's usual burst,
    smoothed by 1/2-1-1/2, with an even prior; the rarest hours that together hold at most `rare_mass`, and were active
    on few days, are off. Per night, noon to noon local time, `p = binom.sf(k - 1, n, mass)` where k of the n slots of
    5 minutes in which it acted are off hours and mass is the histogram's share of the night's off hours: slots, because
    events come in bursts and a burst is one decision to act. Agents that are young, rare or never sleep have no learned
    hours.

    Source: exact binomial test; hours after Freeman et al. (2016), NDSS.
    """
    if history.kind != "agent":
        return []
    found = sorted(_nights(history, config), key=lambda one: (one[0], one[1].opened))
    return [_finding(history, row, night, config) for row, night in found]


@dataclass(frozen=True, slots=True)
class Outlook:
    """Which hours of a UTC day are off, by the days before: a `screening.Outlook`."""

    config: Config

    @property
    def name(self) -> str:
        return f"{DETECTOR.type} {VERSION} {asdict(self.config)}"

    @property
    def dtype(self) -> np.dtype[np.void]:
        return np.dtype([("off", "?", 24)])

    def of(self, history: History, day: float) -> Records:
        """Return it for all rows, (n,); of those of one action, and of agents without hours, none is off."""
        found = np.zeros(len(history.entities), dtype=self.dtype)
        if history.kind != "agent":
            return found
        first = history.hours.index(day)
        for rows, night_of in _alike(history):
            for night in np.unique(night_of[first : first + 24]).tolist():
                hours = np.flatnonzero(night_of == night)
                off, _, _ = _off(history, rows, hours, self.config)
                today = (hours >= first) & (hours < first + 24)
                found["off"][rows[:, None], hours[today] - first] = off[:, today]
        return found


def screen(glance: Glance, config: Config) -> Mask:
    """Return the agents that acted in an hour that is off, (n,)."""
    history, day = glance.history, glance.day
    off = glance.outlooks[Outlook(config)]["off"]
    active = history.hours.requests[:, -24:] > 0
    ends = day + HOUR * np.arange(1, 25)
    return np.asarray((off & active & (ends[None, :] > history.judge_from[:, None])).any(axis=1))


def chart(history: History, _: Config, width: int) -> Chart:
    """Return the requests of the agent with their baseline: this type has no band of its own."""
    return of_requests(history, width)


def learning(seen: Seen, config: Config) -> Learning | None:
    """Say whether an agent's hours are neither set nor learned yet."""
    events, active = seen.events(config.history_days), seen.active_days(config.history_days)
    enough = active >= config.min_active_days and events >= config.min_events_known
    if seen.hours_are_set or (seen.age_days >= config.min_days and enough):
        return None
    wanted = [
        wording.plural(config.min_days, "day"),
        wording.plural(config.min_events_known, "event"),
        wording.plural(config.min_active_days, "active day"),
    ]
    why = f"learned hours need {wording.listing(wanted)}, it has {wording.plural(events, 'event')} so far"
    return Learning(why, max(0.0, config.min_days - seen.age_days, config.min_active_days - active))


def _nights(history: History, config: Config) -> Iterator[tuple[int, _Night]]:
    until = min(history.hours.requests.shape[1], history.hours.index(history.until) + 1)
    for rows, night_of in _alike(history):
        first = np.maximum(0, (history.judge_from[rows] - history.hours.start) // HOUR).astype(np.intp)
        active = history.hours.requests[rows] > 0
        due = np.array([active[i, since:until].any() for i, since in enumerate(first.tolist())], dtype=np.bool_)
        if not due.any():
            continue
        slots = _active_slots(history, rows)
        # That of the first hour to judge: it may have begun long before.
        first_night = night_of[np.minimum(first, len(night_of) - 1)]
        for night in range(int(first_night[due].min()), int(night_of[until - 1]) + 1):
            hours = np.flatnonzero(night_of == night)
            hours = hours[hours < until]
            mine = np.flatnonzero(due & (first_night <= night) & active[:, hours].any(axis=1))
            if not len(mine):
                continue
            off, mass, known = _off(history, rows[mine], hours, config)
            worth = known & (np.where(off, slots[np.ix_(mine, hours)], 0).sum(axis=1) >= config.min_slots)
            for i in np.flatnonzero(worth).tolist():
                row = int(rows[mine[i]])
                seen = history.hours.requests[row]
                if found := _test(seen, slots[mine[i]], hours, off[i], float(mass[i]), config):
                    yield row, found


def _alike(history: History) -> Iterator[tuple[Rows, NDArray[np.int64]]]:
    """Yield agents that share a clock, with the number of the night of each hour, (t,)."""
    by_calendar: dict[bytes, list[int]] = defaultdict(list)
    for row in history.totals:
        by_calendar[history.calendar.hour_of_week[row].tobytes()].append(row)
    for rows in by_calendar.values():
        # Nights are numbered by their noon; a zone's change of clock makes one an hour longer or shorter.
        night_of = np.cumsum(history.calendar.hour_of_week[rows[0]] % 24 == NIGHT_BEGINS)
        for first in range(0, len(rows), TOGETHER):
            yield np.array(rows[first : first + TOGETHER], dtype=np.intp), night_of


def _off(
    history: History, rows: Rows, hours: NDArray[np.intp], config: Config
) -> tuple[NDArray[np.bool_], Floats, NDArray[np.bool_]]:
    """Return which of a night's hours are off (m, h), their share of its activity (m,), and who has hours at all (m,).

    Learned are those of the days before the UTC day in which the night begins, as all that a day is judged by.
    """
    configured = history.calendar.configured[rows]
    off = np.zeros((len(rows), len(hours)), dtype=np.bool_)
    mass, known = np.full(len(rows), OFF_AT_WORK_RATIO), configured.copy()
    off[configured] = ~history.calendar.at_work[np.ix_(rows[configured], hours)]
    learners = np.flatnonzero(~configured)
    past = slice(max(0, int(hours[0]) // 24 * 24 - round(24 * config.history_days)), int(hours[0]) // 24 * 24)
    week, learned = _learned(history, rows[learners], past, config)
    mine = learners[learned]
    if len(mine):
        hour_of_week = history.calendar.hour_of_week[rows[mine[0]], hours].astype(np.int64)
        rare = _rare(week[learned], config.rare_mass) & ~_often_active(history, rows[mine], past)
        off[mine] = rare[:, hour_of_week]
        share = week[learned][:, hour_of_week]
        mass[mine] = np.where(off[mine], share, 0.0).sum(axis=1) / share.sum(axis=1)
        known[mine] = True
    return off, mass, known


def _learned(history: History, rows: Rows, past: slice, config: Config) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the share of activity by hour of the week, (m, 168), and who has hours of its own, (m,)."""
    counts = history.hours.requests[rows, past].astype(np.float64)
    week = np.zeros((len(rows), WEEK_HOURS))
    age_days = (history.hours.start + HOUR * past.stop - history.first_time[rows]) / DAY
    active_days = counts.reshape(len(rows), counts.shape[1] // 24, 24).any(axis=2).sum(axis=1)
    old = (age_days >= config.min_days) & (active_days >= config.min_active_days)
    old &= counts.sum(axis=1) >= config.min_events_known
    if not old.any():
        return week, old
    counts = counts[old]
    hour_of_week = history.calendar.hour_of_week[rows[0], past]
    # Sums of quarters: exact, so that equal hours stay equal whoever is looked at together.
    own = np.minimum(counts, _usual_burst(counts)[:, None]) @ np.eye(WEEK_HOURS)[hour_of_week]
    even = config.prior_events / WEEK_HOURS
    entropy = scipy.stats.entropy(own + even, axis=1) / np.log(WEEK_HOURS)
    own = (own + 0.5 * np.roll(own, 1, axis=1) + 0.5 * np.roll(own, -1, axis=1)) / 2 + even
    week[old] = own / own.sum(axis=1, keepdims=True)
    learned = old.copy()
    learned[old] = entropy <= config.max_entropy
    return week, learned


def _usual_burst(counts: Floats) -> Floats:
    """Return the quantile of each row's active hours at which their weight is capped, (m,)."""
    ordered = np.sort(counts, axis=1)
    active = np.count_nonzero(ordered, axis=1)
    place = ordered.shape[1] - active + USUAL_BURST * (active - 1)
    below = np.floor(place).astype(np.intp)
    above = np.minimum(below + 1, ordered.shape[1] - 1)
    row = np.arange(len(ordered))
    return np.asarray(ordered[row, below] + (place - below) * (ordered[row, above] - ordered[row, below]))


def _often_active(history: History, rows: Rows, past: slice) -> NDArray[np.bool_]:
    """Return in which hours of the week agents were often active, on work days or on free ones, (m, 168)."""
    hour = history.calendar.hour_of_week[rows, past].astype(np.int64) % 24 + 24 * history.calendar.free[rows, past]
    known = history.hours.starts[None, past] + HOUR > history.first_time[rows, None]
    active = known & (history.hours.requests[rows, past] > 0)
    place = hour + 48 * np.arange(len(rows))[:, None]
    seen, hours = (
        np.bincount(place[which], minlength=48 * len(rows)).reshape(len(rows), 48) for which in (active, known)
    )
    week = np.arange(WEEK_HOURS)
    return np.asarray((seen / np.maximum(hours, 1) > OFTEN)[:, week % 24 + 24 * (week // 24 >= 5)])


def _rare(week: Floats, mass: float) -> NDArray[np.bool_]:
    """Return which hours of the week are the rarest that together hold at most that mass, (m, 168)."""
    order = np.argsort(week, axis=1, kind="stable")
    rare = np.zeros(week.shape, dtype=np.bool_)
    np.put_along_axis(rare, order, np.cumsum(np.take_along_axis(week, order, axis=1), axis=1) <= mass, axis=1)
    return rare


def _active_slots(history: History, rows: Rows) -> NDArray[np.int64]:
    """Return in how many slots of 5 minutes of each hour agents acted, (m, t); 0 before `history.fives` begins."""
    slots = np.zeros((len(rows), history.hours.requests.shape[1]), dtype=np.int64)
    active = (history.fives.requests[rows] > 0).reshape(len(rows), -1, 12).sum(axis=2)
    slots[:, slots.shape[1] - active.shape[1] :] = active
    return slots


def _test(
    counts: NDArray[np.int32],
    slots: NDArray[np.int64],
    hours: NDArray[np.intp],
    off: NDArray[np.bool_],
    mass: float,
    config: Config,
) -> _Night | None:
    k, n = np.cumsum(np.where(off, slots[hours], 0)), np.cumsum(slots[hours])
    p = np.where(k >= config.min_slots, scipy.stats.binom.sf(k - 1, n, mass), 1.0)
    active = off & (slots[hours] > 0)
    hot = np.flatnonzero((p < config.alpha) & active)
    if not len(hot):
        return None
    last = int(hot[np.argmin(p[hot])])
    return _Night(
        hours=hours[active],
        opened=int(hours[hot[0]]),
        events=int(counts[hours[active]].sum()),
        slots=int(k[last]),
        all_slots=int(n[last]),
        mass=mass,
        p=float(p[last]),
    )


def _finding(history: History, row: int, night: _Night, config: Config) -> Finding:
    agent = history.entities[row]
    starts = history.hours.starts
    start, end = float(starts[night.hours[0]]), float(starts[night.hours[-1]]) + HOUR
    s = scoring.surprise(night.p)
    severity = scoring.severity(s)
    if night.slots < 2 * config.min_slots:
        severity = max(LOW, severity - 1)
    configured = bool(history.calendar.configured[row])
    zone = ZoneInfo(history.calendar.zones[row])
    first, last = (datetime.fromtimestamp(time, zone) for time in (start, end))
    clock = "%H:%M" if first.utcoffset() == last.utcoffset() else "%H:%M %Z"
    begins, ends = wording.WEEKDAYS[first.weekday()], wording.WEEKDAYS[last.weekday()]
    from_when = f"{first:{clock}}" if begins == ends else f"{first:{clock}} on {begins}"
    when = f"between {from_when} and {last:{clock}} on {ends} ({zone.key})"
    expected = night.mass * night.all_slots
    is_open = interval.is_open(end=end, width=HOUR, until=history.until)
    hours_word = "its working hours" if configured else "the hours it has kept so far"
    score = max(scoring.score(s), scoring.floor_score(severity))
    days = max(0.0, (start - float(history.first_time[row])) / DAY)
    intervals = (
        Interval(
            resolution_seconds=HOUR,
            start=start,
            end=end,
            open=is_open,
            peak=float(night.slots),
            expected=expected,
            upper=float(scipy.stats.binom.ppf(0.9999, night.all_slots, night.mass)),
            score=score,
        ),
    )
    evidence = plain(
        {
            "observed": night.slots,
            "expected": expected,
            "lower": 0,
            "upper": float(scipy.stats.binom.ppf(0.9999, night.all_slots, night.mass)),
            "p": night.p,
            "unit": "slots of 5 minutes",
            "resolution_seconds": HOUR,
            "start": start,
            "end": end,
            "event_count": night.events,
            "slots_of_the_night": night.all_slots,
            "off_hours_mass": night.mass,
            "configured_hours": configured,
            "history_days": round(days, 2),
            "parameters": asdict(config),
            "detector_version": VERSION,
            "why": f"{agent} acted {wording.plural(night.events, 'time')} {when}, outside {hours_word}: in "
            f"{wording.plural(night.slots, 'period')} of 5 minutes, of the {wording.number(night.all_slots)} "
            f"in which it was active that night. Its history explains {wording.number(expected)} of them; the "
            f"chance of so many is {wording.chance(night.p)}.",
        }
    )
    return Finding(
        type=DETECTOR.type,
        kind=history.kind,
        entity=agent,
        start=start,
        end=end,
        open=is_open,
        metrics=(metric(DETECTOR.counts, history.kind, agent, intervals, score=score, evidence=evidence),),
        raised_at=float(starts[night.opened]) + HOUR,
        score=score,
        severity=severity,
        explained_by=("principal",),
        description=f"{wording.plural(night.events, 'action')} {when}, "
        f"{'outside its working hours' if configured else 'usually hardly any'}",
        evidence=evidence,
    )


DETECTOR = Detector(
    type="off_hours_activity",
    label="Off hours",
    meaning="Activity in hours in which this agent is not at work, or hardly ever is.",
    risk="Unattended Activity",
    entity="time",
    may_indicate=(
        "Credentials used by somebody in another time zone.",
        "A job that was moved or started by hand.",
        "Exfiltration when nobody watches.",
    ),
    recommended_actions=(
        "Look at its addresses and actions of that time.",
        "Ask the owner of the agent about planned work.",
        "If it is planned, set the agent's working hours.",
    ),
    version=VERSION,
    counts="off_hours_slots",
    explains=True,
    config=Config,
    detect=detect,
    chart=chart,
    learning=learning,
    screen=screen,
    outlook=Outlook,
)
