"""Off hours: activity in hours in which an agent is not at work, or hardly ever is."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from anomalies.detection import interval, scoring, wording
from anomalies.detection.chart import Chart, of_requests
from anomalies.detection.detector import Detector, Learning, Seen
from anomalies.detection.finding import LOW, Finding, Interval, metric, plain
from anomalies.detection.history import DAY, HOUR, History
from anomalies.detection.parameter import parameter

VERSION = 1
WEEK_HOURS = 168
NIGHT_BEGINS = 12  # local hour: a night is from noon to noon
OFTEN = 0.25  # of past days on which an hour was active: then it is at work, however little it does there
USUAL_BURST = 0.75  # quantile of an agent's active hours at which each hour's weight is capped
OFF_AT_WORK_RATIO = 1e-3  # share of a night's events expected off the configured hours


@dataclass(frozen=True, slots=True)
class Config:
    alpha: float = parameter(
        1e-4, unit="probability", low=1e-15, high=0.01, help="Chance of so much activity below which it is raised"
    )
    min_slots: int = parameter(
        3, unit="slots of 5 minutes", low=1, high=144, help="Least slots with activity off hours in a night"
    )
    rare_mass: float = parameter(
        0.02, unit="ratio", low=1e-4, high=0.2, help="Hours that together hold less of the week's activity are off"
    )
    prior_events: float = parameter(
        24.0, unit="events", low=1, high=1000, help="Spread evenly over the week, added to what was seen"
    )
    min_days: float = parameter(14.0, unit="days", low=1, high=60, help="Younger agents have no learned hours")
    min_events_known: int = parameter(100, unit="events", low=10, high=100_000, help="With fewer, the same")
    min_active_days: int = parameter(5, unit="days", low=1, high=60, help="With fewer active days, the same")
    history_days: float = parameter(60.0, unit="days", low=14, high=90, help="History that the hours are learned from")
    max_entropy: float = parameter(
        0.95, unit="ratio", low=0.5, high=1, help="An agent whose week is more even than this never sleeps"
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
    hour-of-week histogram before that night, hours capped at the agent's usual burst, smoothed by 1/2-1-1/2, with an
    even prior; the rarest hours that together hold at most `rare_mass`, and were active on few days, are off. Per
    night, noon to noon local time, `p = binom.sf(k - 1, n, mass)` where k of the n slots of 5 minutes in which it acted
    are off hours and mass is the histogram's share of the night's off hours: slots, because events come in bursts and a
    burst is one decision to act. Agents that are young, rare or never sleep have no learned hours.

    Source: exact binomial test; hours after Freeman et al. (2016), NDSS.
    """
    if history.kind != "agent":
        return []
    return [_finding(history, row, night, config) for row in history.totals for night in _nights(history, row, config)]


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


def _nights(history: History, row: int, config: Config) -> Iterator[_Night]:
    counts = history.hours.requests[row]
    slots = _active_slots(history, row)
    until = min(len(counts), history.hours.index(history.until) + 1)
    first = max(0, history.hours.index(history.judge_from[row]))
    if not counts[first:until].any():
        return
    hour_of_week = history.calendar.hour_of_week[row].astype(np.int64)
    # Nights are numbered by their noon; a zone's change of clock makes one an hour longer or shorter.
    night_of = np.cumsum(hour_of_week % 24 == NIGHT_BEGINS)
    configured = bool(history.calendar.configured[row])
    for night in np.unique(night_of[first:until]).tolist():
        hours = np.flatnonzero(night_of == night)
        hours = hours[hours < until]
        if not counts[hours].any():
            continue
        if configured:
            off = ~history.calendar.at_work[row, hours]
            mass = OFF_AT_WORK_RATIO
        else:
            week = _learned(history, row, int(hours[0]), hour_of_week, config)
            if week is None:
                continue
            rare = _rare(week, config.rare_mass) & ~_often_active(history, row, int(hours[0]), config)
            off = rare[hour_of_week[hours]]
            share = week[hour_of_week[hours]]
            mass = float(share[off].sum() / share.sum())
        if found := _test(counts, slots, hours, off, mass, config):
            yield found


