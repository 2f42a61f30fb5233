"""web/bulk: picked ones at once, all that match after a confirmation, what became of each, and the way back."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from anomalies.models import Anomaly, BulkReview, ReviewEntry, Severity
from anomalies.services import hiding, reviews
from anomalies.services.actor import Actor
from anomalies.services.suppressions import Conditions
from tests import make

pytestmark = pytest.mark.django_db


def decide(client: Client, anomalies: list[Anomaly], action: str = "acknowledge", **fields: Any) -> str:
    """Send the selection bar's form and return the page that follows."""
    sent = {"action": action, "picked": [one.public_id for one in anomalies], "next": "/?severity=high", **fields}
    return client.post("/bulk/", sent, follow=True).text


def statuses() -> list[str]:
    return list(Anomaly.objects.order_by("id").values_list("status", flat=True))


def test_those_picked_are_decided_at_once_and_those_decided_before_are_told(as_ana: Client) -> None:
    three = [make.anomaly() for _ in range(3)]
    reviews.acknowledge(three[2], by=Actor("bob"), at=make.NOW)
    page = decide(as_ana, three, note="nightly sync")
    review = BulkReview.objects.get()
    assert statuses() == ["acknowledged"] * 3
    assert "2 acknowledged, 1 left as it was (already acknowledged by bob)." in page
    assert f'href="/bulk/{review.public_id}/"' in page
    assert f'action="/bulk/{review.public_id}/undo/"' in page
    after = as_ana.post(f"/bulk/{review.public_id}/undo/", {"next": "/"}, follow=True).text
    assert "2 undone." in after
    assert statuses() == ["open", "open", "acknowledged"]
    again = as_ana.post(f"/bulk/{review.public_id}/undo/", {"next": "/"}, follow=True).text
    assert "undone already" in again


@pytest.mark.parametrize(
    ("others_resolve", "heading"),
    [
        (0, "3 acknowledged and undone"),
        (2, "3 acknowledged, 1 of them undone"),
        (3, "3 acknowledged, none undone"),
    ],
)
def test_the_heading_counts_what_was_undone_and_not_what_others_changed_since(
    as_ana: Client, others_resolve: int, heading: str
) -> None:
    three = [make.anomaly() for _ in range(3)]
    decide(as_ana, three)
    path = f"/bulk/{BulkReview.objects.get().public_id}/"
    assert "<h1>3 acknowledged</h1>" in as_ana.get(path).text
    for one in three[:others_resolve]:
        reviews.resolve(one, verdict="benign", by=Actor("bob"), at=timezone.now())
    as_ana.post(f"{path}undo/", {"next": "/"})
    assert f"<h1>{heading}</h1>" in as_ana.get(path).text


def test_the_heading_counts_what_was_undone_alone(as_ana: Client, ana: User) -> None:
    two = [make.anomaly() for _ in range(2)]
    decide(as_ana, two)
    reviews.undo(ReviewEntry.objects.get(anomaly=two[0]), by=Actor("ana", ana), at=timezone.now())
    page = as_ana.get(f"/bulk/{BulkReview.objects.get().public_id}/").text
    assert "<h1>2 acknowledged, 1 of them undone</h1>" in page


@pytest.mark.parametrize(
    ("action", "fields", "told"),
    [
        ("resolve", {"verdict": "benign"}, "1 resolved."),
        ("snooze", {"until": "1h"}, "1 snoozed."),
        ("assign", {"to": "ana"}, "1 assigned."),
        ("note", {"note": "seen by the team"}, "1 noted."),
    ],
)
def test_each_action(as_ana: Client, action: str, fields: dict[str, str], told: str) -> None:
    anomaly = make.anomaly()
    assert told in decide(as_ana, [anomaly], action, **fields)
    assert BulkReview.objects.get().action == action


