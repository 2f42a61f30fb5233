"""web/rules: reviewers' own rules, with what they would have raised."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from pytest_django.asserts import assertContains, assertNotContains

from anomalies.models import Change, Rule
from anomalies.services import channels, rules
from anomalies.services.actor import Actor
from anomalies.web.detectors import rules as pages
from tests import make
from tests.services.channels import channel
from tests.web.conftest import after_login

pytestmark = pytest.mark.django_db


def rule(name: str = "Writes", **fields: Any) -> Rule:
    given = {"threshold": 5, "window_seconds": 300, **fields}
    return rules.create(by=Actor("tom"), at=timezone.now() - timedelta(days=1), name=name, **given)


def posted(**fields: Any) -> dict[str, Any]:
    return {"name": "Writes", "severity": 2, "threshold": 5, "window_seconds": 300, "enabled": "on", **fields}


def test_the_list_says_what_each_raises(as_vic: Client) -> None:
    rule("<i>سميرة", scopes=["db.write"], agents=["ag_1"])
    response = as_vic.get("/rules/")
    assertContains(response, "<bdi>&lt;i&gt;سميرة</bdi>")
    said = " ".join(response.text.split())
    assert "<bdi>5 events or more within 5 minutes</bdi> about <bdi>db.write</bdi> of <bdi>ag_1</bdi>" in said


def test_which_channels_alone_a_rule_tells_is_said_of_those_that_are_left(as_vic: Client) -> None:
    desk, gone = channel(name="<i>Desk"), channel(name="Gone")
    one = rule(channels=[desk.public_id, gone.public_id])
    channels.delete(gone, by=Actor("tom"), at=timezone.now())
    for path, before in (("/rules/", "and tells only"), (f"/rules/{one.public_id}/", "It tells only")):
        said = " ".join(as_vic.get(path).text.split())
        assert f"{before} <bdi>&lt;i&gt;Desk</bdi>" in said
        assert "Gone" not in said


def test_a_longer_list_takes_no_more_queries(
    as_vic: Client, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    for number in range(20):
        rule(f"Rule {number}")
    with django_assert_num_queries(5):
        as_vic.get("/rules/")


def test_looking_shows_what_it_would_have_raised_and_saves_nothing(as_ana: Client) -> None:
    now = timezone.now()
    make.agent("ag_1", last_seen=now)
    for number in range(5):
        make.event(agent_id="ag_1", time=now - timedelta(days=1, seconds=number))
    response = as_ana.post("/rules/new/", posted(look="1", name=""))
    assertContains(response, "Would have raised 1 in the last 30 days")
    assertContains(response, "<bdi>ag_1</bdi>")
    assert not Rule.objects.exists()


def test_a_rule_is_made_changed_switched_and_recorded(as_ana: Client) -> None:
    assertContains(as_ana.post("/rules/new/", posted(agents="ag_1\nag_2"), follow=True), "Nothing is known yet of ag_1")
    made = Rule.objects.get()
    assert made.agents == ["ag_1", "ag_2"]
    path = f"/rules/{made.public_id}/"
    form = posted(threshold=9, agents="", seen_at=made.updated_at.isoformat())
    assertContains(as_ana.post(path, form, follow=True), "Saved rule Writes.")
    as_ana.post(f"{path}switch/", {"enabled": "0"})
    made.refresh_from_db()
    assert (made.threshold, made.enabled) == (9, False)
    assert [one.action for one in Change.objects.order_by("id")] == ["created", "changed", "changed"]
    assertContains(as_ana.get(path), "events, at least <bdi>5</bdi> → <bdi>9</bdi>")


def test_a_form_that_somebody_overtook_saves_nothing_and_says_so(as_ana: Client) -> None:
    made = rule()
    form = posted(threshold=9, seen_at=made.updated_at.isoformat())
    rules.change(made, by=Actor("tom"), at=timezone.now(), threshold=7)
    response = as_ana.post(f"/rules/{made.public_id}/", form)
    assert response.status_code == 409
    assert "tom changed rule Writes since: nothing of yours was saved." in response.text
    made.refresh_from_db()
    assert made.threshold == 7


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threshold": "x"}, "Enter a whole number."),
        ({"threshold": "0"}, "Events, at least: 0 events; it must be from 1 to 1,000,000."),
        ({"name": "Taken"}, "Name: there is a rule named Taken already."),
        ({"window_seconds": "7"}, "Select a valid choice."),
        ({"agents": "x" * 201}, "Agents: "),
        ({"description": "x" * 10_001}, "What it is for: 10,001 characters"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_saved(as_ana: Client, changes: dict[str, str], said: str) -> None:
    rule("Taken")
    response = as_ana.post("/rules/new/", posted(**changes))
    assert response.status_code == 422
    assert said in response.text
    assert Rule.objects.count() == 1


def test_only_who_may_deletes_one(as_ana: Client, ana: User, client_of: Callable[[User], Client]) -> None:
    made = rule()
    path = f"/rules/{made.public_id}/delete/"
    assert as_ana.post(path).status_code == 403
    ana.user_permissions.set(Permission.objects.filter(codename="delete_rule"))
    assertContains(client_of(User.objects.get(pk=ana.pk)).post(path, follow=True), "is deleted; what it raised stays")
    assert not Rule.objects.living().exists()
    assert Change.objects.filter(action="deleted").exists()


def test_who_may_only_look_changes_nothing(as_vic: Client, as_zoe: Client) -> None:
    made = rule()
    assert as_vic.get(f"/rules/{made.public_id}/").status_code == 200
    for path in ("new/", f"{made.public_id}/", f"{made.public_id}/switch/", f"{made.public_id}/delete/"):
        assert as_vic.post(f"/rules/{path}", posted()).status_code == 403
    assert as_vic.get("/rules/new/").status_code == 403
    assert as_zoe.get("/rules/").status_code == 403
    assert Change.objects.count() == 1


@pytest.mark.parametrize("verb", ["switch", "delete"])
def test_of_two_who_end_one_at_once_the_second_is_told(
    as_ana: Client, ana: User, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    made = rule()
    ana.user_permissions.set(Permission.objects.filter(codename__in=["change_rule", "delete_rule"]))
    rules.delete(made, by=Actor("bob"), at=timezone.now())
    monkeypatch.setattr(pages, "_living", lambda _: made)  # as it was when it was looked up
    assertContains(as_ana.post(f"/rules/{made.public_id}/{verb}/", follow=True), "deleted")
    assert Change.objects.filter(action="deleted").count() == 1


def test_a_rule_typed_into_a_session_that_ended_is_there_after_the_login(as_ana: Client, ana: User) -> None:
    given = posted(name="Half a thought", description="why", agents="ag_1\nag_2")
    del given["enabled"]
    page = after_login(as_ana, ana, "/rules/new/", given)
    for said in ('value="Half a thought"', "ag_1\nag_2</textarea>", "Your session had ended: nothing was done yet."):
        assertContains(page, said)
    assertNotContains(page, 'name="enabled" checked')
    assert not Rule.objects.exists()


def test_looking_leaves_it_switched_off(as_ana: Client) -> None:
    given = {**posted(), "look": "1"}
    assertContains(as_ana.post("/rules/new/", given), 'name="enabled" checked')
    del given["enabled"]
    assertNotContains(as_ana.post("/rules/new/", given), 'name="enabled" checked')
