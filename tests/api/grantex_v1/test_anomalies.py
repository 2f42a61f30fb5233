"""api/grantex_v1/anomalies: list, acknowledge, detect, respond."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from anomalies.ingest.record import EventRecord
from anomalies.models import Anomaly, Grant, OutboxMessage, ReviewEntry, Scan, Suppression
from anomalies.models.anomaly import AnomalyQuerySet
from anomalies.services import access, events, merging, reviews, scans
from anomalies.services.actor import Actor
from tests import make
from tests.api.conftest import Call
from tests.api.grantex_v1.expected import error, golden

pytestmark = pytest.mark.django_db


def test_the_list_is_as_documented(call: Call) -> None:
    older = make.anomaly(detected_at=make.NOW)
    newer = make.anomaly(detected_at=make.NOW + timedelta(minutes=1, milliseconds=5), agent=make.agent("ag_2"))
    answer = call("GET", "/v1/anomalies")
    assert answer.status_code == 200
    assert answer["content-type"] == "application/json"
    assert answer.json() == {
        "anomalies": [golden(newer, agentId="ag_2", detectedAt="2026-11-20T12:01:00.005Z"), golden(older)],
        "total": 2,
    }
    assert list(answer.json()["anomalies"][0]) == [
        "id", "type", "severity", "agentId", "principalId", "description", "metadata", "detectedAt", "acknowledgedAt",
    ]  # fmt: skip


def test_an_empty_list_is_as_documented(call: Call) -> None:
    assert call("GET", "/v1/anomalies").json() == {"anomalies": [], "total": 0}


@pytest.mark.parametrize(
    ("query", "total"),
    [
        ("unacknowledged=true", 1),
        ("unacknowledged=True", 2),
        ("unacknowledged=1", 2),
        ("unacknowledged=false", 2),
        ("unacknowledged=", 2),
        ("", 2),
        ("unacknowledged=%00", 2),
        ("other=true", 2),
    ],
)
def test_only_the_exact_value_true_filters(call: Call, query: str, total: int) -> None:
    make.anomaly()
    reviews.acknowledge(make.anomaly(), by=Actor(name="ana"), at=make.NOW)
    assert call("GET", f"/v1/anomalies?{query}").json()["total"] == total


def test_what_is_suppressed_is_listed_but_not_as_unacknowledged(call: Call) -> None:
    make.anomaly(suppression=Suppression.objects.create(reason="The auditors' scan", owner="ana", type="rate_spike"))
    assert call("GET", "/v1/anomalies").json()["total"] == 1
    assert call("GET", "/v1/anomalies?unacknowledged=true").json()["total"] == 0


def test_what_is_withdrawn_is_listed_but_not_as_unacknowledged(call: Call) -> None:
    make.anomaly(state="withdrawn", ended_at=make.NOW)
    assert call("GET", "/v1/anomalies").json()["total"] == 1
    assert call("GET", "/v1/anomalies?unacknowledged=true").json()["total"] == 0


def test_what_is_resolved_was_acknowledged_for_those_who_know_of_that_alone(call: Call) -> None:
    at_once, before = make.anomaly(), make.anomaly(detected_at=make.NOW - timedelta(hours=1))
    reviews.acknowledge(before, by=Actor("ana"), at=make.NOW)
    for anomaly in (at_once, before):
        reviews.resolve(anomaly, verdict="benign", by=Actor("ana"), at=make.NOW + timedelta(hours=1))
    listed = call("GET", "/v1/anomalies").json()["anomalies"]
    assert [one["acknowledgedAt"] for one in listed] == ["2026-11-20T13:00:00.000Z", "2026-11-20T12:00:00.000Z"]
    assert [one["metadata"]["status"] for one in listed] == ["resolved", "resolved"]
    assert call("GET", "/v1/anomalies?unacknowledged=true").json()["total"] == 0
    answer = call("PATCH", f"/v1/anomalies/{before.public_id}/acknowledge")
    assert (answer.status_code, answer.json()["acknowledgedAt"]) == (200, "2026-11-20T12:00:00.000Z")


def test_what_is_snoozed_is_listed_but_not_as_unacknowledged_until_it_comes_back(call: Call) -> None:
    anomaly = make.anomaly()
    until = make.NOW + timedelta(hours=1)
    reviews.snooze(anomaly, until=until, by=Actor("ana"), at=make.NOW)
    assert call("GET", "/v1/anomalies").json()["anomalies"] == [golden(anomaly)]
    assert call("GET", "/v1/anomalies?unacknowledged=true").json()["total"] == 0
    reviews.wake(at=until)
    assert call("GET", "/v1/anomalies?unacknowledged=true").json()["total"] == 1


def test_what_became_a_part_meanwhile_answers_as_it_is(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    part, whole = make.anomaly(), make.anomaly()
    called = part.public_id
    merging.merge(part, into=whole, scan=make.scan())
    monkeypatch.setattr(AnomalyQuerySet, "called", lambda self, public_id: self.get(public_id=public_id))
    answer = call("PATCH", f"/v1/anomalies/{called}/acknowledge")
    assert (answer.status_code, answer.json()["acknowledgedAt"]) == (200, None)


def test_the_list_costs_the_same_queries_for_any_length(call: Call, django_assert_num_queries: Any) -> None:
    call("GET", "/v1/anomalies")  # notes that the key was used
    for number in range(30):
        make.anomaly(agent=make.agent(f"ag_{number}"))
    with django_assert_num_queries(3):  # the key, which anomalies these are, and they
        assert call("GET", "/v1/anomalies").json()["total"] == 30


def test_acknowledge_answers_the_anomaly_and_names_the_key(call: Call) -> None:
    anomaly = make.anomaly()
    answer = call("PATCH", f"/v1/anomalies/{anomaly.public_id}/acknowledge", {"notes": "nightly sync"})
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.acknowledged_by) == ("acknowledged", "ci")
    entry = ReviewEntry.objects.get()
    assert (entry.actor, entry.note) == ("ci", "nightly sync")
    at = answer.json()["acknowledgedAt"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", at)
    wanted = golden(anomaly, acknowledgedAt=at)
    wanted["metadata"]["status"] = "acknowledged"
    assert answer.json() == wanted


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_acknowledge_again_answers_200_and_changes_nothing(call: Call, method: str) -> None:
    path = f"/v1/anomalies/{make.anomaly().public_id}/acknowledge"
    first = call(method, path, {"notes": "mine"})
    second = call(method, path, {"notes": "mine"})
    assert (second.status_code, second.json()) == (200, first.json())
    assert ReviewEntry.objects.count() == 1
    assert OutboxMessage.objects.count() == 1


def test_new_notes_of_a_second_acknowledgement_are_kept(call: Call) -> None:
    path = f"/v1/anomalies/{make.anomaly().public_id}/acknowledge"
    for notes in ("first", "second", "second"):
        assert call("POST", path, {"notes": notes}).status_code == 200
    entries = ReviewEntry.objects.order_by("id").values_list("action", "note")
    assert list(entries) == [("acknowledged", "first"), ("noted", "second")]


@pytest.mark.parametrize("path_id", ["anom_unknown", "anom%2F1", "%00", "anom_%ff", "x" * 500])
def test_acknowledging_an_unknown_id_is_404(call: Call, path_id: str) -> None:
    assert "no anomaly" in error(call("PATCH", f"/v1/anomalies/{path_id}/acknowledge"), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"notes": "x" * 10_001}, "notes: String should have at most 10000 characters."),
        ({"notes": 5}, "notes: Input should be a valid string."),
        ({"notes": {"a": 1}}, "notes: Input should be a valid string."),
        ({"notes": "a\x00b"}, "notes: it contains a NUL character, which cannot be stored."),
    ],
)
def test_bad_notes_are_422_naming_the_field(call: Call, body: object, said: str) -> None:
    path = f"/v1/anomalies/{make.anomaly().public_id}/acknowledge"
    assert error(call("PATCH", path, body), 422, "VALIDATION_ERROR").startswith(said)
    assert Anomaly.objects.get().status == "open"


def test_percent_encoded_ids_are_decoded(call: Call) -> None:
    make.agent("team/agent one")
    assert call("GET", "/v1/agents/team%2Fagent%20one").json()["agentId"] == "team/agent one"
    anomaly = make.anomaly()
    encoded = anomaly.public_id.replace("_", "%5F")
    assert call("PATCH", f"/v1/anomalies/{encoded}/acknowledge").json()["id"] == anomaly.public_id


@pytest.fixture
def scan_raises(db: None) -> None:
    """Three weeks of an agent's events, then so many that the next scan raises one spike."""
    now = timezone.now()
    usual = [now - timedelta(days=21) + timedelta(minutes=5 * number) for number in range(21 * 288)]
    burst = [now - timedelta(seconds=number / 2) for number in range(400)]
    events.store(
        [
            EventRecord(
                external_id=str(number),
                time=time,
                agent_id="ag_billing",
                action="token.issue",
                status="success",
                grant_id="grnt_1",
            )
            for number, time in enumerate(usual + burst)
        ],
        source_name="test",
        format="native",
        received_at=now,
    )


