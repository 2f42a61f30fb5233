"""web/deciding: each verb and its undo, as plain forms and by htmx."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from anomalies.models import Anomaly, ReviewEntry
from anomalies.services import reviews
from anomalies.services.actor import Actor
from tests import make

pytestmark = pytest.mark.django_db


def acknowledge(client: Client, anomaly: Anomaly, *, present: str | None = None, **fields: str) -> str:
    """Press the button, by htmx where parts of the page are present, and return what the browser then shows."""
    headers = {}
    if present is not None:
        url = "http://testserver/?severity=high&open=x"
        headers = {"HX-Request": "true", "HX-Current-URL": url, "X-Present": present}
    return client.post(f"/anomalies/{anomaly.public_id}/acknowledge/", fields, headers=headers, follow=True).text


def test_acknowledge_works_as_a_plain_form_and_offers_undo(as_ana: Client) -> None:
    anomaly = make.anomaly()
    page = acknowledge(as_ana, anomaly, note="nightly sync", next=f"/?open={anomaly.public_id}")
    anomaly.refresh_from_db()
    entry = ReviewEntry.objects.get()
    assert (anomaly.status, anomaly.acknowledged_by) == ("acknowledged", "ana")
    assert (entry.note, entry.user_id is not None) == ("nightly sync", True)
    assert "Acknowledged." in page
    assert f'action="/reviews/{entry.pk}/undo/"' in page
    after = as_ana.post(f"/reviews/{entry.pk}/undo/", {"next": "/"}, follow=True).text
    anomaly.refresh_from_db()
    assert anomaly.status == "open"
    assert "Undone: it is open again." in after


def test_htmx_gets_the_row_the_panel_and_the_counts_that_changed(as_ana: Client) -> None:
    anomaly = make.anomaly()
    row, panel = f"row-{anomaly.public_id}", f"panel-{anomaly.public_id}"
    answer = acknowledge(as_ana, anomaly, present=f"{row},{panel},views")
    assert f'<template><tr id="{row}" class="high done" data-whose="ana" hx-swap-oob="true">' in answer
    assert f'id="{panel}"' in answer
    assert '<p id="counts" hx-swap-oob="true">0 open, 0 high</p>' in answer
    assert '<span id="matching" hx-swap-oob="true">, 1 match</span>' in answer
    assert "?severity=high" in answer
    assert "open=x" not in answer.replace(f"open={anomaly.public_id}", "").replace("next", "").split("toast")[0]
    assert "<html" not in answer


def test_htmx_gets_nothing_that_its_page_does_not_show(as_ana: Client) -> None:
    answer = acknowledge(as_ana, make.anomaly(), present="")
    assert "Acknowledged." in answer
    assert "<tr" not in answer
    assert "<article" not in answer
    assert 'id="counts"' not in answer


@pytest.mark.parametrize("present", [None, "row"])
def test_who_was_faster_is_named_and_the_row_is_refreshed(as_ana: Client, present: str | None) -> None:
    anomaly = make.anomaly()
    reviews.acknowledge(Anomaly.objects.get(), by=Actor("bob"), at=make.NOW)
    answer = acknowledge(as_ana, anomaly, present=present and f"row-{anomaly.public_id}")
    assert "This anomaly is already acknowledged by bob." in answer
    assert "done" in answer
    assert ReviewEntry.objects.count() == 1


def test_undo_after_somebody_else_decided_says_so(as_ana: Client, ana: User) -> None:
    anomaly = make.anomaly()
    entry = reviews.acknowledge(anomaly, by=Actor("ana", ana), at=make.NOW)
    reviews.undo(entry, by=Actor("bob"), at=make.NOW)
    answer = as_ana.post(f"/reviews/{entry.pk}/undo/", follow=True).text
    assert "since by bob" in answer
    assert as_ana.post("/reviews/999999/undo/").status_code == 404


def test_a_note_is_kept_and_an_empty_or_long_one_refused(as_ana: Client) -> None:
    anomaly = make.anomaly()
    path = f"/anomalies/{anomaly.public_id}/"
    for note, answer in (("looks planned", "Note added."), (" ", "note: it is empty."), ("x" * 10_001, "10,001 char")):
        assert answer in as_ana.post(f"{path}notes/", {"note": note, "next": path}, follow=True).text
    assert [entry.note for entry in ReviewEntry.objects.all()] == ["looks planned"]


def test_a_note_too_long_leaves_the_anomaly_open(as_ana: Client) -> None:
    anomaly = make.anomaly()
    assert "10,001 characters" in acknowledge(as_ana, anomaly, note="x" * 10_001)
    anomaly.refresh_from_db()
    assert anomaly.status == "open"


@pytest.mark.parametrize(
    ("wanted", "leads_to"),
    [
        ("/?severity=high", "/?severity=high"),
        ("http://testserver/types/", "http://testserver/types/"),
        ("https://evil.test/", "/"),
        ("//evil.test/", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ],
)
def test_a_form_leads_back_to_pages_of_ours_only(as_ana: Client, wanted: str, leads_to: str) -> None:
    path = f"/anomalies/{make.anomaly().public_id}/acknowledge/"
    assert as_ana.post(path, {"next": wanted}).headers["Location"] == leads_to


@pytest.mark.parametrize(
    ("verb", "done", "field", "first", "second"),
    [("assign", "assigned", "to", "ana", ""), ("rename", "renamed", "title", "Nightly sync", "A test")],
)
def test_who_answers_a_page_that_has_changed_since_is_told_and_asked_again(
    as_ana: Client, verb: str, done: str, field: str, first: str, second: str
) -> None:
    anomaly = make.anomaly()
    path = f"/anomalies/{anomaly.public_id}/"
    assert '<input type="hidden" name="shown" value="">' in as_ana.get(path).text
    as_ana.post(f"{path}{verb}/", {field: first, "shown": ""})
    given = {field: second, "note": "why", "shown": "somebody"}
    page = as_ana.post(f"{path}{verb}/", given, follow=True).text
    assert f"already {done} by ana, since it was shown to you" in page
    assert f'name="shown" value="{first}"' in page
    as_ana.post(f"{path}{verb}/", {field: second, "shown": first})
    anomaly.refresh_from_db()
    assert (anomaly.title, anomaly.assignee) == ("A test" if verb == "rename" else "", None)
