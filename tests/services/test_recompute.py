"""services/recompute: the same figures again, or what differs and why."""

from datetime import timedelta
from typing import Any

import pytest

from anomalies.detection.wording import span
from anomalies.models import Anomaly, BucketBlock, Event, Rule
from anomalies.services import rules, scans
from anomalies.services.actor import Actor
from anomalies.services.recompute import recompute
from tests.services.days import MONDAY, SPIKE_SEEN, burst, record, run, store

pytestmark = [pytest.mark.django_db, pytest.mark.once]

ANA = Actor(name="ana")


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


@pytest.fixture
def by_rule(db: None) -> Anomaly:
    """Ten exports, where a rule allows nine."""
    noon = MONDAY + timedelta(days=3, hours=12)
    rules.create(by=ANA, at=MONDAY, name="Exports", window_seconds=900, threshold=10, scopes=["export"])
    store(burst(noon, 10, seconds=30, action="export"))
    run(noon + timedelta(minutes=9))
    return Anomaly.objects.get(type="custom_rule")


def test_an_anomaly_by_a_rule_that_is_as_it_was_comes_out_with_the_same_figures(by_rule: Anomaly) -> None:
    assert recompute(by_rule).equal


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"threshold": 20}, "its threshold was 10 and is 20"),
        ({"window_seconds": 300}, "its window was 15 minutes and is 5 minutes"),
        ({"scopes": []}, "its scopes was export and is all"),
        ({"name": "Nights", "severity": 3}, "its name was Exports and is Nights; its severity was medium and is high"),
        ({"agents": ["ag_other"]}, "ag_billing is none of its agents"),
        ({"enabled": False}, "it was switched off"),
    ],
)
def test_in_what_its_rule_was_changed_is_named_and_its_figures_come_out_by_what_it_was(
    by_rule: Anomaly, change: dict[str, Any], said: str
) -> None:
    rules.change(Rule.objects.get(), by=ANA, at=SPIKE_SEEN, **change)
    again = recompute(by_rule)
    assert again.differences == []
    assert again.reasons == [
        f"Its rule was changed since: {said}. What follows is by the rule as it was.",
        "The same figures come out.",
    ]


def test_a_rule_that_was_deleted_or_switched_on_anew_is_named(by_rule: Anomaly) -> None:
    rule = Rule.objects.get()
    for enabled in (False, True):
        rules.change(rule, by=ANA, at=SPIKE_SEEN, enabled=enabled)
    assert "it was switched on anew at 2026-10-25 10:06 UTC" in recompute(by_rule).reasons[0]
    rules.delete(rule, by=ANA, at=SPIKE_SEEN)
    assert "it was deleted" in recompute(by_rule).reasons[0]
    Event.objects.all().delete()
    assert recompute(by_rule).reasons[1].startswith("From what is stored today it would not be raised")


def test_what_else_differs_is_named_beside_the_change_of_a_rule(by_rule: Anomaly) -> None:
    rules.change(Rule.objects.get(), by=ANA, at=SPIKE_SEEN, threshold=20)
    store(burst(by_rule.started_at, 2, action="export", ip="192.0.2.7"))
    again = recompute(by_rule)
    assert {difference.figure for difference in again.differences} >= {"observed", "event_count"}
    assert again.reasons[1:] == ["2 newer events wait for the next scan."]


def test_a_detector_that_is_gone_is_named(spike: Anomaly) -> None:
    spike.type = "gone"
    assert recompute(spike).reasons == ["There is no detector of the type gone any more."]
