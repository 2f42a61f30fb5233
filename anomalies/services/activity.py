"""What one agent or user does: its requests against what is expected of it, its week, and where it comes from."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import Max, Min
from numpy.typing import NDArray

from anomalies.detection.finding import series_name
from anomalies.detection.history import DAY, HOUR, History
from anomalies.detection.registry import DETECTORS, counting
from anomalies.models import Agent, Series
from anomalies.services import histories
from anomalies.services.detectors import Judges
from anomalies.services.evidence import HOURS_UP_TO, BandedSeries

WEEKS = 4  # that a picture of the week is made of
WEEK_HOURS = 168

_ORIGINS = """
SELECT GROUPING(country, ip, device), country, host(ip), device, sum(logins),
       coalesce(sum(logins) FILTER (WHERE succeeded), 0), min(first_seen), max(last_seen)
FROM anomalies_sighting WHERE principal_id = %s
GROUP BY GROUPING SETS ((country), (ip), (device)) ORDER BY max(last_seen) DESC, 5 DESC, 2, 3, 4
"""
_GROUPED = {0b011: "country", 0b101: "ip", 0b110: "device"}

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Week:
    """How many requests an hour of the week has, on average, by the entity's own clock; arrays are (7, 24)."""

    zone: str
    mean: Floats
    weeks: int  # that it is made of
    at_work: NDArray[np.bool_] | None  # its working hours, as set or as learned; None where it has none
    learned: bool


@dataclass(frozen=True, slots=True)
class Activity:
    """`until` is where the span ends: now, or after the last request where none lies within the span."""

    series: BandedSeries
    week: Week
    until: datetime
    total: int  # requests within the span
    failures: int


@dataclass(frozen=True, slots=True)
class Origin:
    """A country, address or device that somebody logged in from."""

    value: str
    logins: int
    succeeded: int
    first_seen: datetime
    last_seen: datetime


def activity(kind: str, entity: str, *, span: timedelta, now: datetime) -> Activity | None:
    """Return what an agent or user did in a span that ends now, from its counts alone; None if nothing was counted."""
    counted = Series.objects.filter(kind=kind, entity=entity, action="", metric=Series.Metric.REQUESTS)
    known = counted.aggregate(first=Min("first_time"), last=Max("last_time"))
    if known["first"] is None:
        return None
    until = now if known["last"] >= now - span else known["last"] + timedelta(hours=1)
    window = histories.Window(entity, max(until - span, known["first"]), known["first"], known["last"])
    history = histories.of_counts(kind, [window], until=until, actions=False)
    judges = Judges.load()
    series = _series(history, judges, kind, entity, until - span, until)
    return Activity(series, _week(history, judges, kind, entity), until, sum(series.observed), sum(series.failures))


def _series(history: History, judges: Judges, kind: str, entity: str, since: datetime, until: datetime) -> BandedSeries:
    """Return its requests and failures by the hour, over longer spans by the day, with the band of its requests."""
    type_ = counting(Series.Metric.REQUESTS)[0]
    config = judges.config_of(type_, kind, entity) or DETECTORS[type_].config()
    chart = DETECTORS[type_].chart(history, config, DAY if until - since > HOURS_UP_TO else HOUR)
    width = chart.width
    starts = np.arange(since.timestamp() // width * width, until.timestamp(), width, dtype=np.float64)
    if len(starts) > (until - since).total_seconds() // width:
        starts = starts[1:]  # of the first one only a part lies within
    place = ((starts - chart.starts[0]) // width).astype(np.intp) if len(chart.starts) else np.zeros(0, dtype=np.intp)
    there = (place >= 0) & (place < len(chart.starts))

    def over(values: NDArray[Any]) -> list[Any]:
        found = np.zeros(len(starts), dtype=values.dtype)
        if there.any():
            found[there] = values[place[there]]
        return found.tolist()  # type: ignore[no-any-return]

    by_hour = history.hours.failures[0]
    offset = ((starts - history.hours.start) // HOUR).astype(np.intp)
    failures = [int(by_hour[max(0, at) : max(0, at + width // HOUR)].sum()) for at in offset.tolist()]
    return BandedSeries(
        name=series_name(Series.Metric.REQUESTS, kind, entity),
        unit=chart.unit,
        resolution_seconds=width,
        times=starts.tolist(),
        observed=over(chart.observed),
        expected=over(chart.expected),
        lower=over(chart.lower),
        upper=over(chart.upper),
        failures=failures,
    )


def _week(history: History, judges: Judges, kind: str, entity: str) -> Week:
    hours, calendar = history.hours, history.calendar
    place = calendar.hour_of_week[0].astype(np.intp)
    first = max(hours.index(history.first_time[0]), hours.index(history.until) + 1 - WEEKS * WEEK_HOURS, 0)
    last = min(hours.index(history.until) + 1, len(place))
    seen = np.bincount(place[first:last], minlength=WEEK_HOURS)
    counts = np.bincount(place[first:last], weights=hours.requests[0, first:last], minlength=WEEK_HOURS)
    at_work, learned = None, False
    if calendar.configured[0]:
        at_work = _set_hours(Agent.objects.get(public_id=entity))
    elif kind == Series.Kind.AGENT:
        off = _off_hours(history, judges, entity, last)
        at_work, learned = (~off, True) if off.any() else (None, False)
    return Week(
        zone=calendar.zones[0],
        mean=(counts / np.maximum(seen, 1)).reshape(7, 24),
        weeks=min(WEEKS, -(-(last - first) // WEEK_HOURS)),
        at_work=at_work.reshape(7, 24) if at_work is not None else None,
        learned=learned,
    )


def _set_hours(agent: Agent) -> NDArray[np.bool_]:
    at_work = np.zeros(WEEK_HOURS, dtype=np.bool_)
    for weekday, (first, last) in (agent.working_hours or {}).items():
        at_work[24 * int(weekday) + first : 24 * int(weekday) + last] = True
    return at_work


def _off_hours(history: History, judges: Judges, entity: str, last: int) -> NDArray[np.bool_]:
    """Return the hours of the week in which it is hardly ever active, as the last seven days are judged."""
    off = np.zeros(WEEK_HOURS, dtype=np.bool_)
    (type_,) = counting("off_hours_slots")
    config = judges.config_of(type_, history.kind, entity)
    outlook = DETECTORS[type_].outlook(config) if config is not None else None
    if outlook is None:
        return off
    end = -(-last // 24) * 24
    for first in range(max(0, end - WEEK_HOURS), end, 24):
        hours = outlook.of(history, history.hours.start + HOUR * first)["off"][0]
        off[history.calendar.hour_of_week[0, first : first + 24].astype(np.intp)] = hours
    return off


def origins(principal: str) -> dict[str, list[Origin]]:
    """Return the countries, addresses and devices (`country`, `ip`, `device`) of a user's logins, the last seen first.

    What is not known of a login is left out.
    """
    found: dict[str, list[Origin]] = {name: [] for name in _GROUPED.values()}
    with connection.cursor() as cursor:
        cursor.execute(_ORIGINS, [principal])
        for mask, country, ip, device, *told in cursor.fetchall():
            value = {"country": country, "ip": ip, "device": device}[_GROUPED[mask]]
            if value:
                found[_GROUPED[mask]].append(Origin(value, *told))
    return found