@pytest.mark.parametrize(
    ("action", "fields", "told"),
    [
        ("resolve", {}, "verdict: "),
        ("resolve", {"verdict": "odd"}, "verdict: "),
        ("snooze", {"until": "at", "until_at": "soon"}, "until: “soon” is no date and time."),
        ("assign", {"to": "nobody-known"}, "assignee: there is no user “nobody-known”."),
        ("note", {}, "note: it is empty."),
        ("odd", {}, "action: "),
        ("acknowledge", {"picked": []}, "anomalies: none is selected."),
        ("acknowledge", {"picked": ["anom_nowhere"]}, "anomalies: there is no “anom_nowhere”"),
        ("acknowledge", {"note": "x" * 10_001}, "note: 10,001 characters"),
        ("acknowledge", {"all": "1", "query": "severity=odd"}, "Severity: there is no “odd”"),
        ("acknowledge", {"all": "1", "query": "q=nothing+such"}, "anomalies: none is selected."),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_and_nothing_is_lost(
    as_ana: Client, action: str, fields: dict[str, Any], told: str
) -> None:
    anomaly = make.anomaly()
    page = decide(as_ana, [anomaly], action, **fields)
    assert told in page
    assert statuses() == ["open"]
    assert not BulkReview.objects.exists()
    if "note" in fields:
        assert fields["note"] in page
        assert f'value="{anomaly.public_id}" form="bulk" aria-label="Select: {anomaly.description}" checked' in page


def test_all_matching_are_fixed_shown_and_confirmed(as_ana: Client) -> None:
    high = [make.anomaly() for _ in range(3)]
    make.anomaly(severity=Severity.LOW)
    page = decide(as_ana, high[:1], all="1", query="severity=high&sort=-severity")
    review = BulkReview.objects.get()
    assert (review.done_at, review.query) == (None, "severity=high&sort=-severity")
    for words in ("Acknowledge 3 anomalies?", "3 high", "3 open", "Nothing is done yet."):
        assert words in page
    make.anomaly()  # what comes since is not among them
    assert statuses() == ["open"] * 5
    after = as_ana.post(f"/bulk/{review.public_id}/carry-out/", {"note": "<b>month end</b>"}, follow=True)
    assert after.redirect_chain == [("/?severity=high&sort=-severity", 302)]
    assert "3 acknowledged." in after.text
    assert statuses() == ["acknowledged"] * 3 + ["open"] * 2
    results = as_ana.get(f"/bulk/{review.public_id}/").text
    assert "&lt;b&gt;month end&lt;/b&gt;" in results
    assert results.count("<td>Acknowledged</td>") == 3
    twice = as_ana.post(f"/bulk/{review.public_id}/carry-out/", follow=True).text
    assert "was carried out already" in twice


def test_a_note_too_long_is_shown_again_at_the_confirmation(as_ana: Client) -> None:
    decide(as_ana, [make.anomaly()], all="1")
    review = BulkReview.objects.get()
    response = as_ana.post(f"/bulk/{review.public_id}/carry-out/", {"note": "y" * 10_001})
    assert response.status_code == 409
    assert "note: 10,001 characters" in response.text
    assert "y" * 10_001 in response.text
    assert statuses() == ["open"]


def test_more_than_can_be_decided_at_once_is_refused_with_the_number(
    as_ana: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomalies.web.decisions.bulk.MOST", 2)
    monkeypatch.setattr("anomalies.services.bulk.MOST", 2)
    several = [make.anomaly() for _ in range(4)]
    page = decide(as_ana, several[:1], all="1")
    assert "anomalies: 4 are too many, at most 2 are decided at once" in page
    assert not BulkReview.objects.exists()


def test_results_are_paged_and_those_left_can_be_seen_alone(
    as_ana: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr("anomalies.web.decisions.bulk.PAGE_SIZE", 2)
    several = [make.anomaly() for _ in range(5)]
    reviews.acknowledge(several[0], by=Actor("bob"), at=make.NOW)
    decide(as_ana, several)
    path = f"/bulk/{BulkReview.objects.get().public_id}/"
    first = as_ana.get(path)
    second = as_ana.get(f"{path}?older={first.context['older'].public_id}")
    assert [item[0].anomaly for item in first.context["items"] + second.context["items"]] == several[:0:-1]
    with django_assert_max_num_queries(16):
        left = as_ana.get(f"{path}?left=1")
    assert [item[0].anomaly for item in left.context["items"]] == several[:1]
    assert "Left as it was: already acknowledged by bob" in left.text


def test_only_who_prepared_it_confirms_it(as_ana: Client, client_of: Any) -> None:
    decide(as_ana, [make.anomaly()], all="1")
    path = f"/bulk/{BulkReview.objects.get().public_id}/"
    bob = User.objects.create_user("bob")
    bob.groups.add(*User.objects.get(username="ana").groups.all())
    other = client_of(bob)
    assert "who alone can confirm it" in other.get(path).text
    assert "who alone may do that" in other.post(f"{path}carry-out/").text
    assert statuses() == ["open"]


def test_htmx_gets_the_rows_that_it_shows(as_ana: Client) -> None:
    shown, hidden = make.anomaly(), make.anomaly()
    headers = {
        "HX-Request": "true",
        "HX-Current-URL": "http://testserver/",
        "X-Present": f"row-{shown.public_id},views",
    }
    sent = {"action": "acknowledge", "picked": [shown.public_id, hidden.public_id]}
    answer = as_ana.post("/bulk/", sent, headers=headers)
    assert "2 acknowledged." in answer.text
    assert f'<tr id="row-{shown.public_id}"' in answer.text
    assert f"row-{hidden.public_id}" not in answer.text
    assert "done:bulk" in answer.headers["HX-Trigger"]


def test_who_only_looks_decides_nothing_and_sees_no_checkbox(as_vic: Client) -> None:
    anomaly = make.anomaly()
    assert as_vic.post("/bulk/", {"action": "acknowledge", "picked": [anomaly.public_id]}).status_code == 403
    assert 'name="picked"' not in as_vic.get("/").text
    assert statuses() == ["open"]


def test_a_page_of_results_from_nowhere_is_the_first(as_ana: Client) -> None:
    decide(as_ana, [make.anomaly()])
    review = BulkReview.objects.get()
    assert "1 acknowledged" in as_ana.get(f"/bulk/{review.public_id}/?older=a%00b").text


def test_what_a_suppression_hid_has_its_page_too(as_ana: Client, ana: User) -> None:
    anomaly = make.anomaly()
    hiding.create_and_hide(
        reason="Nightly sync.",
        owner="ana",
        conditions=Conditions(type=anomaly.type),
        expires_at=None,
        because_of=anomaly,
        others_until=None,
        by=Actor("ana", ana),
        at=timezone.now(),
    )
    path = f"/bulk/{BulkReview.objects.get().public_id}/"
    assert "1 suppressed" in as_ana.get(path).text
    assert "1 undone." in as_ana.post(f"{path}undo/", {"next": "/"}, follow=True).text


def test_assigning_what_others_have_says_so_before_and_after(as_ana: Client) -> None:
    bob = User.objects.create_superuser("bob")
    two = [make.anomaly(assignee=bob), make.anomaly()]
    asked = decide(as_ana, [], "assign", to="ana", all="1", query="")
    assert "1 <bdi>bob</bdi>" in asked
    assert "1 <bdi>nobody</bdi>" in asked
    assert "2 assigned (1 taken from bob)." in decide(as_ana, two, "assign", to="ana")
    page = as_ana.get(f"/bulk/{BulkReview.objects.latest('pk').public_id}/").text
    assert "1 taken from <bdi>bob</bdi>" in page
