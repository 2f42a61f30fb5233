"""web/audit_log: who did what when, by pages and as a file."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.asserts import assertContains, assertNotContains

from anomalies.models import Change
from anomalies.services import audit, reviews
from anomalies.services.actor import Actor
from tests import make

pytestmark = pytest.mark.django_db


def change(number: int = 0, **fields: Any) -> Change:
    given = {"actor": "tom", "subject_type": "detector", "subject_id": "rate_spike", "action": "changed", **fields}
    return Change.objects.create(at=make.NOW + timedelta(minutes=number), **given)


def test_each_line_says_who_did_what_to_what_and_what_changed(as_ana: Client) -> None:
    anomaly = make.anomaly()
    reviews.acknowledge(anomaly, by=Actor("tom"), at=make.NOW, note="Seen.")
    change(subject_name="Rate spike", changes={"min_excess": [3.0, 9.0]})
    response = as_ana.get("/audit-log/")
    assertContains(response, f'href="/anomalies/{anomaly.public_id}/"')
    assertContains(response, "<q>Seen.</q>")
    assertContains(response, "Above the expected, at least <bdi>3.0</bdi> → <bdi>9.0</bdi>")
    assertContains(response, 'href="/detectors/rate_spike/"')


def test_pages_follow_each_other(as_ana: Client) -> None:
    rows = [change(number) for number in range(120)]
    first = as_ana.get("/audit-log/?actor=tom")
    assertContains(first, "100 shown")
    assertContains(first, f"/audit-log/?actor=tom&amp;older=c{rows[20].pk}")
    second = as_ana.get(f"/audit-log/?actor=tom&older=c{rows[20].pk}")
    assertContains(second, "20 shown")
    assertContains(second, f"newer=c{rows[19].pk}")


def test_a_longer_log_takes_no_more_queries(
    as_ana: Client, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    for number in range(20):
        change(number)
        reviews.add_note(make.anomaly(), by=Actor("tom"), at=make.NOW, note="x")
    with django_assert_num_queries(8):
        as_ana.get("/audit-log/")


def test_what_makes_no_sense_is_named_and_the_rest_applies(as_ana: Client) -> None:
    change()
    response = as_ana.get("/audit-log/?action=gone&last=x&x=1&older=zz&actor=%00")
    for said in ("Action: “gone” is none of", "Last: “x”", "There is no filter “x”.", "Actor: it is no text"):
        assertContains(response, said)
    assertContains(response, "1 shown")
    assert as_ana.get("/audit-log/export/?action=gone").status_code == 400


def test_the_file_holds_all_that_match_and_no_formula(as_ana: Client) -> None:
    for number in range(3):
        change(number, note="=1+1")
    change(9, actor="ana")
    response = as_ana.get("/audit-log/export/?actor=tom")
    lines = b"".join(response.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    assert lines[0] == "at,actor,action,subject_type,subject_id,subject_name,changes,note"
    assert lines[1] == "2026-11-20T12:02:00Z,tom,changed,detector,rate_spike,,,'=1+1"
    assert len(lines) == 4


def test_only_who_may_reads_it(as_vic: Client, as_zoe: Client) -> None:
    for client in (as_vic, as_zoe):
        for path in ("", "export/"):
            assert client.get(f"/audit-log/{path}").status_code == 403
    assertNotContains(as_vic.get("/"), "Audit log")


def test_the_chain_of_grantex_clients_is_verified_apart(as_ana: Client) -> None:
    assertContains(as_ana.get("/audit-log/"), "it has no entry yet")
    entry = audit.log(
        developer_id="dev",
        agent_id="ag_1",
        agent_did="did:grantex:ag_1",
        grant_id="grnt_1",
        principal_id="user_1",
        action="x",
        status="success",
        metadata={},
        at=make.NOW,
    )
    assert entry.pk
    assertContains(as_ana.post("/audit-log/"), "1 verified up to")


def test_markup_stays_text(as_ana: Client) -> None:
    change(actor="<b>tom", subject_id="gone", note="<script>", changes={"x": ["<i>", None]})
    text = as_ana.get("/audit-log/").text
    for said in ("&lt;b&gt;tom", "<q>&lt;script&gt;</q>", "<bdi>&lt;i&gt;</bdi> → <bdi>nothing</bdi>"):
        assert said in text


def test_whom_something_was_assigned_to_is_named_and_times_are_readable(as_ana: Client, ana: User) -> None:
    anomaly = make.anomaly()
    reviews.assign(anomaly, to=ana, by=Actor("tom"), at=make.NOW)
    reviews.snooze(anomaly, until=make.NOW + timedelta(hours=1), by=Actor("tom"), at=make.NOW)
    response = as_ana.get("/audit-log/")
    assertContains(response, "assignee <bdi>ana</bdi>")
    assertContains(response, "snoozed until <bdi>20 Nov 2026 13:00</bdi>")
    assertNotContains(response, "acknowledged by")


def test_what_was_changed_is_called_as_its_own_page_calls_it(as_ana: Client) -> None:
    change(1, changes={"min_excess": [3.0, 4.0]})
    made = {"type": [None, "rate_spike"], "highest_severity": [None, 2], "window_seconds": [None, 900]}
    change(2, subject_type="suppression", subject_id="supp_1", changes=made)
    change(3, subject_type="api_key", subject_id="up", changes={"type": [None, ["a", "b"]]})
    text = as_ana.get("/audit-log/").text
    for said in (
        "Above the expected, at least <bdi>3.0</bdi> → <bdi>4.0</bdi>",
        "type <bdi>Rate spike</bdi>, within <bdi>15 minutes</bdi>, up to severity <bdi>medium</bdi>",
        "<small>API key</small>",
        "type <bdi>a, b</bdi>",
    ):
        assert said in text
