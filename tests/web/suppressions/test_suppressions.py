"""web/suppressions: the list, the form with its preview, and one suppression."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from pytest_django.asserts import assertContains, assertNotContains

from anomalies.models import Anomaly, Suppression
from anomalies.services import bulk, hiding, suppressions
from anomalies.services.actor import Actor
from anomalies.services.suppressions import Conditions
from tests import make
from tests.web.conftest import after_login

pytestmark = pytest.mark.django_db
BY = Actor("ana")


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def suppression(now: datetime, **fields: Any) -> Suppression:
    conditions = Conditions(**{"type": "rate_spike", "agent_id": "ag_billing", **fields})
    return suppressions.create(
        reason="Nightly sync.", owner="ana", conditions=conditions, expires_at=None, by=BY, at=now - timedelta(days=1)
    )


def posted(**fields: Any) -> dict[str, Any]:
    """A form that was filled in after its preview was seen."""
    given = {"type": "rate_spike", "agent_id": "ag_billing", "highest_severity": 3}
    given |= {name: value for name, value in fields.items() if name in Conditions.__dataclass_fields__}
    seen = json.dumps(asdict(Conditions(**given)))
    about = {"reason": "Nightly sync.", "owner": "ana", "span": "30", "seen": seen, "until": hiding.newest_id()}
    return {**about, **given, **fields}


def test_the_list_says_what_is_hidden_why_and_how_often(as_vic: Client, now: datetime) -> None:
    made = suppression(now, network="192.0.2.0/24", highest_severity=2)
    make.anomaly(suppression=made, detected_at=now)
    response = as_vic.get("/suppressions/")
    text = " ".join(response.text.split())
    assert (
        "<bdi>Rate spike</bdi> of agent <bdi>ag_billing</bdi> from <bdi>192.0.2.0/24</bdi> up to <bdi>medium</bdi>"
        in text
    )
    assertContains(response, "Nightly sync.")
    assertContains(response, '<td class="number" data-is="Hidden">1</td>', html=True)
    assertNotContains(response, "New suppression")


def test_ended_ones_are_in_their_own_view(as_vic: Client, now: datetime) -> None:
    suppressions.end(suppression(now), by=BY, at=now)
    assertContains(as_vic.get("/suppressions/"), "Nothing is suppressed")
    assertContains(as_vic.get("/suppressions/?state=over"), "Ended")
    response = as_vic.get("/suppressions/?state=gone&x=1")
    assertContains(response, "State: “gone” is none of active, over, all.")
    assertContains(response, "There is no filter “x”.")


def test_a_longer_list_takes_no_more_queries(
    as_vic: Client, now: datetime, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    for _ in range(60):
        suppression(now)
    with django_assert_num_queries(7):
        assertContains(as_vic.get("/suppressions/"), "50 shown")


def test_the_form_starts_from_an_anomaly_and_shows_what_it_would_hide(as_ana: Client, now: datetime) -> None:
    anomaly = make.anomaly(detected_at=now, ip="192.0.2.7")
    make.anomaly(
        detected_at=now, status="resolved", verdict="true_positive", resolved_at=now, description="It was a thief"
    )
    make.anomaly(detected_at=now - timedelta(days=31))
    response = as_ana.get(f"/suppressions/new/?from={anomaly.public_id}")
    assertContains(response, 'value="ag_billing"')
    assertContains(response, "Would have hidden 2 in the last 30 days")
    assertContains(response, "1 of them was a true positive")
    assertContains(response, "1 open, 1 true positive")
    assertContains(response, "It was a thief")
    assertContains(response, "Rate spike from 192.0.2.0/24")


def test_saving_hides_the_anomaly_and_the_others_that_are_ticked(as_ana: Client, now: datetime) -> None:
    anomaly, other = make.anomaly(detected_at=now), make.anomaly(detected_at=now)
    form = posted(others="1", **{"from": anomaly.public_id})
    response = as_ana.post("/suppressions/new/", form, follow=True)
    assertContains(response, "Suppressed. 2 hidden from review.")
    made = Suppression.objects.get()
    assert set(made.anomalies.all()) == {anomaly, other}
    assert made.created_by == "ana"
    back = as_ana.post(f"/suppressions/{made.public_id}/bring-back/", follow=True)
    assertContains(back, "2 up for review again.")
    assert not made.anomalies.exists()


def test_nothing_is_saved_before_its_preview_was_seen(as_ana: Client, now: datetime) -> None:
    make.anomaly(detected_at=now)
    response = as_ana.post("/suppressions/new/", posted(seen=""))
    assert response.status_code == 422
    assert "these conditions were not looked at" in response.text
    assert "Would have hidden 1" in response.text
    assert not Suppression.objects.exists()


def test_looking_saves_nothing_and_complains_of_nothing_that_is_still_missing(as_ana: Client) -> None:
    response = as_ana.post("/suppressions/new/", posted(look="1", reason=""))
    assertContains(response, "Would have hidden nothing in the last 30 days")
    assertNotContains(response, "This field is required")
    assert not Suppression.objects.exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"network": "192.0.2.7/24"}, "Address or network: "),
        ({"type": "", "agent_id": ""}, "Conditions: at least one is needed"),
        ({"reason": "x" * 10_001}, "Reason: 10,001 characters, at most 10,000 are kept."),
        ({"span": "at", "expires_at": ""}, "Until: a date and time is needed."),
        ({"span": "at", "expires_at": "2020-01-01T00:00"}, "is past."),
        ({"agent_id": "<b>\x00"}, "Null characters are not allowed."),
    ],
)
def test_what_is_wrong_is_named_and_what_was_typed_stays(as_ana: Client, fields: dict[str, str], said: str) -> None:
    response = as_ana.post("/suppressions/new/", posted(**fields))
    assert response.status_code == 422
    assert said in response.text
    assert "Nightly sync." in response.text or "xxxx" in response.text
    assert not Suppression.objects.exists()


def test_the_preview_follows_what_is_typed(as_ana: Client, now: datetime) -> None:
    make.anomaly(detected_at=now)
    response = as_ana.post("/suppressions/preview/", posted(), headers={"HX-Request": "true"})
    assertContains(response, "Would have hidden 1 in the last 30 days")
    assertContains(response, "Hide the 1 that is up for review now, too")
    wrong = as_ana.post("/suppressions/preview/", posted(network="x"), headers={"HX-Request": "true"})
    assertContains(wrong, "Address or network: ")


def test_ending_it_twice_says_who_was_faster(as_ana: Client, now: datetime) -> None:
    made = suppression(now)
    path = f"/suppressions/{made.public_id}/end/"
    assertContains(as_ana.post(path, follow=True), "Ended by <bdi>ana</bdi>")
    assertContains(as_ana.post(path, follow=True), "was ended already by ana")


def test_who_may_only_look_changes_nothing(as_vic: Client, as_zoe: Client, now: datetime) -> None:
    made = suppression(now)
    assertNotContains(as_vic.get(f"/suppressions/{made.public_id}/"), "End this suppression")
    for path in ("new/", "preview/", f"{made.public_id}/end/", f"{made.public_id}/bring-back/"):
        assert as_vic.post(f"/suppressions/{path}", posted()).status_code == 403
    for path in ("", "new/", f"{made.public_id}/"):
        assert as_zoe.get(f"/suppressions/{path}").status_code == 403
    made.refresh_from_db()
    assert made.ended_at is None
    assert Suppression.objects.count() == 1


def test_a_page_that_was_cut_off_says_so(as_ana: Client) -> None:
    assert as_ana.get("/suppressions/supp_x/").status_code == 404
    assertContains(as_ana.get("/suppressions/new/?from=anom_x"), "From: there is no anomaly “anom_x”.")


def test_markup_and_names_of_any_script_stay_text(as_vic: Client, now: datetime) -> None:
    made = suppression(now, agent_id="<i>سميرة")
    for path in ("", f"{made.public_id}/"):
        assertContains(as_vic.get(f"/suppressions/{path}"), "<bdi>&lt;i&gt;سميرة</bdi>")
    assert Anomaly.objects.count() == 0


def test_who_may_not_review_hides_nothing_that_is_up_for_review(
    as_vic: Client, vic: User, client_of: Callable[[User], Client], now: datetime
) -> None:
    anomaly = make.anomaly(detected_at=now)
    vic.user_permissions.set(Permission.objects.filter(codename="add_suppression"))
    form = posted(others="1", until=str(anomaly.pk))
    client = client_of(User.objects.get(pk=vic.pk))
    assert client.post("/suppressions/new/", form).status_code == 403
    assert not Suppression.objects.exists()


def test_more_than_can_be_undone_at_once_are_not_hidden(
    as_ana: Client, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = [make.anomaly(detected_at=now) for _ in range(2)][-1]
    monkeypatch.setattr(bulk, "MOST", 1)
    response = as_ana.post("/suppressions/new/", posted(others="1", until=str(newest.pk)))
    assertContains(response, "2 are too many, at most 1 are decided at once", status_code=422)
    assert not Suppression.objects.exists()


def test_what_was_typed_into_a_session_that_ended_is_there_after_the_login(as_ana: Client, ana: User) -> None:
    anomaly = make.anomaly()
    given = posted(reason="Half a thought", others="1", **{"from": anomaly.public_id})
    page = after_login(as_ana, ana, "/suppressions/new/", given)
    for said in ("Half a thought</textarea>", "Your session had ended: nothing was done yet.", "Made from"):
        assertContains(page, said)
    assert not Suppression.objects.exists()
