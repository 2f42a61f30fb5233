"""services/evidence: what lies behind an anomaly."""

from datetime import timedelta

import numpy as np
import pytest

from anomalies.models import Anomaly, BucketBlock, Series
from anomalies.services import evidence, metrics
from tests import make
from tests.services.days import MONDAY, SPIKE_SEEN, burst, record, run, store, usual

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def test_its_series_is_shown_with_its_band(spike: Anomaly) -> None:
    shown = evidence.banded_series(spike, span=timedelta(hours=24), now=SPIKE_SEEN)
    assert shown is not None
    assert shown.resolution_seconds == 300
    assert max(shown.observed) == 300 > max(shown.upper)
    by_hour = evidence.banded_series(spike, span=timedelta(days=7), now=SPIKE_SEEN)
    assert by_hour is not None
    assert (by_hour.resolution_seconds, len(by_hour.times)) == (3600, 7 * 24 + 1)  # the first and last hour in part


@pytest.mark.parametrize("evidence_of", ["signs", "rejected_at"])
def test_what_an_anomaly_is_held_against_is_among_its_events(evidence_of: str) -> None:
    before, at = make.NOW - timedelta(hours=3, microseconds=7), make.NOW
    told = {"signs": [{"sign": "travel", "from_time": round(before.timestamp(), 3)}, {"sign": "new_country"}]}
    if evidence_of == "rejected_at":
        told = {"rejected_at": round(before.timestamp(), 3), "signs": ["at regular intervals"]}
    end = at + timedelta(seconds=1)
    anomaly = make.anomaly(started_at=at, active_until=end, evidence={**make.EVIDENCE, **told})
    for time in (before, make.NOW - timedelta(hours=2), at):
        make.event(time=time)
    assert [event.time for event in evidence.events_behind(anomaly)] == [before, at]


def test_before_an_address_was_known_its_series_is_zero() -> None:
    store(burst(MONDAY + timedelta(hours=30), 45, seconds=3, agent_id="sshd", ip="192.0.2.9", status="failure"))
    now = MONDAY + timedelta(hours=31)
    run(now)
    anomaly = Anomaly.objects.get(kind="address", type="high_failure_rate")
    shown = evidence.banded_series(anomaly, span=timedelta(hours=24), now=now)
    assert shown is not None
    assert shown.resolution_seconds == 300
    assert len(shown.times) in (288, 289)
    assert sum(shown.observed) == 45
    assert np.diff(shown.times).tolist() == [300.0] * (len(shown.times) - 1)


@pytest.fixture
def leak() -> Anomaly:
    """An agent that uses an action of its own, which its user and its address show as well."""
    spike = MONDAY + timedelta(days=20, hours=10)
    store([*usual(20), *burst(spike, 300, action="secrets.read", principal_id="eve", ip="203.0.113.5")])
    run(SPIKE_SEEN)
    return Anomaly.objects.get(type="rate_spike", kind="agent")


def test_the_metric_that_its_sentence_tells_comes_first(leak: Anomaly) -> None:
    told = metrics.of(leak)
    assert len(told) > 1
    assert told[0].name == "what=requests.agent=ag_billing"
    assert "what=requests.agent=ag_billing.action=secrets.read" in {metric.name for metric in told}


@pytest.mark.parametrize("span", [timedelta(hours=24), timedelta(days=7), timedelta(days=30)])
def test_every_metric_is_shown_as_its_own_series(leak: Anomaly, span: timedelta) -> None:
    for metric in metrics.of(leak):
        shown = evidence.banded_series(leak, metric, span=span, now=SPIKE_SEEN)
        assert shown is not None
        assert shown.name == metric.name
        usual_too = not metric.action and metric.kind == "agent"
        assert (sum(shown.observed) > 300) is usual_too
        assert max(shown.observed) >= 300


def test_a_series_of_which_nothing_is_left_is_not_shown(leak: Anomaly) -> None:
    [alone] = [metric for metric in metrics.of(leak) if metric.action]
    Series.objects.filter(action="secrets.read").delete()
    assert evidence.banded_series(leak, alone, span=timedelta(hours=24), now=SPIKE_SEEN) is None


def test_minutes_that_retention_dropped_are_shown_by_five(spike: Anomaly) -> None:
    spike.evidence["resolution_seconds"] = 60
    by_minute = evidence.banded_series(spike, span=timedelta(hours=24), now=SPIKE_SEEN)
    BucketBlock.objects.filter(resolution_seconds=60).delete()
    by_five = evidence.banded_series(spike, span=timedelta(hours=24), now=SPIKE_SEEN)
    assert by_minute is not None
    assert by_five is not None
    assert (by_minute.resolution_seconds, by_five.resolution_seconds) == (60, 300)
    assert max(by_five.observed) == 300