def test_detect_answers_as_documented(call: Call, scan_raises: None) -> None:
    answer = call("POST", "/v1/anomalies/detect", {}).json()
    assert list(answer) == ["detectedAt", "total", "autoRevokedGrants", "responseMode", "anomalies"]
    scan = Scan.objects.get()
    assert scan.trigger == "api"
    assert (answer["total"], answer["autoRevokedGrants"], answer["responseMode"]) == (1, 0, "alert_only")
    assert answer["anomalies"][0]["detectedAt"] == answer["detectedAt"]
    anomaly = Anomaly.objects.get()
    metadata = {**anomaly.evidence, "state": "open", "status": "open", "score": anomaly.score}
    assert answer["anomalies"] == [
        golden(anomaly, detectedAt=answer["detectedAt"], description=anomaly.description, metadata=metadata)
    ]


def test_detect_twice_gives_the_same_ids_and_the_acknowledged_stays_so(call: Call, scan_raises: None) -> None:
    first = call("POST", "/v1/anomalies/detect", {}).json()["anomalies"]
    acknowledged = call("PATCH", f"/v1/anomalies/{first[0]['id']}/acknowledge", {}).json()
    second = call("POST", "/v1/anomalies/detect", {}).json()["anomalies"]
    assert second == [acknowledged]


