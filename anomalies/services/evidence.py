"""What lies behind an anomaly: its events, and its series with the band in which it was expected."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import Max, Min, Q, QuerySet

from anomalies.detection.detector import Detector
from anomalies.detection.finding import series_name
from anomalies.detection.history import DAY, History
from anomalies.detection.parameter import build_config
from anomalies.detection.registry import DETECTORS, counting
from anomalies.models import Anomaly, Event, Metric, Series
from anomalies.services import access_requests, histories, rules

HOUR = 3600  # seconds

# The hash is the exclusive or of a hash of each: in whatever order they are read, and without sorting them.
_IN_COMMON = """
SELECT {columns}, count(*),
       to_hex(coalesce(
           bit_xor(('x' || left(md5(external_id || ' ' || extract(epoch FROM time)), 16))::bit(64)::bigint), 0))
FROM anomalies_event WHERE {key} AND time >= %s AND time < %s
"""
_COLUMNS = ("agent_id", "principal_id", "host(ip)", "integration", "resource", "resource_type", "grant_id")
_KEYS = {"agent": "agent_id = %s", "principal": "principal_id = %s", "address": "ip = %s::inet"}
# Who, where and on which platform, out of groups: users may be many, of each of whom the countries are few.
_INVOLVED = """
WITH found AS MATERIALIZED (
    SELECT principal_id, integration, country, source_id, count(*) AS events
    FROM anomalies_event WHERE {key} AND time >= %s AND time < %s GROUP BY 1, 2, 3, 4
), users AS MATERIALIZED (
    SELECT principal_id AS id, sum(events) AS events FROM found WHERE principal_id IS NOT NULL GROUP BY 1
)
SELECT ARRAY(SELECT DISTINCT integration COLLATE "C" FROM found WHERE integration <> '' ORDER BY 1),
       ARRAY(SELECT name COLLATE "C" FROM anomalies_source WHERE id IN (SELECT source_id FROM found) ORDER BY 1),
       ARRAY(SELECT DISTINCT country COLLATE "C" FROM found WHERE country <> '' ORDER BY 1),
       ARRAY(SELECT id FROM users ORDER BY events DESC, id COLLATE "C" LIMIT {most}),
       (SELECT count(*) FROM users)
