"""web/flows_*: the list of access flows, and the form of one."""

import re
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from anomalies.models import AccessFlow, Change
from anomalies.services import counts
from tests import make
from tests.services.access_requests import HOUR, life, told
from tests.services.days import MONDAY, store

pytestmark = pytest.mark.django_db
URL = "/access-flows/flow_1/"


def flow(public_id: str = "flow_1", **fields: Any) -> AccessFlow:
    made = AccessFlow.objects.create(public_id=public_id, **{"name": "Databases", **fields})
    made.refresh_from_db()
    return made


def typed(of: AccessFlow, **fields: Any) -> dict[str, Any]:
    return {
        "seen_at": of.updated_at.isoformat(),
        "name": "Production databases",
        "description": "Read and write",
        "active": "on",
        "duration": "4",
        "duration_unit": "hours",
        "requestors": "oncall\nana, ben",
        "target_integration": ["postgres-eu", ""],
        "target_resource_type": ["database", ""],
        "target_permissions": ["read, write", ""],
        "target_resources": ["orders", ""],
        "policy": "any",
        "approvers": "leads",
        "days": ["0", "4"],
        "opens": "09:00",
        "closes": "17:30",
        "time_zone": "Europe/Berlin",
        "justification_required": "on",
        "mfa_required": "on",
        **fields,
    }


def test_a_reviewer_edits_all_of_a_flow_and_that_is_recorded(as_ana: Client) -> None:
    one = flow()
    page = as_ana.post(URL, typed(one), follow=True)
    one.refresh_from_db()
    assert (one.name, one.description, one.active, one.grant_duration_seconds) == (
        "Production databases", "Read and write", True, 4 * 3600,
    )  # fmt: skip
    assert one.requestors == ["oncall", "ana", "ben"]
    assert one.targets == [
        {"integration": "postgres-eu", "resource_type": "database", "permissions": ["read", "write"],
         "resources": ["orders"]}
    ]  # fmt: skip
    assert one.approver_policy == {"mode": "any", "approvers": ["leads"]}
    assert one.timeframe == {"days": [0, 4], "from": "09:00", "until": "17:30", "time_zone": "Europe/Berlin"}
    assert (one.justification_required, one.requester_cannot_approve_self, one.mfa_required) == (True, False, True)
    assert one.updated_by == "ana"
    change = Change.objects.get()
    assert (change.subject_type, change.subject_id, change.actor) == ("access_flow", "flow_1", "ana")
    assert change.changes["name"] == ["Databases", "Production databases"]
    assert change.changes["grant_duration_seconds"] == [None, 14400]
    for said in ("Saved.", "Changed by <bdi>ana</bdi>", 'value="09:00"', "oncall\nana\nben", "read, write"):
        assertContains(page, said)
    for said in (
        "Grant duration: <bdi>nothing</bdi> → <bdi>4 hours</bdi>",
        "Approver policy: <bdi>nothing</bdi> → <bdi>mode any, approvers leads</bdi>",
        "<bdi>days Mon, Fri, from 09:00, until 17:30, time zone Europe/Berlin</bdi>",
    ):
        assertContains(page, said)


def test_the_days_of_a_flow_are_boxes_to_check(as_ana: Client) -> None:
    page = as_ana.get(f"/access-flows/{flow(timeframe={'days': [4]}).public_id}/").text
    assert page.count('<input type="checkbox" name="days"') == 7
    assert len(re.findall('<input type="checkbox" name="days" value="4"[^>]* checked', page)) == 1


def test_saving_what_is_shown_changes_nothing(as_ana: Client) -> None:
    one = flow(approver_policy={"mode": "automatic", "approvers": []})
    form = as_ana.get(URL).context["form"]
    same = {name: value for name, value in form.initial.items() if value not in (None, False)}
    assertContains(as_ana.post(URL, same, follow=True), "Nothing was changed.")
    one.refresh_from_db()
    assert one.updated_by == ""
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"name": ""}, "Name: This field is required."),
        ({"name": "x" * 201}, "Name: "),
        ({"duration": "-1"}, "Grant duration: “-1” is no whole number above 0"),
        ({"duration": "9" * 12}, "Grant duration: “999999999999” is no whole number"),
        ({"duration": "²"}, "Grant duration: “²” is no whole number"),
        ({"policy": "king"}, "Who approves: "),
        ({"approvers": " "}, "Approvers: Name at least one"),
        ({"days": ["9"]}, "Days: "),
        ({"opens": "25:00"}, "From: "),
        ({"closes": ""}, "Until: Give both times"),
        ({"closes": "09:00"}, "Until: It is the same time as From."),
        ({"time_zone": "Mars/Olympus"}, "Time zone: There is no “Mars/Olympus”."),
        ({"target_integration": ["", ""]}, "Target 1, integration: Name the integration."),
        ({"target_permissions": ["x" * 201, ""]}, "Target 1, permissions: "),
        ({"requestors": ",".join(map(str, range(201)))}, "Requestors: 201 names; at most 200 are kept."),
        ({"seen_at": "yesterday"}, "Seen at: The form is incomplete; open it again."),
    ],
)
def test_what_is_wrong_is_named_and_what_was_typed_is_kept(
    as_ana: Client, wrong: dict[str, Any], complaint: str
) -> None:
    one = flow()
    response = as_ana.post(URL, typed(one, **{"description": "<b>kept</b>", **wrong}))
    assert response.status_code == 422
    assertContains(response, complaint, status_code=422)
    assertContains(response, "&lt;b&gt;kept&lt;/b&gt;", status_code=422)
    one.refresh_from_db()
    assert (one.name, one.updated_by) == ("Databases", "")
    assert not Change.objects.exists()


