"""web/principals: the page of one user."""

from datetime import timedelta

import pytest
from django.test import Client
from pytest_django.asserts import assertContains, assertNotContains

from anomalies.models import AccessRequest, AgentPrincipal, Sighting
from tests import make

pytestmark = pytest.mark.django_db
URL = "/principals/user_1/"


def login(**fields: object) -> None:
    Sighting.objects.create(
        **{
            "principal_id": "user_1",
            "day": make.NOW.date(),
            "action": "user.login",
            "succeeded": True,
            "ip": "192.0.2.1",
            "country": "DE",
            "device": "Firefox",
            "logins": 3,
            "first_seen": make.NOW,
            "last_seen": make.NOW,
            **fields,
        }
    )


def test_from_where_and_on_what_they_logged_in(as_vic: Client) -> None:
    make.principal("user_1", email="ana@example.com", name="Ana")
    login()
    login(ip="192.0.2.2", succeeded=False, logins=2, last_seen=make.NOW + timedelta(hours=1))
    for number in range(12):
        login(ip=f"198.51.100.{number}", country="", device="", last_seen=make.NOW - timedelta(days=1))
    response = as_vic.get(URL)
    assertContains(response, "ana@example.com")
    assertContains(response, "<bdi>DE</bdi></th><td>5</td><td>3</td>")
    assertContains(response, "<bdi>192.0.2.2</bdi></th><td>2</td><td>0</td>")
    assertContains(response, "<bdi>Firefox</bdi></th><td>5</td>")
    assertContains(response, "and 6 more, last seen before these")


def test_of_whom_nothing_but_the_id_is_known_no_line_is_empty(as_vic: Client) -> None:
    make.principal("user_1")
    assertNotContains(as_vic.get(URL), '<p class="meta"></p>')


def test_their_last_access_requests(as_vic: Client) -> None:
    make.principal("user_1")
    for number in range(22):
        AccessRequest.objects.create(
            public_id=f"r{number}",
            friendly_id=f"AR-{number}.",
            source=make.source(),
            requester_id="user_1",
            requested_at=make.NOW + timedelta(hours=number),
            known_at=make.NOW,
            updated_at=make.NOW,
            justification="<b>because</b>",
        )
    response = as_vic.get(URL)
    assertContains(response, '<a href="/access-requests/r21/"><bdi>AR-21.</bdi></a>')
    assertNotContains(response, "AR-1.")
    assertContains(response, "The last 20 of 22.")
    assertContains(response, "&lt;b&gt;because")


def test_through_which_agents_they_act(as_vic: Client) -> None:
    make.principal("user_1")
    make.agent("a/b")
    AgentPrincipal.objects.create(agent_id="a/b", principal_id="user_1", first_seen=make.NOW, last_seen=make.NOW)
    assertContains(as_vic.get(URL), '<a href="/agents/a/b/"><bdi>a/b</bdi></a>')


def test_a_user_without_anything_reads_well(as_vic: Client) -> None:
    make.principal("user_1")
    response = as_vic.get(URL)
    for sentence in (
        "No event counted yet",
        "No login of theirs is known",
        "No agent has acted for them",
        "None is known",
    ):
        assertContains(response, sentence)


def test_events_say_through_which_agent(as_vic: Client) -> None:
    make.event(principal_id="user_1")
    assertContains(as_vic.get(URL), "via <bdi>ag_billing</bdi>")
    assertContains(as_vic.get("/events/principals/user_1/"), "via <bdi>ag_billing</bdi>")
    assert as_vic.get("/events/principals/nobody/").status_code == 404
