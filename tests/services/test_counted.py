"""services/counted: what rules count, over a span, beside their limit."""

from datetime import datetime, timedelta

import pytest

from anomalies.models import Anomaly, Metric
from anomalies.services import counted, evidence, rules, scans
from anomalies.services.access_requests import times_of
from anomalies.services.actor import Actor
from tests import make
from tests.services.access_requests import told, unit
from tests.services.days import MONDAY, burst, record, store

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
START = MONDAY + timedelta(days=120, hours=10, minutes=2)


def _found(type_: str) -> tuple[Anomaly, Metric]:
    scans.replay(now=START + 3 * DAY)
    anomaly = Anomaly.objects.get(type=type_)
    return anomaly, Metric.objects.get(anomaly=anomaly, what__in=counted.COUNTED)


def _series(anomaly: Anomaly, metric: Metric, days: int = 1) -> evidence.BandedSeries:
    series = counted.counted_series(anomaly, metric, span=days * DAY, now=START + 3 * DAY)
    assert series is not None
    return series


def _shown(series: evidence.BandedSeries) -> dict[datetime, int]:
    """What is not nothing, by time."""
    pairs = zip(series.times, series.observed, strict=True)
    return {datetime.fromtimestamp(time, MONDAY.tzinfo): count for time, count in pairs if count}


def test_of_automation_it_is_the_similar_requests_within_the_rules_window_beside_its_limit() -> None:
    asked = [told("created", START + n * timedelta(minutes=10), f"n{n}", units=[unit(f"t{n}")]) for n in range(8)]
    elsewhere = [told("created", START + timedelta(minutes=3), "wiki", units=[unit("wiki", integration="confluence")])]
    store([*asked, *elsewhere])
    anomaly, metric = _found("access_automation")
    series = _series(anomaly, metric)
    assert (series.band, series.window_seconds, series.resolution_seconds) == ("limit", 3600, 300)
    assert max(series.observed) == anomaly.evidence["observed"] == 6
    assert set(series.upper) == {4.0}
    shown = _shown(series)
    assert [shown[START - timedelta(minutes=2) + n * timedelta(minutes=10)] for n in range(8)] == [
        1,
        2,
        3,
        4,
        5,
        6,
        6,
        6,
    ]
    assert START + timedelta(minutes=131) not in shown


def test_of_a_rule_it_is_its_events_within_its_window() -> None:
    limit = {"name": "Exports", "window_seconds": 300, "threshold": 20, "scopes": ["exports.read"]}
    rules.create(by=Actor(name="ana"), at=MONDAY, **limit)
    wanted = burst(START, 30, seconds=11, action="exports.read")
    store([record(START - DAY), *wanted, *burst(START, 40, seconds=2, action="token.issue")])
    anomaly, metric = _found("custom_rule")
    series = _series(anomaly, metric)
    assert (series.band, series.unit, series.window_seconds) == ("limit", "events", 300)
    assert max(series.observed) == anomaly.evidence["observed"] == 28
    assert set(series.upper) == {19.0}


def test_of_an_inactive_user_it_is_all_requests_by_the_day_and_the_gap_is_what_is_told_of() -> None:
    store([told("created", MONDAY, "old"), told("created", MONDAY + DAY, "older"), told("created", START, "new")])
    anomaly, metric = _found("inactive_user")
    assert counted.began(anomaly) == MONDAY + DAY
    assert counted.told_over(anomaly) == anomaly.active_until - MONDAY - DAY
    series = _series(anomaly, metric, days=400)
    assert (series.band, series.resolution_seconds) == ("", 86_400)
    midnight = timedelta(hours=10, minutes=2)
    assert _shown(series) == {MONDAY: 1, MONDAY + DAY: 1, START - midnight: 1}


def test_of_an_approval_the_time_since_the_rejection_is_told_of_and_a_month_is_shown() -> None:
    anomaly = make.anomaly(evidence={**make.EVIDENCE, "request_id": "r", "rejected_at": MONDAY.timestamp()})
    assert counted.began(anomaly) == MONDAY
    near = make.anomaly(evidence={**make.EVIDENCE, "request_id": "r", "rejected_at": make.NOW.timestamp() - 60})
    assert counted.told_over(near) == timedelta(days=30)
    assert counted.told_over(make.anomaly()) is None


def test_what_is_counted_by_a_series_is_none() -> None:
    spike = make.anomaly()
    assert counted.counted_series(spike, make.metric(spike), span=DAY, now=make.NOW) is None
    assert counted.counted_series(spike, None, span=DAY, now=make.NOW) is None
    assert counted.began(spike) == spike.started_at


def test_times_are_of_one_integration_and_type_or_of_any() -> None:
    store([told("created", START, "a"), told("created", START + DAY, "b", units=[unit("wiki", integration="wiki")])])
    scans.replay(now=START + 2 * DAY)
    period = {"since": START, "until": START + 2 * DAY}
    assert times_of("ana", **period) == [START.timestamp(), (START + DAY).timestamp()]
    assert times_of("ana", **period, group=("wiki", "database")) == [(START + DAY).timestamp()]
    assert times_of("ana", since=START, until=START) == []