def test_what_retention_dropped_is_shown_by_what_is_kept(spike: Anomaly) -> None:
    BucketBlock.objects.filter(resolution_seconds__lt=3600).delete()
    for resolution in (60, 300):
        spike.evidence["resolution_seconds"] = resolution
        shown = evidence.banded_series(spike, span=timedelta(hours=24), now=SPIKE_SEEN)
        assert shown is not None
        assert shown.resolution_seconds == 3600
        assert max(shown.observed) >= 300


def test_whole_days_that_deviate_are_shown_by_the_day_once_enough_are_known() -> None:
    store(usual(70, per_hour=2))
    day = MONDAY + timedelta(days=69)
    store([record(day + timedelta(minutes=10 * n), 5000 + n) for n in range(144)])
    now = day + timedelta(days=1, minutes=30)
    run(now)
    spike = Anomaly.objects.get(type="rate_spike", kind="agent")
    spike.evidence["resolution_seconds"] = 86_400
    by_day = evidence.banded_series(spike, span=timedelta(days=30), now=now)
    assert by_day is not None
    assert by_day.resolution_seconds == 86_400
    at = by_day.times.index(day.timestamp())
    assert by_day.observed[at] > 144 > by_day.upper[at]
    by_hour = evidence.banded_series(spike, span=timedelta(days=7), now=now)
    assert by_hour is not None
    assert by_hour.resolution_seconds == 3600


def test_a_series_of_a_merged_anomaly_is_shown_as_what_it_counts(spike: Anomaly) -> None:
    store(burst(SPIKE_SEEN - timedelta(minutes=4), 12, status="failure"))
    run(SPIKE_SEEN + timedelta(minutes=1))
    failures = make.metric(spike, what="failures")
    shown = evidence.banded_series(spike, failures, span=timedelta(hours=24), now=SPIKE_SEEN)
    assert shown is not None
    assert (shown.name, shown.unit, sum(shown.observed)) == (failures.name, "failures", 12)


def test_who_where_and_which_platform_are_told_of_all_its_events() -> None:
    minute = timedelta(minutes=1)
    for number, (user, country, integration) in enumerate(
        [("bo", "ES", "office365"), ("al", "VN", "aws"), ("bo", "ES", ""), (None, "", "")]
    ):
        make.event(time=make.NOW + number * minute, principal_id=user, country=country, integration=integration)
    make.event(time=make.NOW + 4 * minute, principal_id="late", country="US", integration="gcp")
    make.event(time=make.NOW, agent_id="ag_other", principal_id="other", country="FR", integration="okta")
    told = evidence.involved("agent", "ag_billing", make.NOW, make.NOW + 4 * minute)
    assert told == evidence.Involved(["aws", "office365"], ["test"], ["ES", "VN"], ["bo", "al"], 2)
    assert told.platforms == ["aws", "office365"]


def test_the_grant_is_the_one_that_all_events_name() -> None:
    span = make.NOW, make.NOW + timedelta(minutes=1)
    make.event(grant_id="grnt_1")
    make.event(grant_id="grnt_1")
    assert evidence.in_common("agent", "ag_billing", *span).grant_id == "grnt_1"
    make.event()
    assert evidence.in_common("agent", "ag_billing", *span).grant_id is None


def test_where_events_name_no_integration_their_source_is_the_platform() -> None:
    make.event(source=make.source("bastion"))
    assert evidence.involved("agent", "ag_billing", make.NOW, make.NOW + timedelta(minutes=1)).platforms == ["bastion"]


def test_of_many_users_the_busiest_are_named_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "MOST_USERS", 2)
    for user in ("al", "bo", "bo", "cy", "cy", "cy"):
        make.event(principal_id=user)
    told = evidence.involved("agent", "ag_billing", make.NOW, make.NOW + timedelta(minutes=1))
    assert (told.principal_ids, told.principal_count) == (["cy", "bo"], 3)


def test_an_anomaly_keeps_who_where_and_which_platform() -> None:
    spike = MONDAY + timedelta(days=20, hours=10)
    store([*usual(20), *burst(spike, 300, principal_id="eve", country="VN", integration="office365")])
    run(SPIKE_SEEN)
    kept = Anomaly.objects.get(type="rate_spike", kind="agent")
    assert (kept.platforms, kept.countries) == (["office365"], ["VN"])
    assert kept.principal_ids[0] == "eve"
    assert kept.principal_count == len(kept.principal_ids)
