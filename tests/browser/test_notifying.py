"""A webhook is made, tried out and mended, as an admin does it."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import log_in, person
from tests.browser.test_accessible import found
from tests.notifications.receiver import receiving, status


@pytest.mark.parametrize("scripted", [True, False])
def test_an_admin_makes_a_webhook_and_tries_it_out(
    open_context: Callable[..., BrowserContext], settings: Any, axe: str, scripted: bool
) -> None:
    settings.ANOMALIES_ALLOW_HTTP_WEBHOOKS, settings.ANOMALIES_ALLOW_PRIVATE_WEBHOOKS = True, ["127.0.0.1"]
    person("boss", *(f"{verb}_channel" for verb in ("view", "add", "change", "delete")))
    page = log_in(open_context(java_script_enabled=scripted, viewport={"width": 1440, "height": 900}), "boss")
    page.get_by_role("link", name="Notifications").click()
    page.get_by_role("link", name="New channel").click()
    page.get_by_role("link", name="Webhook").click()
    with receiving(status(200, b'{"status": "no"}')) as there:
        page.get_by_label("Name", exact=True).fill("Desk")
        page.get_by_label("URL", exact=True).fill(there.url)
        page.get_by_label("Body, JSON").fill('{"what": "{{ anomaly.nothing }}"}')
        page.get_by_label("The answer must say").fill("$.status = ok")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text("no placeholder “anomaly.nothing”")
        expect(page.get_by_label("Name", exact=True)).to_have_value("Desk")
        page.get_by_label("Body, JSON").fill('{"what": "{{ anomaly.description }}"}')
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Test").click()
        expect(page.get_by_role("heading", name="Last test")).to_contain_text("failed")
        expect(page.locator("#test")).to_contain_text("no, expected ok")
        assert not scripted or found(page, axe) == []  # what the toast says of the failure can be read, too
        expect(page.locator("#test")).to_contain_text("webhook-signature: v1,")
        page.get_by_label("The answer must say").fill("$.status = no")
        page.get_by_role("button", name="Save").click()
        page.get_by_role("button", name="Test").click()
        expect(page.get_by_role("heading", name="Last test")).to_contain_text("delivered")
    assert [one.json["what"][:14] for one in there.received] == ["This is a test"] * 2
    page.get_by_label("When", exact=True).select_option("In a digest each hour")
    page.get_by_label("Quiet from").fill("22:00")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Quiet to: When do they end?")
    page.get_by_label("Quiet to").fill("07:00")
    page.get_by_label("Sunday").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("h1 + .meta")).to_contain_text("Next digest")
    expect(page.get_by_label("Sunday")).not_to_be_checked()
    page.get_by_text("Delete…").click()
    page.get_by_role("button", name="Delete this channel").click()
    expect(page.get_by_text("No channel yet")).to_be_visible()
