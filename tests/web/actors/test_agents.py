"""web/agents and web/principals: the lists."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from django.test import Client
from pytest_django.asserts import assertContains, assertNotContains

from anomalies.models import Severity
from tests import make

pytestmark = pytest.mark.django_db


def test_the_list_says_what_is_open_about_each(as_vic: Client) -> None:
    make.anomaly(severity=Severity.HIGH)
    make.anomaly(severity=Severity.LOW)
    text = as_vic.get("/agents/").text
    assert '1 <span aria-hidden="true">H</span><span class="unseen">high</span>' in text
    assert '1 <span aria-hidden="true">L</span><span class="unseen">low</span>' in text
    assert 'href="/agents/ag_billing/"' in text


@pytest.mark.parametrize(("path", "most"), [("/agents/", 13), ("/principals/", 8)])
def test_a_longer_list_takes_no_more_queries(
    as_vic: Client, django_assert_num_queries: Callable[[int], AbstractContextManager[object]], path: str, most: int
) -> None:
    for number in range(60):
        make.agent(f"ag_{number}")
        make.principal(f"user_{number}")
    for query in ("", "?sort=-requests", "?sort=name&q=_"):
        with django_assert_num_queries(most):
            assertContains(as_vic.get(path + query), "50 shown, 60 match")


def test_pages_follow_each_other(as_vic: Client) -> None:
    for number in range(60):
        make.agent(f"ag_{number:02}", group="a b")
    first = as_vic.get("/agents/?sort=id&group=a+b")
    assertContains(first, "/agents/?group=a+b&amp;sort=id&amp;after=ag_49")
    second = as_vic.get("/agents/?group=a+b&sort=id&after=ag_49")
    assertContains(second, "ag_59")
    assertContains(second, "before=ag_50")
    assertNotContains(second, "/agents/ag_49/")


@pytest.mark.parametrize(("path", "first"), [("/agents/", "Agent"), ("/principals/", "User")])
def test_where_no_headers_are_shown_a_menu_sorts_and_keeps_the_filters(as_vic: Client, path: str, first: str) -> None:
    menu = as_vic.get(f"{path}?q=b&sort=-seen").text.partition('id="sorting"')[2].partition("</details>")[0]
    assert "Sort: Last seen " in menu
    assert f'<a class="item" href="{path}?q=b&amp;sort=id">{first}</a>' in menu
    assert f'<a class="item" href="{path}?q=b">Open</a>' in menu
    assert menu.count('aria-current="true"') == 1
    assert "Group" not in menu
    make.agent("ag_1", group="billing")
    assert ("?sort=group" in as_vic.get(path).text) is (path == "/agents/")


def test_what_makes_no_sense_is_named_and_the_rest_applies(as_vic: Client) -> None:
    make.agent("ag_1", name="One")
    response = as_vic.get("/agents/?status=gone&sort=%3Cb%3E&type=x&q=one&after=%00")
    assertContains(response, "Status: “gone” is none of active, suspended, revoked, deleted.")
    assertContains(response, "Sort: “&lt;b&gt;” is none of id, name, group, status, first, open, seen, requests.")
    assertContains(response, "There is no filter “type”.")
    assertContains(response, "/agents/ag_1/")


def test_empty_lists_say_why_they_are(as_vic: Client) -> None:
    assertContains(as_vic.get("/agents/"), "No agents yet")
    assertContains(as_vic.get("/principals/"), "No users yet")
    assertContains(as_vic.get("/agents/?q=x"), "No agent matches")


def test_names_of_any_script_and_markup_stay_text(as_vic: Client) -> None:
    make.agent("<i>x", name="<script>alert(1)</script>", group="سميرة")
    text = as_vic.get("/agents/").text
    assert "<bdi>&lt;i&gt;x</bdi>" in text
    assert "<bdi>سميرة</bdi>" in text
    assert "<script>alert" not in text


def test_a_young_agent_is_said_to_learn(as_vic: Client) -> None:
    make.agent()
    assertContains(as_vic.get("/agents/"), "learned hours need 14 days, 100 events and 5 active days")


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/agents/nobody/", "/agents/"),
        ("/events/agents/ag_billing/", "/agents/"),
        ("/principals/nobody/", "/principals/"),
        ("/events/principals/user_1/", "/principals/"),
        ("/access-requests/nothing/", "/access-requests/"),
    ],
)
def test_the_way_back_leads_to_the_list_that_it_names(as_vic: Client, path: str, leads_to: str) -> None:
    make.agent()
    make.principal("user_1")
    assert f'class="back"><a href="{leads_to}">' in as_vic.get(path).text


def test_a_list_sorted_by_what_no_agent_has_still_names_its_order(as_vic: Client) -> None:
    make.agent()
    assert '<span class="chip">Sort: Group' in as_vic.get("/agents/?sort=group").text