"""
MOST_USERS = 100  # that are kept by name, beside their number
_CHARTED_BY: dict[str, Detector] = {what: DETECTORS[counting(what)[0]] for what in Series.Metric.values}
STORED_TO = timedelta(milliseconds=1)  # as exact as times in the evidence are
MINUTE, FIVE_MINUTES = 60, 300  # seconds
FINE_UP_TO = timedelta(hours=24)  # longer spans are shown by the hour,
HOURS_UP_TO = timedelta(days=7)  # or, if these are longer yet, by the day where whole days deviate
METRICS_AT_ONCE = 5


class Band(StrEnum):
    """What the edges of a band say."""

    EXPECTED = "expected"
    LIMIT = "limit"  # of a rule: the upper one alone
    NONE = ""  # nothing: a rule looks at single ones, however many there are


@dataclass(frozen=True, slots=True)
class BandedSeries:
    """Observed counts with the expected band, oldest first; times are starts of buckets, in epoch seconds."""

    name: str
    unit: str
    resolution_seconds: int
    times: list[float]
    observed: list[int]
    expected: list[float]
    lower: list[float]
    upper: list[float]
    band: Band = Band.EXPECTED
    window_seconds: int = 0  # that each value counts, up to its time; 0 for its bucket
    failures: list[int] = field(default_factory=list)  # among those observed; empty where they are not told


@dataclass(frozen=True, slots=True)
class Common:
    """What all events of an entity in a stretch of time have in common, how many they are, and a hash over them."""

    agent_id: str | None
    principal_id: str | None
    ip: str | None
    integration: str | None
    resource: str | None
    resource_type: str | None
    grant_id: str | None
    count: int
    hash: str


def in_common(kind: str, entity: str, start: datetime, end: datetime) -> Common:
    """Return what the events of an entity in [start, end) have in common."""
    columns = ", ".join(
        f"CASE WHEN min({column}) = max({column}) AND count({column}) = count(*) THEN min({column}) END"
        for column in _COLUMNS
    )
    with connection.cursor() as cursor:
        cursor.execute(_IN_COMMON.format(columns=columns, key=_KEYS[kind]), [entity, start, end])
        return Common(*cursor.fetchone())


@dataclass(frozen=True, slots=True)
class Involved:
    """Who, where and on which platform the events of an entity in a stretch of time were."""

    integrations: list[str]
    sources: list[str]
    countries: list[str]
    principal_ids: list[str]  # of the most events first
    principal_count: int

    @property
    def platforms(self) -> list[str]:
        """The integrations; where events name none, the sources that sent them."""
        return self.integrations or self.sources


def involved(kind: str, entity: str, start: datetime, end: datetime) -> Involved:
    """Return who, where and on which platform the events of an entity in [start, end) were."""
    with connection.cursor() as cursor:
        cursor.execute(_INVOLVED.format(key=_KEYS[kind], most=MOST_USERS), [entity, start, end])
        return Involved(*cursor.fetchone())


def events_behind(anomaly: Anomaly) -> QuerySet[Event]:
    """The events of its entity during its interval, oldest first.

    Of a custom rule those that it counted, of access requests those that tell of them. With the login from where
    somebody travelled, and the rejection before an approval.
    """
    within = Q(time__gte=anomaly.started_at, time__lt=anomaly.active_until)
    for seconds in _held_against(anomaly.evidence):
        at = datetime.fromtimestamp(seconds, UTC)
        within |= Q(time__gte=at - STORED_TO, time__lte=at + STORED_TO)
    events = Event.objects.filter(within)
    if anomaly.kind == Series.Kind.ADDRESS:
        events = events.filter(ip=anomaly.entity)
    elif anomaly.kind == Series.Kind.PRINCIPAL:
        events = events.filter(principal_id=anomaly.entity)
    else:
        events = events.filter(agent_id=anomaly.entity)
    if anomaly.type in counting("rule_events"):
        events = events.filter(rules.matching(anomaly.evidence["scopes"]))
    if "request_id" in anomaly.evidence:
        events = events.filter(action__startswith=access_requests.PREFIX)
    return events.order_by("time", "id")


def _held_against(told: Mapping[str, Any]) -> Iterator[float]:
    """Yield the times of events before an anomaly that it is about, too."""
    signs = (sign for sign in told.get("signs", ()) if isinstance(sign, Mapping))
    for seconds in (told.get("rejected_at"), *(sign.get("from_time") for sign in signs)):
        if seconds is not None:
            yield seconds


def banded_series(
    anomaly: Anomaly, metric: Metric | None = None, *, span: timedelta, now: datetime
) -> BandedSeries | None:
    """A series of the anomaly over a span that ends shortly after it, or None if nothing was counted of it by then.

    Without a metric it is all that the anomaly's own entity did. The band is what the detector expects with the
    parameters that the anomaly was judged by; a day is shown at the resolution at which the series deviated most.
    """
    ends = [interval.ended_at for interval in metric.intervals.all()] if metric else []
    until = min(now, max(ends, default=anomaly.active_until) + span / 8)
    return next(banded_series_of(anomaly, [metric], span=span, until=until))


def banded_series_of(
    anomaly: Anomaly, metrics: Sequence[Metric | None], *, span: timedelta, until: datetime
) -> Iterator[BandedSeries | None]:
    """Yield for each of some metrics of an anomaly what `banded_series` returns of it, over a span that ends then.

    The counts of a few entities of a kind are read at once: those of a year take megabytes of each.
    """
    for start in range(0, len(metrics), METRICS_AT_ONCE):
        some = metrics[start : start + METRICS_AT_ONCE]
        entities: dict[str, set[str]] = defaultdict(set)
        for kind, entity, _ in (_series_of(anomaly, metric) for metric in some):
            entities[kind].add(entity)
        known = {kind: _histories(kind, wanted, span, until) for kind, wanted in entities.items()}
        for metric in some:
            kind, entity, _ = _series_of(anomaly, metric)
            history, windows = known[kind]
            window = windows.get(entity)
            yield _banded(anomaly, metric, history.of([entity]), window, span, until) if history and window else None


def _series_of(anomaly: Anomaly, metric: Metric | None) -> tuple[str, str, str]:
    """Return the kind, the entity and the action of a metric, or else those of the anomaly itself."""
    return (metric.kind, metric.entity, metric.action) if metric else (anomaly.kind, anomaly.entity, "")


def _histories(
    kind: str, entities: Collection[str], span: timedelta, until: datetime
) -> tuple[History | None, dict[str, histories.Window]]:
    """Return the history of the entities of which anything was counted by then, and from when on each is shown."""
    counted = Series.objects.filter(kind=kind, entity__in=entities, metric=Series.Metric.REQUESTS)
    known = counted.values("entity").annotate(first=Min("first_time"), last=Max("last_time"))
    windows = [
        histories.Window(one["entity"], max(until - span, one["first"]), one["first"], max(until, one["last"]))
        for one in known.order_by("entity")
        if one["first"] < until
    ]
    history = histories.load(kind, windows, until=until) if windows else None
    return history, {window.entity: window for window in windows}


def _banded(
    anomaly: Anomaly,
    metric: Metric | None,
    history: History,
    window: histories.Window,
    span: timedelta,
    until: datetime,
) -> BandedSeries | None:
    detector = DETECTORS[anomaly.type]
    kind, entity, action = _series_of(anomaly, metric)
    history = history.with_action(action)
    if history.actions[-1] != action:
        return None
    width = _width(history, (metric or anomaly).evidence["resolution_seconds"], span, since=until - span)
    config = build_config(detector.config, detector.known(anomaly.evidence["parameters"]))
    chart = detector.chart(history, config, width)
    if metric and metric.what != chart.unit and metric.what in _CHARTED_BY:  # of an anomaly that was merged into this
        other = _CHARTED_BY[metric.what]
        chart = other.chart(history, other.config(), width)
    shown = np.flatnonzero(
        (chart.starts + chart.width > window.judge_from.timestamp()) & (chart.starts < until.timestamp())
    )
    begins = chart.starts[shown[0]] if len(shown) else until.timestamp()
    before = np.arange(begins - chart.width, (until - span).timestamp() - chart.width, -chart.width)[::-1]
    unknown = [0] * len(before)  # nothing was known of it yet
    what = Series.Metric.FAILURES if chart.unit == "failures" else Series.Metric.REQUESTS
    return BandedSeries(
        name=series_name(what, kind, entity, action),
        unit=chart.unit,
        resolution_seconds=chart.width,
        times=[*before.tolist(), *chart.starts[shown].tolist()],
        observed=[*unknown, *chart.observed[shown].tolist()],
        expected=[*unknown, *chart.expected[shown].tolist()],
        lower=[*unknown, *chart.lower[shown].tolist()],
        upper=[*unknown, *chart.upper[shown].tolist()],
    )


def _width(history: History, resolution_seconds: int, span: timedelta, *, since: datetime) -> int:
    """Return the seconds of the buckets in which a span of a series is shown that deviated at that resolution."""
    if span > HOURS_UP_TO:
        return DAY if resolution_seconds >= DAY else HOUR
    if span > FINE_UP_TO:
        return HOUR
    # Retention drops what is finer sooner.
    start = since.timestamp() // HOUR * HOUR
    minutes, fives, hours = (
        int(counts.requests[-1, max(0, counts.index(start)) :].sum())
        for counts in (history.minutes, history.fives, history.hours)
    )
    if resolution_seconds <= MINUTE and minutes >= hours:
        return MINUTE
    return FIVE_MINUTES if resolution_seconds <= FIVE_MINUTES and fives >= hours else HOUR
