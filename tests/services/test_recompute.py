"""services/recompute: the same figures again, or what differs and why."""

from datetime import timedelta

import pytest

from anomalies.detection.wording import span
from anomalies.models import Anomaly, BucketBlock, Event
from anomalies.services import scans
from anomalies.services.recompute import recompute
from tests.services.days import MONDAY, SPIKE_SEEN, burst, record, run, store

pytestmark = pytest.mark.django_db


def test_every_anomaly_comes_out_with_the_same_figures_again() -> None:
    settled = [record(MONDAY + timedelta(minutes=10 * n), n, principal_id="ana", ip="10.0.0.1") for n in range(2900)]
    spike = MONDAY + timedelta(days=20, hours=10)
    guessing = {"agent_id": "sshd", "ip": "192.0.2.9", "principal_id": "root", "status": "failure"}
    store([*settled, *burst(spike, 300), record(spike, 9, principal_id="eve", ip="203.0.113.5")])
    store(burst(spike, 45, seconds=3, **guessing))
    run(SPIKE_SEEN)
    run(SPIKE_SEEN + timedelta(hours=3))
    found = list(Anomaly.objects.all())
    assert {anomaly.type for anomaly in found} >= {"rate_spike", "high_failure_rate", "new_principal"}
    for anomaly in found:
        assert recompute(anomaly).equal, (anomaly.type, recompute(anomaly))


def test_it_comes_out_the_same_after_a_replay(spike: Anomaly) -> None:
    scans.replay(now=SPIKE_SEEN + timedelta(days=1))
    spike.refresh_from_db()
    assert recompute(spike).equal


def test_that_another_detector_agrees_is_no_difference(spike: Anomaly) -> None:
    spike.evidence["agreement"] = {"with": ["new_principal"], "own_severity": 2, "why": "new_principal agrees"}
    assert recompute(spike).equal


def test_nothing_is_written(spike: Anomaly) -> None:
    before = Anomaly.objects.values().get()
    recompute(spike)
    assert Anomaly.objects.values().get() == before


def test_events_too_late_to_be_judged_are_named(spike: Anomaly) -> None:
    run(SPIKE_SEEN + timedelta(days=5))
    store([record(SPIKE_SEEN + timedelta(days=5), 77)])
    run(SPIKE_SEEN + timedelta(days=5, minutes=1))
    store(burst(MONDAY + timedelta(days=20, hours=10), 40, seconds=2.5, ip="192.0.2.7"))
    run(SPIKE_SEEN + timedelta(days=5, minutes=2))
    spike.refresh_from_db()
    again = recompute(spike)
    assert "40 of its events came too late for it to be judged again." in again.reasons
    observed = next(difference for difference in again.differences if difference.figure == "observed")
    assert observed.derived == observed.stored + 40


def test_events_that_are_gone_are_named(spike: Anomaly) -> None:
    Event.objects.filter(time__gte=spike.started_at).delete()
    assert recompute(spike).reasons[0].endswith("of its events are no longer stored.")


def test_counts_that_are_gone_are_named(spike: Anomaly) -> None:
    width = spike.evidence["resolution_seconds"]
    BucketBlock.objects.filter(resolution_seconds=width, start__lt=spike.started_at - timedelta(days=1)).delete()
    assert not any("its counts by" in reason.lower() for reason in recompute(spike).reasons)
    BucketBlock.objects.filter(resolution_seconds=width).delete()
    assert recompute(spike).reasons[0] == f"Its counts by {span(width)} are no longer stored."
    BucketBlock.objects.all().delete()
    assert recompute(spike).reasons == [f"Its counts by {span(width)} are no longer stored."]


def test_a_history_that_is_gone_is_named(spike: Anomaly) -> None:
    spike.evidence["resolution_seconds"] = 86_400
    BucketBlock.objects.all().delete()
    assert recompute(spike).reasons == [
        "From what is stored today it would not be raised: its counts or its history have changed."
    ]


def test_another_version_of_the_detector_is_named(spike: Anomaly) -> None:
    spike.evidence["detector_version"] = 0
    assert recompute(spike).reasons[0].startswith("It was judged by version 0 of the detector")


def test_parameters_that_cannot_be_set_any_more_are_named(spike: Anomaly) -> None:
    spike.evidence["parameters"]["min_ratio"] = -1
    assert "min_ratio" in recompute(spike).reasons[0]


def test_a_detector_that_is_gone_is_named(spike: Anomaly) -> None:
    spike.type = "gone"
    assert recompute(spike).reasons == ["There is no detector of the type gone any more."]