def _learned(
    history: History, row: int, before: int, hour_of_week: NDArray[np.int64], config: Config
) -> NDArray[np.float64] | None:
    """Return the agent's share of activity by hour of the week, (168,), or None if it has no hours of its own."""
    past = slice(max(0, before - round(24 * config.history_days)), before)
    counts = history.hours.requests[row, past].astype(np.float64)
    active = counts[counts > 0]
    age_days = (history.hours.start + HOUR * before - history.first_time[row]) / DAY
    active_days = len(np.unique(np.flatnonzero(counts) // 24))
    if age_days < config.min_days or active.sum() < config.min_events_known or active_days < config.min_active_days:
        return None
    capped = np.minimum(counts, np.quantile(active, USUAL_BURST))
    week = np.bincount(hour_of_week[past], weights=capped, minlength=WEEK_HOURS)
    entropy = stats.entropy(week + config.prior_events / WEEK_HOURS) / np.log(WEEK_HOURS)
    if entropy > config.max_entropy:
        return None
    week = (week + 0.5 * np.roll(week, 1) + 0.5 * np.roll(week, -1)) / 2 + config.prior_events / WEEK_HOURS
    return np.asarray(week / week.sum())


def _often_active(history: History, row: int, before: int, config: Config) -> NDArray[np.bool_]:
    """Return in which hours of the week the agent was often active, on work days or on free ones, (168,)."""
    past = slice(max(0, before - round(24 * config.history_days)), before)
    hour = history.calendar.hour_of_week[row, past].astype(np.int64) % 24 + 24 * history.calendar.free[row, past]
    known = history.hours.starts[past] + HOUR > history.first_time[row]
    active = known & (history.hours.requests[row, past] > 0)
    share = np.bincount(hour[active], minlength=48) / np.maximum(np.bincount(hour[known], minlength=48), 1)
    week = np.arange(WEEK_HOURS)
    return np.asarray(share[week % 24 + 24 * (week // 24 >= 5)] > OFTEN)


def _rare(week: NDArray[np.float64], mass: float) -> NDArray[np.bool_]:
    """Return which hours of the week are the rarest that together hold at most that mass, (168,)."""
    order = np.argsort(week, kind="stable")
    rare = np.zeros(WEEK_HOURS, dtype=np.bool_)
    rare[order[np.cumsum(week[order]) <= mass]] = True
    return rare


def _active_slots(history: History, row: int) -> NDArray[np.int64]:
    """Return in how many slots of 5 minutes of each hour an agent acted, (t,); 0 before `history.fives` begins."""
    slots = np.zeros(history.hours.requests.shape[1], dtype=np.int64)
    active = (history.fives.requests[row] > 0).reshape(-1, 12).sum(axis=1)
    slots[len(slots) - len(active) :] = active
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
    p = np.where(k >= config.min_slots, stats.binom.sf(k - 1, n, mass), 1.0)
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
            upper=float(stats.binom.ppf(0.9999, night.all_slots, night.mass)),
            score=score,
        ),
    )
    evidence = plain(
        {
            "observed": night.slots,
            "expected": expected,
            "lower": 0,
            "upper": float(stats.binom.ppf(0.9999, night.all_slots, night.mass)),
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
        metrics=(metric("off_hours_slots", history.kind, agent, intervals, score=score, evidence=evidence),),
        raised_at=float(starts[night.opened]) + HOUR,
        score=score,
        severity=severity,
        description=f"{wording.plural(night.events, 'action')} {when}, "
        f"{'outside its working hours' if configured else 'usually hardly any'}",
        evidence=evidence,
    )


DETECTOR = Detector(
    type="off_hours_activity",
    label="Off hours",
    meaning="Activity in hours in which this agent is not at work, or hardly ever is.",
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
    explains=True,
    config=Config,
    detect=detect,
    chart=chart,
    learning=learning,
)
