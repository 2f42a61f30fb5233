"""web/agents: the page of one agent, and what reviewers set on it."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from anomalies.models import (
    Agent,
    AgentPrincipal,
    Anomaly,
    Change,
    Connection,
    DetectorOverride,
    Event,
    ResponsePolicy,
    Severity,
)
from anomalies.services import connections, revocations, scans
from anomalies.services.actor import Actor
from tests import make
from tests.web.conftest import after_login

pytestmark = pytest.mark.django_db
URL, CHANGE, EVENTS = "/agents/ag_billing/", "/change/agents/ag_billing/", "/events/agents/ag_billing/"
QUERIES = 23
COUNTS_OF_MORE = 4  # anomalies, what became of them, grants, of which are being revoked: if any, or more than shown


def busy(days: int = 3, agent_id: str = "ag_billing") -> None:
    """Three requests an hour up to now, a third of them failed, all counted."""
    now = timezone.now()
    source = make.source()
    for hour in range(24 * days):
        for minute, status in ((1, "success"), (2, "success"), (3, "failure")):
            make.event(
                agent_id=agent_id,
                principal_id="user_1",
                time=now - timedelta(hours=hour, minutes=minute),
                status=status,
                source=source,
            )
    Agent.objects.filter(public_id=agent_id).update(first_seen=now - timedelta(days=days), last_seen=now)
    scans.run(now=now, trigger="command")


def typed(agent: Agent, **fields: str) -> dict[str, str]:
    """The form as the page has it, with some fields typed over."""
    return {"group": "", "time_zone": "UTC", "holidays": "", "seen_at": agent.updated_at.isoformat(), **fields}


def test_activity_counts_requests_and_failures_of_the_span(as_vic: Client) -> None:
    busy()
    response = as_vic.get(URL + "?span=24h")
    found = Event.objects.filter(time__gt=timezone.now() - timedelta(hours=23)).count()
    assertContains(response, " requests, ")
    said = int(response.text.split(" requests, ")[0].rpartition(">")[2].split()[-1])
    assert abs(said - found) <= 4
    assertContains(response, 'class="failures"')
    assertContains(response, 'class="band"')
    assertContains(response, "Requests in an average week, in UTC")


def test_an_agent_silent_for_long_shows_what_came_before(as_vic: Client) -> None:
    make.event(time=make.NOW - timedelta(days=200))
    Agent.objects.update(first_seen=make.NOW - timedelta(days=200), last_seen=make.NOW - timedelta(days=200))
    scans.run(now=make.NOW, trigger="command")
    assertContains(as_vic.get(URL), "Nothing since")
    assertContains(as_vic.get(URL), "1 request, 0 failed")


def test_an_agent_without_anything_reads_well(as_vic: Client) -> None:
    make.agent()
    response = as_vic.get(URL)
    for sentence in (
        "No event counted yet",
        "known from its events only",
        "Nothing was counted yet",
        "None so far",
        "None is known",
        "No event of it is kept",
        "No event of it names a user",
    ):
        assertContains(response, sentence)


def test_a_deleted_agent_says_so_and_cannot_be_changed(as_ana: Client) -> None:
    agent = make.agent(deleted_at=make.NOW)
    response = as_ana.get(URL)
    assertContains(response, "<b>Deleted</b>")
    assertNotContains(response, CHANGE)
    response = as_ana.post(CHANGE, typed(agent, group="x"))
    assertContains(response, "The agent ag_billing is deleted.", status_code=409)


def test_anomalies_are_counted_by_what_was_decided_and_the_last_20_are_listed(as_vic: Client) -> None:
    for number in range(25):
        make.anomaly(description=f"number {number}.", detected_at=make.NOW + timedelta(hours=number))
    resolved = {"status": "resolved", "resolved_at": make.NOW, "verdict": Anomaly.Verdict.BENIGN}
    make.anomaly(**resolved, detected_at=make.NOW - timedelta(days=1), severity=Severity.LOW)
    response = as_vic.get(URL)
    assertContains(response, "26 in all")
    assertContains(response, '<a href="/?agent=ag_billing&amp;status=open">25 open</a>, 1 benign (expected)')
    assertContains(response, "number 24.")
    assertNotContains(response, "number 4.")


def test_it_says_how_it_is_judged(as_vic: Client) -> None:
    agent = make.agent(scopes=["token:issue", {"odd": 1}])
    DetectorOverride.objects.create(
        type="rate_spike", agent=agent, enabled=False, reason="Load tests", updated_by="ana"
    )
    ResponsePolicy.objects.create(pk=1, mode="revoke_agent_grants")
    response = as_vic.get(URL)
    assertContains(response, "learned hours need 14 days")
    assertContains(response, 'Rate spike</a>: off<span class="meta"> “<bdi>Load tests</bdi>” (<bdi>ana</bdi>)')
    assertContains(response, "revokes its active grants unasked")
    assertContains(response, "<code>token:issue</code>")


def test_active_grants_come_first(as_vic: Client) -> None:
    make.grant("grnt_old", status="revoked", revoked_at=make.NOW, revoked_by="ana")
    make.grant("grnt_new", expires_at=make.NOW, principal=make.principal("team/user 1"), scopes=["read"])
    text = as_vic.get(URL).text
    assert text.index("grnt_new") < text.index("grnt_old")
    assert '<a href="/principals/team/user%201/">' in text


def test_whom_it_acted_for_last_and_how_many_more(as_vic: Client) -> None:
    make.agent()
    for number in range(15):
        make.principal(f"user_{number}")
        at = make.NOW + timedelta(hours=number)
        AgentPrincipal.objects.create(agent_id="ag_billing", principal_id=f"user_{number}", first_seen=at, last_seen=at)
    response = as_vic.get(URL)
    assertContains(response, "The 12 it acted for last, of 15.")
    assertContains(response, "/principals/user_14/")
    assertNotContains(response, "/principals/user_2/")


def test_ten_thousand_anomalies_and_many_events_take_no_more_queries(
    as_vic: Client, django_assert_num_queries: Callable[[int], AbstractContextManager[Any]]
) -> None:
    busy(days=1)
    with django_assert_num_queries(QUERIES):
        as_vic.get(URL)
    make.copies(make.anomaly(), [make.NOW] * 10_001, first=1_000_000)
    for number in range(30):
        make.grant(f"grnt_{number}")
    with django_assert_num_queries(QUERIES + COUNTS_OF_MORE):
        response = as_vic.get(URL)
    assertContains(response, "10,000+ in all")


def test_a_span_that_there_is_not_is_named(as_vic: Client) -> None:
    make.agent()
    assertContains(as_vic.get(URL + "?span=<b>"), "span: “&lt;b&gt;” is none of 24h, 7d, 30d.")


def test_a_reviewer_sets_group_zone_and_hours(as_ana: Client) -> None:
    agent = make.agent()
    response = as_ana.post(
        CHANGE,
        typed(
            agent, group="mail", time_zone="Europe/Berlin", monday="9-17", friday="09:00 to 13", holidays="2026-12-25"
        ),
    )
    assertRedirects(response, URL, fetch_redirect_response=False)
    agent.refresh_from_db()
    assert (agent.group, agent.time_zone, agent.updated_by) == ("mail", "Europe/Berlin", "ana")
    assert agent.working_hours == {"0": [9, 17], "4": [9, 13]}
    assert agent.holidays == ["2026-12-25"]
    change = Change.objects.get(subject_type="agent", subject_id="ag_billing")
    assert (change.actor, change.changes["time_zone"]) == ("ana", ["UTC", "Europe/Berlin"])
    assert change.changes["working_hours"] == [None, {"0": [9, 17], "4": [9, 13]}]
    response = as_ana.get(URL)
    assertContains(response, "Saved:")
    assertContains(response, "by <bdi>ana</bdi>")
    assertContains(response, 'value="9-17"')


def test_empty_days_leave_the_hours_to_be_learned(as_ana: Client) -> None:
    agent = make.agent(working_hours={"0": [9, 17]})
    as_ana.post(CHANGE, typed(agent))
    agent.refresh_from_db()
    assert agent.working_hours is None


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("time_zone", "Mars/Base", "Time zone: “Mars/Base” is no time zone"),
        ("time_zone", "", "Time zone: This field is required."),
        ("tuesday", "nine to five", "Tuesday: “nine to five” is no span of hours such as 9-17."),
        ("sunday", "17-9", "Sunday: from an hour to a later one"),
        ("holidays", "Christmas", "Holidays: “Christmas” is no date such as 2026-12-25."),
        ("group", "x" * 101, "Group: Ensure this value has at most 100 characters"),
    ],
)
def test_what_cannot_be_saved_is_named_and_shown_again(as_ana: Client, field: str, value: str, sentence: str) -> None:
    agent = make.agent(group="before")
    wanted = {"group": "kept as typed", "monday": "8-16", field: value}
    response = as_ana.post(CHANGE, typed(agent, **wanted))
    assertContains(response, sentence, status_code=422)
    assertContains(response, 'value="8-16"', status_code=422)
    assertContains(response, value if field != "holidays" else "Christmas</textarea>", status_code=422)
    agent.refresh_from_db()
    assert (agent.group, agent.working_hours) == ("before", None)


def test_all_that_is_wrong_with_a_field_stands_in_one_place(as_ana: Client) -> None:
    wrong = typed(make.agent(), group="x" * 101 + "\x00")
    page = as_ana.post(CHANGE, wrong).text
    [said] = re.findall(r'<span class="error" id="error_group">(.*?)</span>', page)
    assert said.count("<bdi>") == 2


def test_a_page_that_is_older_than_the_last_change_saves_nothing(as_ana: Client) -> None:
    agent = make.agent()
    old = typed(agent, group="mine")
    as_ana.post(CHANGE, typed(agent, group="first"))
    response = as_ana.post(CHANGE, old)
    assertContains(response, "was changed by ana since you opened this page", status_code=409)
    assertContains(response, 'value="mine"', status_code=409)
    agent.refresh_from_db()
    assert agent.group == "first"


def test_a_viewer_reads_only(as_vic: Client) -> None:
    agent = make.agent()
    assertNotContains(as_vic.get(URL), CHANGE)
    assert as_vic.post(CHANGE, typed(agent, group="x")).status_code == 403
    agent.refresh_from_db()
    assert agent.group == ""


def test_a_link_to_the_form_leads_to_the_agent(as_ana: Client) -> None:
    make.agent()
    assertRedirects(as_ana.get(CHANGE), URL)


def test_events_come_newest_first_page_by_page(as_vic: Client) -> None:
    for number in range(120):
        make.event(time=make.NOW + timedelta(seconds=number), action=f"do.{number}.")
    first = as_vic.get(EVENTS)
    assertContains(first, "do.119.")
    assertNotContains(first, "do.19.")
    earlier = first.text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    second = as_vic.get(EVENTS + earlier)
    assertContains(second, "do.19.")
    assertNotContains(second, "do.20.")
    assertContains(second, 'rel="prev"')


def test_a_filter_looks_through_so_many_events_and_says_how_far(
    as_vic: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomalies.web.actors.events.SEARCHED", 10)
    for number in range(25):
        status = "failure" if number in (3, 20) else "success"
        make.event(time=make.NOW + timedelta(minutes=number), action=f"do.{number}.", status=status)
    response = as_vic.get(EVENTS + "?status=failure")
    assertContains(response, "do.20.")
    assertNotContains(response, "do.3.")
    assertContains(response, "Looked through 10 events, back to")
    further = response.context["further_url"]
    assertContains(as_vic.get(EVENTS + further), "No event matches among these 10")
    further = as_vic.get(EVENTS + further).context["further_url"]
    assertContains(as_vic.get(EVENTS + further), "do.3.")


def test_filters_that_make_no_sense_are_named(as_vic: Client) -> None:
    make.event()
    response = as_vic.get(EVENTS + "?status=odd&until=never&earlier=x")
    assertContains(response, "Status: “odd” is none of success, failure, blocked.")
    assertContains(response, "Until: “never” is no time")
    assertContains(response, "token.issue")


def test_an_opened_event_leads_to_its_user(as_vic: Client) -> None:
    make.event(principal_id="team/user 1")
    assertContains(as_vic.get(URL), '<a href="/principals/team/user%201/">User <bdi>team/user 1</bdi></a>')


def test_a_reviewer_takes_an_active_grant_back_and_returns(as_ana: Client, as_vic: Client) -> None:
    make.grant("grnt_new", "a/b")
    make.grant("grnt_old", "a/b", status="revoked", revoked_at=make.NOW, revoked_by="ana")
    link = "/grants/grnt_new/revoke/?next=%2Fagents%2Fa%2Fb%2F%23grants-title"
    page = as_ana.get("/agents/a/b/")
    assertContains(page, f'href="{link}"')
    assertNotContains(page, "/grants/grnt_old/revoke/")
    assertNotContains(as_vic.get("/agents/a/b/"), "/revoke/")
    assertContains(as_ana.get(link), '<a class="btn" href="/agents/a/b/#grants-title">Keep it</a>')
    assertContains(as_ana.get("/grants/grnt_new/revoke/?next=//example.com/"), '<a class="btn" href="/">Keep it</a>')


def test_hours_typed_into_a_session_that_ended_are_there_after_the_login(as_ana: Client, ana: User) -> None:
    agent = make.agent()
    page = after_login(as_ana, ana, CHANGE, typed(agent, monday="9-17"), shown_at=URL)
    assertContains(page, 'name="monday" value="9-17"')
    assertContains(page, "Your session had ended: nothing was done yet.")
    agent.refresh_from_db()
    assert agent.working_hours is None


def test_a_grant_that_is_being_revoked_says_so(as_ana: Client) -> None:
    connections.keep(
        Connection(),
        {"integration": "okta", "url": "https://example.com/", "method": "POST", "headers": {}, "timeout_seconds": 5,
         "enabled": True},
        by=Actor("bob"),
        at=make.NOW,
    )  # fmt: skip
    unit = {"integration": "okta", "resource": "vpn", "resource_type": "application", "permission": "use"}
    unit |= {"integration_id": "", "integration_type": "", "resource_id": "", "resource_path": "", "tags": []}
    grant = make.grant("grnt_1", "ag_billing", units=[unit])
    assertContains(as_ana.get(URL), "/grants/grnt_1/revoke/")
    revocations.begin(grant, by=Actor("bob"), at=make.NOW)
    page = as_ana.get(URL)
    assertContains(page, "<td>Revoking</td>", html=True)
    assertNotContains(page, "/grants/grnt_1/revoke/")
