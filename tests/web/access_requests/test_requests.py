"""web/requests_*: the list of access requests, and the details of one."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from anomalies.ingest.access_request import Grantee, Requester
from anomalies.models import AccessRequest, Change, Connection, Grant, ReviewEntry
from anomalies.services import access, connections, counts, revocations
from anomalies.services.actor import Actor
from tests import make
from tests.notifications.receiver import Receiver, receiving, status
from tests.services.access_requests import APPROVED, HOUR, life, told, unit
from tests.services.days import MONDAY, store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("calls_stay_here")]

HTMX = {"HX-Request": "true", "HX-Current-URL": "http://testserver/"}
BEN = Actor(name="ben")
AT = MONDAY + 3 * HOUR


def connect(url: str, integration: str = "postgres-eu") -> Connection:
    connection = Connection()
    wanted = {"integration": integration, "url": url, "method": "POST", "headers": {}, "timeout_seconds": 5}
    connections.keep(connection, {**wanted, "enabled": True}, by=BEN, at=AT)
    return connection


def fold(*events: Any) -> None:
    store(list(events))
    counts.count_some()


def granted(id_: str = "req_1", **fields: Any) -> Grant:
    fold(*life(id_, **fields)[:3])
    return Grant.objects.get(request_id=id_)


def anomaly_of(id_: str, who: str = "ana", **fields: Any) -> Any:
    evidence = {
        **make.EVIDENCE,
        "request_id": id_,
        "request_ids": [id_],
        "request_name": "AR-1",
        "access_flow": "flow_1",
    }
    return make.anomaly(
        type="request_high_risk_access", kind="principal", entity=who, principal=make.principal(who),
        evidence={**evidence, **fields},
    )  # fmt: skip


def answer() -> None:
    revocations.call_due(clock=timezone.now, until=timezone.now() + HOUR)


def test_the_list_shows_the_newest_first_with_what_each_is_for(as_vic: Client) -> None:
    fold(told("created"), *life("req_2", MONDAY + HOUR, units=[unit("payments", "admin")])[:3])
    anomaly_of("req_2")
    text = as_vic.get("/access-requests/").text
    assert text.index("AR-2") < text.index("AR-1")
    for said in (
        "admin on payments",
        "Ana",
        "Databases",
        "Active",
        "Pending",
        '2 shown<span id="matching">, 2 match</span>',
    ):
        assert said in text, said
    assert '<td class="found">1</td>' in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=pending", {"AR-1"}),
        ("requester=ben", {"AR-2"}),
        ("integration=s3-eu", {"AR-2"}),
        ("flow=flow_1", {"AR-1", "AR-2"}),
        ("q=bucket", {"AR-2"}),
        ("q=OPS-12&status=active", {"AR-2"}),
        ("q=nothing", set()),
    ],
)
def test_filters_combine_and_stay_in_the_url(as_vic: Client, query: str, found: set[str]) -> None:
    fold(told("created"), *life("req_2", who="ben", units=[unit("bucket", integration="s3-eu")])[:3])
    text = as_vic.get(f"/access-requests/?{query}").text
    assert {name for name in ("AR-1", "AR-2") if f"<bdi>{name}</bdi>" in text} == found
    if not found:
        assert "No access request matches" in text


def test_what_makes_no_sense_in_the_address_is_named(as_vic: Client) -> None:
    fold(told("created"))
    text = as_vic.get("/access-requests/?status=gone&flow=x&older=y&colour=red&requester=%00&sort=status").text
    for complaint in (
        "Status: “gone” is none of pending,",
        "Access flow: there is no “x”.",
        "Older: there is no access request “y”.",
        "There is no filter “colour”.",
        "Requester: it is no text of at most 200 characters.",
        "Sort: “status” is neither requested nor -requested.",
    ):
        assert complaint in text
    assert "AR-1" in text


def test_pages_follow_each_other_and_a_longer_list_takes_no_more_queries(
    as_vic: Client, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    fold(*(told("created", MONDAY + timedelta(minutes=n), f"req_{n:03}") for n in range(60)))
    with django_assert_num_queries(12):
        first = as_vic.get("/access-requests/")
    assertContains(first, ", 60 match</span>")
    assertContains(first, "AR-059")
    second = as_vic.get(first.context["older_url"])
    assertContains(second, ", 60 match</span>")
    assertNotContains(second, "AR-059")
    assertContains(as_vic.get(second.context["newer_url"]), "AR-059")
    as_vic.cookies["local_zone"] = "UTC"
    with django_assert_num_queries(7):
        as_vic.get("/access-requests/")
    with django_assert_num_queries(9):
        as_vic.get("/counts/access-requests/")


def test_the_oldest_come_first_when_asked_for_and_pages_go_on_from_there(as_vic: Client) -> None:
    fold(*(told("created", MONDAY + timedelta(minutes=n), f"req_{n:03}") for n in range(60)))
    first = as_vic.get("/access-requests/?sort=requested&requester=ana")
    assertContains(first, "oldest first</caption>")
    assertContains(first, 'aria-sort="ascending"')
    assertContains(first, '<input type="hidden" name="sort" value="requested">')
    assert [row.request.public_id for row in first.context["rows"]] == [f"req_{n:03}" for n in range(50)]
    assert first.context["headers"][0].url == "/access-requests/?requester=ana"
    second = as_vic.get(first.context["older_url"])
    assert [row.request.public_id for row in second.context["rows"]] == [f"req_{n:03}" for n in range(50, 60)]
    back = as_vic.get(second.context["newer_url"])
    assert [row.request.public_id for row in back.context["rows"]] == [f"req_{n:03}" for n in range(50)]
    assertContains(as_vic.get("/access-requests/"), "newest first</caption>")


def test_where_no_headers_are_shown_a_menu_sorts_and_keeps_the_filters(as_vic: Client) -> None:
    fold(told("created"))
    menu = as_vic.get("/access-requests/?status=pending").text.partition('id="sorting"')[2].partition("</details>")[0]
    assert "Sort: Requested " in menu
    assert '<a class="item" href="/access-requests/?status=pending&amp;sort=requested" aria-current="true">' in menu


def test_an_empty_list_says_how_requests_come_to_be_known(as_vic: Client) -> None:
    assertContains(as_vic.get("/access-requests/"), "No access requests yet")


def test_the_details_say_who_asked_for_whom_and_why(as_vic: Client) -> None:
    fold(
        *life(
            grantee=Grantee(id="g_1", name="Night shift", type="group"), custom_fields={"ticket": "OPS-12", "n": [1]}
        )[:3]
    )
    anomaly = anomaly_of("req_1")
    text = as_vic.get("/access-requests/req_1/").text
    for said in ("Active", "Ana", "ana@example.com", "Night shift (group)", "Ticket OPS-12", "Databases", "1 hour",
                 "Owners", "approved by <bdi>Ben Keller</bdi>", "ticket", "[1]", anomaly.description):  # fmt: skip
        assert said in text, said


def test_tabs_are_links_that_work_without_javascript(as_vic: Client) -> None:
    granted(units=[unit(tags=["env=prod"])])
    page = as_vic.get("/access-requests/req_1/?tab=resources")
    for said in ("postgres-eu", "orders", "database", "read", "env=prod"):
        assertContains(page, said)
    assertContains(page, 'href="/access-requests/req_1/?tab=resources" hx-get=')
    assert page.text.count('aria-current="page"') == 1
    timeline = as_vic.get("/access-requests/req_1/?tab=timeline")
    for said in ("Requested", "Approved by <bdi>Ben Keller</bdi>", "Access granted"):
        assertContains(timeline, said)
    assertContains(as_vic.get("/access-requests/req_1/?tab=x"), "tab: “x” is none of details, resources, timeline.")


@pytest.mark.parametrize("id_", ["a/b", "a%2Fb", "../..", "ä b?c#d", "<i>x</i>", "‮abc"])
def test_an_id_may_contain_anything(as_vic: Client, id_: str) -> None:
    fold(told("created", id_=id_, friendly_id=""))
    row = as_vic.get("/access-requests/").context["rows"][0]
    page = as_vic.get(row.url)
    assert page.status_code == 200
    assert page.context["panel"].request.public_id == id_
    assertNotContains(page, "<i>x</i>")


def test_a_request_that_nobody_knows_is_a_404_that_says_so(as_vic: Client) -> None:
    response = as_vic.get("/access-requests/<b>x/")
    assert response.status_code == 404
    assert "There is no access request “<bdi>&lt;b&gt;x</bdi>”" in response.text


def test_htmx_gets_the_panel_alone_and_the_list_opens_it(as_vic: Client) -> None:
    fold(told("created"))
    part = as_vic.get("/access-requests/req_1/?back=/access-requests/", headers=HTMX)
    assert part.text.strip().startswith('<article class="panel request"')
    assertContains(as_vic.get("/access-requests/?open=req_1"), 'aria-labelledby="panel-title"')


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "x"])
def test_the_way_back_never_leads_away(as_vic: Client, back: str) -> None:
    fold(told("created"))
    page = as_vic.get(f"/access-requests/req_1/?back={quote(back)}")
    assert page.context["panel"].close_url == "/access-requests/"


def test_a_viewer_revokes_nothing_and_is_told_why(as_vic: Client) -> None:
    grant = granted()
    assertContains(as_vic.get("/access-requests/req_1/?tab=resources"), "takes the role reviewer")
    for confirm in ({}, {"confirm": "yes"}):
        assert as_vic.post(f"/grants/{grant.public_id}/revoke/", confirm).status_code == 403
    grant.refresh_from_db()
    assert grant.status == "active"


def test_revoking_is_asked_back_before_anything_is_done(as_ana: Client) -> None:
    grant = granted()
    assertContains(as_ana.get("/access-requests/req_1/?tab=resources"), "Revoke access…")
    url = f"/grants/{grant.public_id}/revoke/"
    for question in (as_ana.get(url), as_ana.post(url, {"next": "/access-requests/req_1/"})):
        assertContains(question, "Revoke the access of <bdi>AR-1</bdi>?", html=False)
        assertContains(question, "None of its integrations has a connection")
    grant.refresh_from_db()
    assert grant.status == "active"
    done = as_ana.post(url, {"confirm": "yes", "next": "/access-requests/req_1/?tab=resources"})
    assertRedirects(done, "/access-requests/req_1/?tab=resources")
    page = as_ana.get("/access-requests/req_1/?tab=resources")
    for said in ("Revoked", "Nothing to revoke: this access has ended."):
        assertContains(page, said)
    assertContains(as_ana.get("/access-requests/req_1/?tab=timeline"), "Revoked by <bdi>ana</bdi>")
    assert Change.objects.get().user == as_ana.get("/").context["user"]


def test_with_a_connection_it_shows_revoking_until_that_answers(as_ana: Client, there: Receiver) -> None:
    connect(there.url)
    grant = granted()
    anomaly = anomaly_of("req_1")
    url = f"/grants/{grant.public_id}/revoke/"
    assertContains(as_ana.get(url), "<bdi>postgres-eu</bdi> is asked to take it back")
    part = as_ana.post(url, {"confirm": "yes", "anomaly": anomaly.public_id}, headers=HTMX)
    for said in ("Revoking", "1 integration has not answered yet", "is being asked", 'hx-trigger="every 4s"',
                 "Revoking: the access ends when postgres-eu has answered."):  # fmt: skip
        assertContains(part, said)
    again = as_ana.post(url, {"confirm": "yes"}, headers=HTMX)
    assertContains(again, "It is being revoked already, since ana asked for that.")
    answer()
    page = as_ana.get("/access-requests/req_1/?tab=timeline")
    for said in ("Revoked", "Asked postgres-eu: answered 200", "Revocation asked for by <bdi>ana</bdi>"):
        assertContains(page, said)
    assertNotContains(page, "every 4s")
    assert ReviewEntry.objects.filter(anomaly=anomaly).count() == 2


def test_a_refusal_shows_why_and_offers_to_try_again(as_ana: Client, as_vic: Client) -> None:
    with receiving(status(409, b"<b>gone</b>")) as there:
        connect(there.url)
        access.revoke_grant(granted(), by=BEN, at=AT)
        answer()
    for tab in ("details", "resources", "timeline"):
        assertContains(as_ana.get(f"/access-requests/req_1/?tab={tab}"), "postgres-eu: answered 409")
    assertContains(as_ana.get("/access-requests/req_1/?tab=resources"), "Retry…")
    assertContains(as_ana.get("/access-requests/req_1/?tab=timeline"), "&lt;b&gt;gone")
    for tab in ("details", "resources", "timeline"):
        seen = as_vic.get(f"/access-requests/req_1/?tab={tab}")
        for hidden in ("gone&lt;", there.url, "127.0.0.1", "request_headers", "Content-Type"):
            assertNotContains(seen, hidden)
    told = [one.sentence for one in as_vic.get("/access-requests/req_1/?tab=timeline").context["panel"].timeline]
    assert told[-2:] == ["Asked postgres-eu: answered 409", "Revocation refused, the access stands"]


def test_a_grant_of_an_agent_is_revoked_by_the_same_form(as_ana: Client) -> None:
    make.grant(scopes=["invoices:read"])
    question = as_ana.post("/grants/grnt_1/revoke/", {"next": "/agents/ag_billing/"})
    for said in ("Revoke grant <bdi>grnt_1</bdi>?", "invoices:read", "ag_billing"):
        assertContains(question, said)
    done = as_ana.post("/grants/grnt_1/revoke/", {"confirm": "yes", "next": "/agents/ag_billing/"})
    assertRedirects(done, "/agents/ag_billing/")
    assert Grant.objects.get().revoked_by == "ana"
    assertContains(as_ana.post("/grants/grnt_1/revoke/"), "It gives no access: it is revoked.")
    late = as_ana.post("/grants/grnt_1/revoke/", {"confirm": "yes", "next": "/agents/ag_billing/"}, follow=True)
    assertContains(late, "The grant grnt_1 is already revoked.")


def test_access_past_its_planned_end_says_that_nobody_told_of_it(as_vic: Client) -> None:
    granted()
    assertContains(as_vic.get("/access-requests/req_1/"), "and no event says that it did")


def test_a_grant_that_nobody_knows_is_a_404(as_ana: Client) -> None:
    assert as_ana.post("/grants/grnt_x/revoke/", {"confirm": "yes"}).status_code == 404


def test_without_names_the_ids_are_shown(as_vic: Client) -> None:
    fold(told("created", id_="req_9", friendly_id="", requester=Requester(id="ana"), flow=None, justification="",
              units=[], approvals=[APPROVED]))  # fmt: skip
    text = as_vic.get("/access-requests/req_9/").text
    assert "<bdi>req_9</bdi>" in text
    assert "none given" in text
    assert AccessRequest.objects.get().flow is None


def test_each_choice_of_a_filter_says_how_many_it_would_show(as_vic: Client) -> None:
    fold(told("created"), *life("req_2", who="ben", units=[unit("bucket", integration="s3-eu"), unit()])[:3])
    plain = as_vic.get("/access-requests/?status=active").text
    for said in ('<option value="pending">Pending (1)</option>', '<option value="active" selected>Active (1)</option>',
                 '<option value="postgres-eu">postgres-eu (1)</option>', '<option value="s3-eu">s3-eu (1)</option>',
                 '<option value="flow_1">Databases (1)</option>',
                 '<option value="failed">Failed (0)</option>'):  # fmt: skip
        assert said in plain
    as_vic.cookies["local_zone"] = "UTC"
    at_once = as_vic.get("/access-requests/?status=active")
    assertContains(at_once, '<option value="pending">Pending</option>')
    assertContains(at_once, 'hx-get="/counts/access-requests/?status=active"')
    later = as_vic.get("/counts/access-requests/?status=active", headers=HTMX).text
    assert '<select id="status" name="status" hx-swap-oob="true">' in later
    assert '<option value="pending">Pending (1)</option>' in later
    assert ", 1 matches</span>" in later
    everywhere = as_vic.get("/counts/access-requests/?q=nothing+such", headers=HTMX).text
    assert "postgres-eu (0)" in everywhere
    assert "match</span>" not in everywhere