def test_detect_answers_what_holds_newest_first(call: Call) -> None:
    now = timezone.now()
    old = now - timedelta(days=9)
    lasting = make.anomaly(detected_at=old, started_at=old)
    over = make.anomaly(detected_at=old, started_at=old, updated_at=old, state="closed", ended_at=old)
    just_over = make.anomaly(detected_at=now - timedelta(hours=5), state="closed", ended_at=now - timedelta(hours=3))
    listed = [each["id"] for each in call("POST", "/v1/anomalies/detect").json()["anomalies"]]
    assert listed == [just_over.public_id, lasting.public_id]
    assert over.public_id not in listed


def test_detect_answers_what_it_changed_though_another_scan_did_so_since(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = timezone.now() - timedelta(days=9)
    over = make.anomaly(detected_at=old, started_at=old, updated_at=old, state="closed", ended_at=old)
    scan = scans.run

    def run(**arguments: Any) -> Scan:
        done = scan(**arguments)
        Anomaly.objects.filter(pk=over.pk).update(last_scan=make.scan())
        return done

    monkeypatch.setattr(scans, "run", run)
    assert [each["id"] for each in call("POST", "/v1/anomalies/detect").json()["anomalies"]] == [over.public_id]


def test_revoke_mode_revokes_and_counts(call: Call, scan_raises: None) -> None:
    assert call("PATCH", "/v1/irregularities/response-policy", {"mode": "revoke_agent_grants"}).status_code == 200
    answers = [call("POST", "/v1/anomalies/detect", {}).json() for _ in range(2)]
    assert [answer["autoRevokedGrants"] for answer in answers] == [1, 0]
    assert answers[0]["responseMode"] == "revoke_agent_grants"
    assert (Grant.objects.get().status, Grant.objects.get().revoked_by) == ("revoked", "ci")


def test_alert_only_revokes_nothing(call: Call, scan_raises: None) -> None:
    assert call("POST", "/v1/anomalies/detect", {}).json()["autoRevokedGrants"] == 0
    assert Grant.objects.get().status == "active"


def test_the_response_policy_starts_at_alert_only_and_can_be_set(call: Call) -> None:
    path = "/v1/irregularities/response-policy"
    assert call("GET", path).json() == {"mode": "alert_only"}
    assert call("PATCH", path, {"mode": "revoke_agent_grants"}).json() == {"mode": "revoke_agent_grants"}
    assert call("GET", path).json() == {"mode": "revoke_agent_grants"}


@pytest.mark.parametrize("body", [{"mode": "panic"}, {"mode": ""}, {"mode": "a\x00"}, {}, b""])
def test_another_mode_is_400(call: Call, body: object) -> None:
    message = error(call("PATCH", "/v1/irregularities/response-policy", body), 400, "BAD_REQUEST")
    assert message == "mode: one of alert_only, revoke_agent_grants."
    assert access.response_mode() == "alert_only"


def test_detect_during_a_long_scan_is_asked_to_come_again(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(**_: Any) -> Scan:
        raise scans.ScanUnderWayError("Another scan is under way.")

    monkeypatch.setattr(scans, "run", busy)
    answer = call("POST", "/v1/anomalies/detect", {})
    assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
