"""api/cloudlock_v2: dismiss a threat, and take that back."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from anomalies.models import Anomaly, OutboxMessage, ReviewEntry, Suppression
from anomalies.services import reviews
from anomalies.services.actor import Actor
from tests import make
from tests.api.cloudlock_v2.expected import SEED, error, of_the_seed
from tests.api.conftest import Call

pytestmark = pytest.mark.django_db

PATH = "/api/v2/threats/1003391"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?\+00:00"
FALSE = {"status": "DISMISSED", "dismiss_reason": "false_positive"}


def test_dismissed_it_is_answered_as_documented_and_active_clears_both_fields(call: Call) -> None:
    of_the_seed()
    told = call("PUT", PATH, FALSE).json()
    assert re.fullmatch(TIME, told["dismissed_at"])
    dismissed = {"status": "DISMISSED", "dismissed_at": told["dismissed_at"], "dismiss_reason": "false_positive"}
    assert told == {**SEED, **dismissed, "updated_at": told["dismissed_at"]}
    assert call("GET", PATH).json() == told
    undone = call("PUT", PATH, {"status": "ACTIVE"}).json()
    assert undone == {**SEED, "updated_at": undone["updated_at"]}
    entries = ReviewEntry.objects.order_by("id").values_list("action", "actor", "from_status", "to_status")
    assert list(entries) == [("resolved", "ci", "open", "resolved"), ("reopened", "ci", "resolved", "open")]


@pytest.mark.parametrize(
    ("reason", "told", "verdict", "kept"),
    [
        ("false_positive", "false_positive", "false_positive", ""),
        ("expected_behavior", "expected_behavior", "benign", ""),
        ("resolved", "resolved", "true_positive", ""),
        ("duplicate", "duplicate", "duplicate", ""),
        ("other", "other", "benign", "other"),
        (" False_Positive ", "false_positive", "false_positive", ""),
        ("The auditors' yearly scan, see #12", "The auditors' yearly scan, see #12", "benign", None),
        ("=cmd()", "=cmd()", "benign", None),
    ],
)
def test_each_reason_is_a_verdict_and_free_text_is_kept(
    call: Call, reason: str, told: str, verdict: str, kept: str | None
) -> None:
    make.anomaly(id=1)
    item = call("PUT", "/api/v2/threats/1", {"status": "Dismissed", "dismiss_reason": reason}).json()
    assert (item["status"], item["dismiss_reason"]) == ("DISMISSED", told)
    anomaly = Anomaly.objects.get()
    assert (anomaly.status, anomaly.verdict, anomaly.resolved_by) == ("resolved", verdict, "ci")
    assert anomaly.reason == (told if kept is None else kept)


@pytest.mark.parametrize("reason", ["false_positive", "other", "  in words "])
def test_dismissed_twice_with_the_same_reason_is_the_same_answer(call: Call, reason: str) -> None:
    make.anomaly(id=1)
    body = {"status": "DISMISSED", "dismiss_reason": reason}
    first, second = call("PUT", "/api/v2/threats/1", body), call("PUT", "/api/v2/threats/1", body)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert ReviewEntry.objects.count() == OutboxMessage.objects.count() == 1


def test_active_twice_is_the_same_answer(call: Call) -> None:
    make.anomaly(id=1)
    call("PUT", "/api/v2/threats/1", FALSE)
    answers = [call("PUT", "/api/v2/threats/1", {"status": "active"}) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert ReviewEntry.objects.count() == 2


def test_a_threat_can_be_sent_back_whole(call: Call) -> None:
    make.anomaly(id=1)
    dismissed = call("PUT", "/api/v2/threats/1", {**call("GET", "/api/v2/threats/1").json(), **FALSE}).json()
    assert dismissed["status"] == "DISMISSED"
    undone = call("PUT", "/api/v2/threats/1", {**dismissed, "status": "ACTIVE", "description": "mine"}).json()
    assert (undone["status"], undone["dismiss_reason"]) == ("ACTIVE", None)
    assert undone["description"] == dismissed["description"]


def test_who_was_slower_is_told_who_was_faster(call: Call) -> None:
    anomaly = make.anomaly(id=1)
    reviews.resolve(anomaly, verdict="true_positive", by=Actor(name="ana"), at=make.NOW)
    message = error(call("PUT", "/api/v2/threats/1", FALSE), 409, "CONFLICT")
    assert message == "Threat 1 is already resolved by ana."
    assert Anomaly.objects.get().verdict == "true_positive"


def test_what_was_acknowledged_can_be_dismissed(call: Call) -> None:
    reviews.acknowledge(make.anomaly(id=1), by=Actor(name="ana"), at=make.NOW)
    assert call("PUT", "/api/v2/threats/1", FALSE).json()["status"] == "DISMISSED"
    anomaly = Anomaly.objects.get()
    assert (anomaly.acknowledged_by, anomaly.resolved_by) == ("ana", "ci")


def test_active_does_not_wake_what_is_snoozed(call: Call) -> None:
    until = make.NOW + timedelta(days=1)
    reviews.snooze(make.anomaly(id=1), until=until, by=Actor(name="ana"), at=make.NOW)
    assert call("PUT", "/api/v2/threats/1", {"status": "ACTIVE"}).json()["status"] == "ACTIVE"
    assert Anomaly.objects.get().snoozed_until == until


@pytest.mark.parametrize("why", ["suppressed", "withdrawn"])
def test_what_nobody_is_asked_about_can_be_dismissed_but_not_made_active(call: Call, why: str) -> None:
    if why == "suppressed":
        make.anomaly(id=1, suppression=Suppression.objects.create(reason="The auditors' scan", owner="ana"))
    else:
        make.anomaly(id=1, state="withdrawn", ended_at=make.NOW)
    refused = f"Threat 1 is {why}: nobody decided so, and no call changes it."
    assert error(call("PUT", "/api/v2/threats/1", {"status": "ACTIVE"}), 409, "CONFLICT") == refused
    assert call("PUT", "/api/v2/threats/1", FALSE).json()["dismiss_reason"] == "false_positive"
    assert error(call("PUT", "/api/v2/threats/1", {"status": "ACTIVE"}), 409, "CONFLICT") == refused


def test_what_became_part_of_another_is_decided_about_with_that(call: Call) -> None:
    whole = make.anomaly(id=2, scan=make.scan(now=make.NOW + timedelta(minutes=1)))
    part = make.anomaly(id=1, merged_into=whole, scan=make.scan())
    ReviewEntry.objects.create(anomaly=part, action="merged", at=whole.scan.now, actor="detection")
    for body in (FALSE, {"status": "ACTIVE"}):
        message = error(call("PUT", "/api/v2/threats/1", body), 409, "CONFLICT")
        assert message == f"Threat 1 is merged into {whole.public_id}, which is decided about instead."


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"status": NaN}', "body"),
        (b'{"status": "DISMISSED", "dismiss_reason": "\\ud800"}', "body"),
        ({}, "status"),
        ({"status": None}, "status"),
        ({"status": "OPEN"}, "status"),
        ({"status": ["ACTIVE"]}, "status"),
        ({"dismiss_reason": "false_positive"}, "status"),
        ({"status": "DISMISSED"}, "dismiss_reason"),
        ({"status": "DISMISSED", "dismiss_reason": None}, "dismiss_reason"),
        ({"status": "DISMISSED", "dismiss_reason": "  "}, "dismiss_reason"),
        ({"status": "DISMISSED", "dismiss_reason": 5}, "dismiss_reason"),
        ({"status": "DISMISSED", "dismiss_reason": "a\x00b"}, "dismiss_reason"),
        ({"status": "DISMISSED", "dismiss_reason": "x" * 10_001}, "dismiss_reason"),
    ],
)
def test_a_bad_body_is_400_naming_the_field_and_changes_nothing(call: Call, body: object, field: str) -> None:
    make.anomaly(id=1)
    error(call("PUT", "/api/v2/threats/1", body), 400, "BAD_REQUEST", field=field)
    assert Anomaly.objects.get().status == "open"
    assert not ReviewEntry.objects.exists()


def test_an_unknown_threat_is_404(call: Call) -> None:
    for path in ("/api/v2/threats/1", "/api/v2/threats/anom_1"):
        error(call("PUT", path, FALSE), 404, "NOT_FOUND")


@pytest.mark.django_db(transaction=True)
def test_of_two_who_race_one_wins_and_the_other_is_told(call: Call) -> None:
    make.anomaly(id=1)

    def dismiss(reason: str) -> Any:
        try:
            return call("PUT", "/api/v2/threats/1", {"status": "DISMISSED", "dismiss_reason": reason})
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(dismiss, ["false_positive", "expected_behavior"]))
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    [loser] = [answer for answer in answers if answer.status_code == 409]
    assert error(loser, 409, "CONFLICT") == "Threat 1 is already resolved by ci."
    assert ReviewEntry.objects.count() == 1
