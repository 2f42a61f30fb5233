"""services/findings and causes: what becomes of a finding."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from msgspec import structs

from anomalies.detection.finding import Finding
from anomalies.detection.history import History
from anomalies.ingest.record import EventRecord
from anomalies.models import (
    Anomaly,
    Notice,
    OutboxMessage,
    ReviewEntry,
)
from anomalies.services import evidence, reviews
from anomalies.services.actor import Actor
from anomalies.services.detectors import Judges
from tests.services.days import MONDAY, SPIKE_SEEN, burst, record, run, store, usual

pytestmark = [pytest.mark.django_db, pytest.mark.once]

ANA = Actor(name="ana")
GUESSER = {"agent_id": "sshd", "ip": "192.0.2.9", "action": "ssh.login", "principal_id": "root"}


def test_a_spike_is_raised_open_explained_and_announced(spike: Anomaly) -> None:
    assert (spike.agent_id, spike.state, spike.status, spike.severity) == ("ag_billing", "open", "open", 3)
    assert spike.detected_at == SPIKE_SEEN
    assert spike.evidence["observed"] == 300
    assert spike.evidence["parameters"]["min_ratio"] == 2.0
    assert [entry.action for entry in spike.review_entries.all()] == ["detected"]
    assert OutboxMessage.objects.get(anomaly=spike).type == "anomaly.detected"
    assert spike.metrics.get(action="").intervals.exists()


def test_it_closes_when_the_series_is_back_in_its_band(spike: Anomaly) -> None:
    scan = run(SPIKE_SEEN + timedelta(hours=3))
    spike.refresh_from_db()
    assert (spike.state, spike.ended_at, scan.anomalies_closed) == ("closed", spike.active_until, 1)
    assert spike.status == "open"  # that is for people to decide


def test_an_acknowledged_anomaly_stays_so_while_it_goes_on(spike: Anomaly) -> None:
    reviews.acknowledge(spike, by=ANA, at=SPIKE_SEEN)
    store(burst(SPIKE_SEEN + timedelta(minutes=2), 200))
    scan = run(SPIKE_SEEN + timedelta(minutes=8))
    after = Anomaly.objects.get(type="rate_spike")
    assert (after.public_id, after.status, after.acknowledged_by) == (spike.public_id, "acknowledged", "ana")
    assert after.active_until > spike.active_until
    assert scan.anomalies_extended == 1


def test_it_reopens_when_it_gets_materially_worse_and_says_so() -> None:
    address = {"agent_id": "sshd", "ip": "192.0.2.9", "action": "ssh.login", "principal_id": "root"}
    start = MONDAY + timedelta(hours=3)
    store(burst(start, 30, seconds=5, status="failure", **address))
    run(start + timedelta(minutes=4))
    anomaly = Anomaly.objects.get(kind="address", type="high_failure_rate")
    assert anomaly.severity == 2
    reviews.acknowledge(anomaly, by=ANA, at=start + timedelta(minutes=4))
    store([record(start + timedelta(minutes=5), 5000, **address)])
    run(start + timedelta(minutes=6))
    anomaly.refresh_from_db()
    assert (anomaly.severity, anomaly.status, anomaly.acknowledged_at) == (3, "open", None)
    notes = list(anomaly.review_entries.order_by("id").values_list("action", "note"))
    assert notes[-1] == ("reopened", "severity rose from medium to high")
    assert anomaly.description == "Success for root after 30 failures from 192.0.2.9 in 5 minutes"


def _guessing(start: datetime) -> Anomaly:
    """Somebody fails to log in, of medium severity."""
    store(burst(start, 30, seconds=5, status="failure", **GUESSER))
    run(start + timedelta(minutes=4))
    return Anomaly.objects.get(kind="address", type="high_failure_rate")


def _gets_in(start: datetime, anomaly: Anomaly) -> ReviewEntry:
    """They succeed, which is of high severity; return the last that is said of it."""
    store([record(start + timedelta(minutes=5), 5000, **GUESSER)])
    run(start + timedelta(minutes=6))
    anomaly.refresh_from_db()
    assert anomaly.severity == 3
    return anomaly.review_entries.latest("id")


def test_what_is_snoozed_is_woken_when_it_gets_materially_worse_and_says_so(ana: User) -> None:
    start = MONDAY + timedelta(hours=3)
    anomaly = _guessing(start)
    at = start + timedelta(minutes=4)
    until = at + timedelta(days=1)
    snoozed = reviews.snooze(anomaly, until=until, by=Actor("ana", ana), at=at)
    woken = _gets_in(start, anomaly)
    assert anomaly.snoozed_until is None
    assert Anomaly.objects.needs_review().filter(pk=anomaly.pk).exists()
    assert (woken.action, woken.note, woken.actor) == ("woken", "severity rose from medium to high", "detection")
    assert woken.changes["snoozed_until"] == [until.isoformat(), None]
    assert Notice.objects.values_list("user__username", "entry").get() == ("ana", woken.pk)
    assert OutboxMessage.objects.filter(anomaly=anomaly).latest("id").type == "anomaly.updated"
    with pytest.raises(reviews.NothingToUndoError, match="woken since by detection"):
        reviews.undo(snoozed, by=ANA, at=at)


def test_what_was_resolved_reopens_with_nothing_left_of_the_decision_but_its_entries(ana: User) -> None:
    start = MONDAY + timedelta(hours=3)
    anomaly = _guessing(start)
    at = start + timedelta(minutes=4)
    reviews.assign(anomaly, to=ana, by=ANA, at=at)
    resolved = reviews.resolve(anomaly, verdict="benign", by=ANA, at=at, reason="a drill")
    reopened = _gets_in(start, anomaly)
    assert (anomaly.status, anomaly.verdict, anomaly.reason, anomaly.resolved_by) == ("open", "", "", "")
    assert (anomaly.acknowledged_at, anomaly.resolved_at, anomaly.assignee) == (None, None, ana)
    assert (reopened.from_status, reopened.to_status) == ("resolved", "open")
    assert reopened.changes["reason"] == ["a drill", ""]
    with pytest.raises(reviews.NothingToUndoError, match="reopened since by detection"):
        reviews.undo(resolved, by=ANA, at=at)
    with pytest.raises(reviews.NotUndoableError):
        reviews.undo(reopened, by=ANA, at=at)


def test_all_that_people_decided_stays_while_it_goes_on(spike: Anomaly, ana: User) -> None:
    until = SPIKE_SEEN + timedelta(days=1)
    reviews.snooze(spike, until=until, by=ANA, at=SPIKE_SEEN)
    reviews.assign(spike, to=ana, by=ANA, at=SPIKE_SEEN)
    reviews.rename(spike, title="The sync", by=ANA, at=SPIKE_SEEN)
    store(burst(SPIKE_SEEN + timedelta(minutes=2), 200))
    assert run(SPIKE_SEEN + timedelta(minutes=8)).anomalies_extended == 1
    after = Anomaly.objects.get(type="rate_spike")
    assert (after.snoozed_until, after.assignee, after.title) == (until, ana, "The sync")
    reviews.resolve(after, verdict="benign", by=ANA, at=until, reason="nightly")
    run(SPIKE_SEEN + timedelta(hours=3))
    after.refresh_from_db()
    assert (after.state, after.status, after.verdict, after.reason) == ("closed", "resolved", "benign", "nightly")


def test_late_events_amend_the_same_anomaly(spike: Anomaly) -> None:
    run(SPIKE_SEEN + timedelta(hours=5))
    store(burst(MONDAY + timedelta(days=20, hours=10, seconds=1), 250, seconds=1.1))
    run(SPIKE_SEEN + timedelta(hours=6))
    after = Anomaly.objects.get(type="rate_spike")
    assert after.public_id == spike.public_id
    assert after.evidence["observed"] > 500


def test_a_late_event_in_the_middle_leaves_the_rest_of_the_anomaly(spike: Anomaly) -> None:
    run(SPIKE_SEEN + timedelta(hours=5))
    before = Anomaly.objects.values("started_at", "active_until").get()
    store([record(MONDAY + timedelta(days=20, hours=10, minutes=4), 9999)])
    run(SPIKE_SEEN + timedelta(hours=6))
    assert Anomaly.objects.values("started_at", "active_until").get() == before
    assert Anomaly.objects.get().evidence["observed"] == 301


def test_a_further_series_of_an_anomaly_that_says_the_same_is_kept(
    spike: Anomaly, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Anomaly.objects.values("evidence", "severity", "started_at", "active_until").get()
    detect = Judges.detect

    def further(judges: Judges, history: History) -> list[Finding]:
        found = detect(judges, history)
        return [replace(one, metrics=(*one.metrics, replace(one.metrics[0], action="more"))) for one in found]

    monkeypatch.setattr(Judges, "detect", further)
    scan = run(SPIKE_SEEN + timedelta(minutes=1))
    assert Anomaly.objects.values("evidence", "severity", "started_at", "active_until").get() == before
    assert spike.metrics.get(action="more").intervals.exists()
    assert scan.anomalies_extended == 1
    monkeypatch.undo()
    run(SPIKE_SEEN + timedelta(minutes=2))
    assert not spike.metrics.filter(action="more").exists()


def test_events_of_an_anomaly_are_read_again_only_if_any_came_or_its_figures_changed(spike: Anomaly) -> None:
    with CaptureQueriesContext(connection) as nothing_new:
        assert run(SPIKE_SEEN + timedelta(minutes=1)).series_judged
    assert not [query for query in nothing_new if "bit_xor" in query["sql"]]
    spike.refresh_from_db()
    events = spike.evidence["events"]
    store([record(spike.started_at, 9999, action="other")])
    run(SPIKE_SEEN + timedelta(minutes=2))
    spike.refresh_from_db()
    assert spike.evidence["events"]["count"] == events["count"] + 1
    assert spike.evidence["events"]["hash"] != events["hash"]


def test_another_new_principal_is_another_anomaly_and_the_decision_about_the_first_stays() -> None:
    store([record(MONDAY + timedelta(minutes=10 * n), n, principal_id="ana") for n in range(3000)])
    first, second = MONDAY + timedelta(days=20, hours=22), MONDAY + timedelta(days=20, hours=23, minutes=40)
    store([record(first, 8, principal_id="eve")])
    run(first + timedelta(minutes=1))
    reviews.acknowledge(Anomaly.objects.get(type="new_principal"), by=ANA, at=first)
    store([record(second, 9, principal_id="mallory")])
    run(second + timedelta(minutes=1))
    found = Anomaly.objects.filter(type="new_principal").order_by("started_at")
    assert [(one.principal_id, one.status) for one in found] == [("eve", "acknowledged"), ("mallory", "open")]


def test_what_all_events_share_is_on_the_anomaly() -> None:
    store(
        burst(
            MONDAY, 30, agent_id="sshd", ip="192.0.2.9", status="failure", integration="ssh", resource="db1",
            resource_type="host", principal_id="root",
        )
    )  # fmt: skip
    run(MONDAY + timedelta(minutes=2))
    anomaly = Anomaly.objects.get(kind="address", type="high_failure_rate")
    assert (anomaly.agent_id, anomaly.principal_id, anomaly.ip) == ("sshd", "root", "192.0.2.9")
    assert (anomaly.integration, anomaly.resource, anomaly.resource_type) == ("ssh", "db1", "host")
    assert evidence.events_behind(anomaly).count() == 30


def test_entries_of_detection_name_no_person(spike: Anomaly) -> None:
    assert set(ReviewEntry.objects.values_list("actor", "user")) == {("detection", None)}


def test_an_address_whose_agent_stays_in_its_band_is_raised_itself() -> None:
    store([*usual(20, per_hour=60)])
    quiet = [record(MONDAY + timedelta(hours=n), 90_000 + n, ip="10.0.0.9") for n in range(480)]
    start = MONDAY + timedelta(days=20, hours=10)
    store([*quiet, *burst(start, 55, seconds=60, ip="10.0.0.9")])
    run(start + timedelta(hours=1))
    assert [one.kind for one in Anomaly.objects.filter(type="rate_spike")] == ["address"]


def test_an_address_that_is_all_its_agent_does_is_told_by_the_agent() -> None:
    quiet = [{**structs.asdict(record), "ip": "10.0.0.1"} for record in usual(20)]
    store([*(EventRecord(**fields) for fields in quiet), *burst(SPIKE_SEEN - timedelta(minutes=6), 300, ip="10.0.0.1")])
    scan = run(SPIKE_SEEN)
    assert [(one.kind, one.entity) for one in Anomaly.objects.filter(type="rate_spike")] == [("agent", "ag_billing")]
    assert scan.findings_told_by_others == 1


def test_a_user_who_is_little_of_a_busy_agent_is_not() -> None:
    busy = [record(MONDAY + timedelta(seconds=6 * n), n) for n in range(14_400 * 4)]
    quiet = [record(MONDAY + timedelta(hours=3 * n), 500_000 + n, principal_id="eve") for n in range(8 * 4)]
    start = MONDAY + timedelta(days=3, hours=22)
    store([*busy, *quiet, *burst(start, 400, seconds=0.2), *burst(start, 40, seconds=2, principal_id="eve")])
    run(start + timedelta(minutes=4))
    assert Anomaly.objects.filter(type="rate_spike", kind="agent").exists()
    assert Anomaly.objects.filter(type="rate_spike", kind="principal", entity="eve").exists()
