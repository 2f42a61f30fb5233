"""The two walks of the published page: revoke the request of an anomaly, and update its access flow."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from django.utils import timezone
from playwright.sync_api import BrowserContext, Page, expect

from anomalies.models import AccessFlow, Anomaly, Connection, Grant
from anomalies.services import connections, counts, revocations
from anomalies.services.actor import Actor
from tests import make
from tests.browser.conftest import log_in
from tests.browser.test_accessible import found
from tests.notifications.receiver import receiving, status
from tests.services.access_requests import HOUR, life
from tests.services.days import store

pytestmark = pytest.mark.usefixtures("calls_stay_here")


@pytest.fixture
def risky(transactional_db: None) -> Anomaly:
    """An anomaly about the request AR-1, whose access stands."""
    store(life(start=make.NOW - 3 * HOUR)[:3])
    counts.count_some()
    evidence = {**make.EVIDENCE, "request_id": "req_1", "request_ids": ["req_1"], "request_name": "AR-1",
                "access_flow": "flow_1", "units": []}  # fmt: skip
    return make.anomaly(
        type="request_high_risk_access", kind="principal", entity="ana", principal=make.principal("ana"),
        description="Ana asked for admin on production", evidence=evidence,
    )  # fmt: skip


def answered() -> None:
    """Let a worker make the calls that are due; the browser keeps the loop of this thread."""
    with ThreadPoolExecutor(1) as worker:
        worker.submit(_call_due).result()


def _call_due() -> None:
    from django.db import connection

    revocations.call_due(clock=timezone.now, until=timezone.now() + HOUR)
    connection.close()


def test_the_request_of_an_anomaly_is_revoked_beside_the_list(page: Page, risky: Anomaly) -> None:
    page.reload()
    page.get_by_role("link", name="Recommendation: Ana asked for admin on production").click()
    panel = page.locator("#panel")
    expect(panel.get_by_role("heading", name="Ana asked for admin on production")).to_be_visible()
    panel.get_by_role("link", name="AR-1").click()
    expect(panel.get_by_role("heading", name="AR-1")).to_be_visible()
    expect(panel.get_by_text("Status: Active")).to_be_visible()
    panel.get_by_role("link", name="Timeline").click()
    expect(panel.get_by_text("Access granted")).to_be_visible()
    expect(panel.get_by_role("link", name="Timeline")).to_be_focused()
    panel.get_by_role("link", name="Resources").click()
    panel.get_by_text("Revoke access…").click()
    panel.get_by_role("button", name="Revoke access").click()
    expect(panel.get_by_text("Status: Revoked")).to_be_visible()
    expect(page.locator("#toasts")).to_contain_text("Revoked.")
    panel.get_by_role("link", name="Timeline").click()
    expect(panel.get_by_text("Revoked by ana")).to_be_visible()
    panel.get_by_role("link", name="its alert").click()
    expect(panel.get_by_role("heading", name="Ana asked for admin on production")).to_be_visible()
    expect(panel.get_by_text("Revoked the access of request AR-1", exact=False)).to_be_visible()
    assert Grant.objects.get().revoked_by == "ana"


def test_the_grants_and_requests_of_a_user_fit_a_phone(page: Page, risky: Anomaly) -> None:
    page.set_viewport_size({"width": 360, "height": 844})
    page.goto("/principals/ana/")
    expect(page.get_by_role("heading", name="Access requests")).to_be_visible()
    for wide in ("document.documentElement", *(f"document.querySelectorAll('.sideways')[{n}]" for n in range(2))):
        assert page.evaluate(f"{wide}.scrollWidth <= {wide}.clientWidth"), wide


def test_closing_it_leads_back_to_the_list_and_so_does_back(page: Page, risky: Anomaly) -> None:
    page.goto(f"/?severity=high&open={risky.public_id}")
    page.locator("#panel").get_by_role("link", name="AR-1").click()
    expect(page.locator("#panel").get_by_role("heading", name="AR-1")).to_be_visible()
    page.go_back()
    expect(page.locator("#panel").get_by_role("heading", name="Ana asked for admin on production")).to_be_visible()
    page.locator("#panel").get_by_role("link", name="AR-1").click()
    expect(page.locator("#panel").get_by_role("heading", name="AR-1")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_empty()
    assert page.url.endswith("/?severity=high")


def test_it_shows_revoking_and_by_itself_what_came_of_it(page: Page, risky: Anomaly) -> None:
    with receiving(status(403)) as there:
        wanted = {"integration": "postgres-eu", "url": there.url, "method": "POST", "headers": {}, "enabled": True}
        connections.keep(Connection(), {**wanted, "timeout_seconds": 5}, by=Actor("ben"), at=make.NOW)
        page.goto("/access-requests/?open=req_1")
        panel = page.locator("#panel")
        panel.get_by_role("link", name="Resources").click()
        panel.get_by_text("Revoke access…").click()
        expect(panel.get_by_text("postgres-eu is asked to take it back")).to_be_visible()
        panel.get_by_role("button", name="Revoke access").click()
        expect(panel.get_by_text("Status: Revoking")).to_be_visible()
        answered()
        expect(panel.get_by_text("Not revoked, the access stands: postgres-eu: answered 403")).to_be_visible()
        there.answer = status(200)
        panel.get_by_text("Retry…").click()
        panel.get_by_role("button", name="Revoke access").click()
        expect(panel.get_by_text("Status: Revoking")).to_be_visible()
        answered()
        expect(panel.get_by_text("Status: Revoked")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False])
def test_the_access_flow_of_an_anomaly_is_updated(
    open_context: Callable[..., BrowserContext], risky: Anomaly, scripts: bool
) -> None:
    page = log_in(open_context(java_script_enabled=scripts))
    page.goto(f"/?open={risky.public_id}")
    page.locator("#panel").get_by_role("link", name="Databases").click()
    expect(page.get_by_role("heading", name="Edit access flow Databases")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("Production")
    page.get_by_label("Grant duration", exact=True).fill("2")
    page.get_by_label("Integration", exact=True).fill("postgres-eu")
    page.get_by_role("button", name="Add a target").click()
    expect(page.get_by_label("Integration", exact=True)).to_have_count(2)
    page.get_by_role("button", name="Remove target 2").click()
    expect(page.get_by_label("Integration", exact=True)).to_have_count(1)
    page.get_by_label("Requesters cannot approve themselves").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("heading", name="Edit access flow Production")).to_be_visible()
    expect(page.get_by_text("Changed by ana")).to_be_visible()
    flow = AccessFlow.objects.get()
    assert (flow.grant_duration_seconds, flow.requester_cannot_approve_self) == (7200, True)


def test_without_javascript_a_request_is_revoked_all_the_same(
    open_context: Callable[..., BrowserContext], risky: Anomaly
) -> None:
    page = log_in(open_context(java_script_enabled=False))
    page.goto(f"/anomalies/{risky.public_id}/")
    page.get_by_role("link", name="AR-1").click()
    page.get_by_role("link", name="Resources").click()
    page.get_by_text("Revoke access…").click()
    page.get_by_role("button", name="Revoke access").click()
    expect(page.get_by_text("Status: Revoked")).to_be_visible()
    page.get_by_role("link", name="its alert").click()
    expect(page.get_by_text("Revoked the access of request AR-1", exact=False)).to_be_visible()


def test_leaving_half_way_revokes_nothing(page: Page, risky: Anomaly) -> None:
    page.goto(f"/grants/{quote(Grant.objects.get().public_id)}/revoke/")
    page.get_by_role("link", name="Keep it").click()
    assert Grant.objects.get().status == "active"


def test_nothing_keeps_anybody_out(page: Page, risky: Anomaly, axe: str) -> None:
    wrong = []
    for path in (
        "/access-requests/",
        "/access-requests/?open=req_1&status=active",
        "/access-requests/req_1/",
        "/access-requests/req_1/?tab=resources",
        "/access-requests/req_1/?tab=timeline",
        "/access-flows/",
        "/access-flows/flow_1/",
        f"/grants/{Grant.objects.get().public_id}/revoke/",
        f"/?open={risky.public_id}",
    ):
        page.goto(path)
        wrong += found(page, axe)
    assert wrong == []


def test_what_the_requests_are_filtered_by_stays_chosen_once_it_is_counted(page: Page, risky: Anomaly) -> None:
    page.goto("/access-requests/?status=active")
    expect(page.get_by_role("option", name="Active (1)")).to_be_attached()
    expect(page.locator("#status")).to_have_value("active")
    expect(page.locator("#integration")).to_have_value("")
    expect(page.locator(".pager")).to_contain_text("1 shown, 1 match")