def test_a_stale_form_is_told_who_changed_what_and_can_be_saved_again(as_ana: Client) -> None:
    one = flow()
    old = typed(one, name="Mine")
    as_ana.post(URL, typed(one, name="Theirs"))
    response = as_ana.post(URL, old)
    assert response.status_code == 409
    for said in ("ana changed name", "Name: <bdi>Databases</bdi> → <bdi>Theirs</bdi>", 'value="Mine"'):
        assertContains(response, said, status_code=409)
    one.refresh_from_db()
    assert one.name == "Theirs"
    assertRedirects(as_ana.post(URL, {**old, "seen_at": response.context["seen_at"]}), URL)
    one.refresh_from_db()
    assert one.name == "Mine"


def test_rows_are_added_and_removed_without_javascript_and_without_saving(as_ana: Client) -> None:
    one = flow()
    more = as_ana.post(URL, typed(one, add="1"))
    assertContains(more, "Not saved yet.")
    assertContains(more, 'name="target_integration"', count=3)
    assertContains(more, 'value="postgres-eu"')
    fewer = as_ana.post(URL, typed(one, remove="0"))
    assertContains(fewer, 'name="target_integration"', count=1)
    assertNotContains(fewer, 'value="postgres-eu"')
    assertContains(as_ana.post(URL, typed(one, remove="99")), 'name="target_integration"', count=2)
    assert not Change.objects.exists()


def test_a_viewer_sees_it_and_changes_nothing(as_vic: Client) -> None:
    one = flow()
    page = as_vic.get(URL)
    assertContains(page, "Editing it takes the role reviewer.")
    assertContains(page, "<h1>Access flow <bdi>Databases</bdi></h1>")
    assertNotContains(page, 'name="save"')
    assert as_vic.post(URL, typed(one)).status_code == 403
    one.refresh_from_db()
    assert one.name == "Databases"


def test_events_never_take_back_what_a_person_changed(as_ana: Client) -> None:
    store(life()[:1])
    counts.count_some()
    one = AccessFlow.objects.get()
    assert one.name == "Databases"
    as_ana.post(URL, typed(one))
    store([told("approved", MONDAY + HOUR), *life("req_2")])
    counts.count_some()
    one.refresh_from_db()
    assert (one.name, one.updated_by) == ("Production databases", "ana")


@pytest.mark.parametrize("id_", ["a/b", "a%2Fb", "..", "<i>x</i>", "ä b"])
def test_an_id_may_contain_anything(as_ana: Client, id_: str) -> None:
    flow(id_, name="")
    listed = as_ana.get("/access-flows/")
    assertNotContains(listed, "<i>x")
    href = listed.text.split('<td class="what"><a href="')[1].split('"')[0]
    assert as_ana.get(href).context["flow"].public_id == id_
    assert as_ana.get(f"/access-requests/?flow={quote(id_, safe='')}").context["requests"].flow == id_


def test_what_is_stored_in_another_shape_is_shown_all_the_same(as_ana: Client) -> None:
    flow(targets={"a": 1}, requestors="x", approver_policy=["y"], timeframe=[1], grant_duration_seconds=90)
    assertContains(as_ana.get(URL), "Edit access flow")


def test_the_list_is_searched_and_leafed_through(as_vic: Client) -> None:
    for number in range(60):
        flow(f"flow_{number:02}", name=f"Flow {number:02}")
    first = as_vic.get("/access-flows/")
    assertContains(first, "50 shown")
    assertContains(as_vic.get("/access-flows/?after=flow_49"), "Flow 59")
    assertContains(as_vic.get("/access-flows/?q=Flow+07"), "1 shown")
    assertContains(as_vic.get("/access-flows/?q=nothing"), "No access flow matches")


def test_a_flow_that_nobody_knows_is_a_404_that_says_so(as_vic: Client) -> None:
    assertContains(as_vic.get("/access-flows/x/"), "There is no access flow “<bdi>x</bdi>”", status_code=404)


def test_the_panel_of_an_anomaly_leads_to_its_request_and_its_flow(as_vic: Client) -> None:
    store(life()[:3])
    counts.count_some()
    evidence = {**make.EVIDENCE, "request_id": "req_1", "request_name": "AR-1", "access_flow": "flow_1", "units": []}
    one = make.anomaly(type="request_high_risk_access", kind="principal", entity="ana", evidence=evidence)
    page = as_vic.get(f"/?open={one.public_id}")
    query = f"?anomaly={one.public_id}&amp;back=%2F"
    assertContains(
        page, f'<a href="/access-requests/req_1/{query}" hx-get="/access-requests/req_1/{query}" hx-target="#panel"'
    )
    assertContains(page, '<a href="/access-flows/flow_1/"><bdi>Databases</bdi></a>')
    assertContains(page, "Ticket OPS-12")
    alone = as_vic.get(f"/anomalies/{one.public_id}/")
    assertContains(alone, f'<a href="/access-requests/req_1/?anomaly={one.public_id}&amp;back=%2Fanomalies%2F')
    opened = as_vic.get(f"/access-requests/req_1/?anomaly={one.public_id}&back=/", headers={"HX-Request": "true"})
    assertContains(opened, "its alert")
    assert opened.context["panel"].close_url == "/"
