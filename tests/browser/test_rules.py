"""Detectors and suppressions in a browser: a change tried on history, a suppression with its preview."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone
from playwright.sync_api import BrowserContext, Page, expect

from anomalies.models import Anomaly, Backtest, Change, DetectorSettings, Suppression
from anomalies.services import backtests, detectors, scans
from tests import make
from tests.browser.conftest import log_in
from tests.browser.test_accessible import found
from tests.services.days import store, usual

MAY = ["view_suppression", "add_suppression", "change_suppression", "view_rule", "add_rule", "change_rule"]
MAY += ["view_detectorsettings", "change_detectorsettings", "read_audit_log"]


@pytest.fixture
def both(open_context: Callable[..., BrowserContext], ana: User) -> Callable[[bool], Page]:
    """Return a function that gives ana's browser, with JavaScript or without."""
    ana.user_permissions.add(*Permission.objects.filter(codename__in=MAY))

    def opened(scripted: bool) -> Page:
        return log_in(open_context(viewport={"width": 1440, "height": 900}, java_script_enabled=scripted))

    return opened


@pytest.fixture
def fresh(three: list[Anomaly]) -> Anomaly:
    """The worst of the three, all detected just now."""
    Anomaly.objects.update(detected_at=timezone.now() - timedelta(hours=1))
    return three[0]


@pytest.mark.parametrize("scripted", [True, False])
def test_a_change_is_tried_on_history_and_then_saved(both: Callable[[bool], Page], scripted: bool) -> None:
    store(usual(20))
    scans.replay(now=timezone.now())
    detectors.settings_of("rate_spike")
    page = both(scripted)
    page.get_by_role("link", name="Detectors").click()
    page.get_by_role("link", name="Rate spike", exact=True).click()
    page.get_by_label("Above the expected, at least").fill("9")
    page.get_by_role("button", name="Try on history").click()
    expect(page.get_by_role("heading", name="Above the expected, at least 3 → 9")).to_be_visible()
    expect(page.get_by_text("Waiting for its turn")).to_be_visible()
    backtests.run(Backtest.objects.get())
    if not scripted:
        page.get_by_role("link", name="Refresh").click()
    expect(page.get_by_role("heading", name="Would raise 0 more and lose 0")).to_be_visible()
    assert not Change.objects.exists()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved. The next scan judges by it")).to_be_visible()
    assert DetectorSettings.objects.get(type="rate_spike").parameters == {"min_excess": 9.0}
    page.get_by_role("link", name="Audit log").click()
    expect(page.get_by_text("Above the expected, at least 3.0 → 9.0")).to_be_visible()


@pytest.mark.parametrize("scripted", [True, False])
def test_an_anomaly_is_suppressed_once_it_was_seen_what_that_hides(
    both: Callable[[bool], Page], fresh: Anomaly, scripted: bool
) -> None:
    page = both(scripted)
    page.goto(f"/suppressions/new/?from={fresh.public_id}")
    expect(page.get_by_role("heading", name="Would have hidden 3 in the last 30 days")).to_be_visible()
    page.get_by_label("Up to severity").select_option("Medium")
    if not scripted:
        page.get_by_role("button", name="See what it would hide").click()
    expect(page.get_by_role("heading", name="Would have hidden 2 in the last 30 days")).to_be_visible()
    expect(page.get_by_text("does not meet these conditions: it stays up for review")).to_be_visible()
    page.get_by_label("Up to severity").select_option("High")
    if not scripted:
        page.get_by_role("button", name="See what it would hide").click()
    expect(page.get_by_role("heading", name="Would have hidden 3 in the last 30 days")).to_be_visible()
    page.get_by_label("Reason").fill("Nightly sync.")
    page.get_by_label("Hide the other 2 that are up for review now, too").check()
    page.get_by_role("button", name="Suppress", exact=True).click()
    expect(page.get_by_text("Suppressed. 3 hidden from review.")).to_be_visible()
    assert not Anomaly.objects.needs_review().exists()
    page.get_by_role("button", name="Undo hiding the 3").click()
    expect(page.get_by_text("3 up for review again.")).to_be_visible()
    page.get_by_text("End it…").click()
    page.get_by_role("button", name="End this suppression").click()
    expect(page.get_by_text("Ended by ana")).to_be_visible()
    assert Suppression.objects.get().ended_by == "ana"


def test_nothing_keeps_anybody_out_of_these_pages(
    open_context: Callable[..., BrowserContext], ana: User, fresh: Anomaly, axe: str
) -> None:
    ana.user_permissions.add(*Permission.objects.filter(codename__in=MAY))
    make.agent("ag_young", last_seen=timezone.now())
    page = log_in(open_context())
    wrong: list[str] = []
    new = f"/suppressions/new/?from={fresh.public_id}"
    for path in ("/detectors/", "/detectors/off_hours_activity/", "/detectors/rate_spike/override/", "/rules/"):
        page.goto(path)
        wrong += found(page, axe)
    page.goto(new)
    wrong += found(page, axe)
    page.get_by_label("Reason").fill("Nightly sync.")
    page.get_by_role("button", name="Suppress", exact=True).click()
    expect(page.get_by_text("Suppressed. 1 hidden from review.")).to_be_visible()
    wrong += found(page, axe)
    for path in ("/suppressions/", "/rules/new/", "/audit-log/", "/types/"):
        page.goto(path)
        wrong += found(page, axe)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert wrong == []
