"""Every sentence of the published page on anomalies that this one is to match, walked in a browser.

Each test quotes the sentences that it walks.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import BrowserContext, Locator, Page, expect

from anomalies.detection.registry import DETECTORS
from anomalies.ingest.record import EventRecord
from anomalies.models import AccessFlow, AccessRequest, Anomaly, Scan
from anomalies.services import events, scans
from tests.browser.conftest import log_in
from tests.services.access_requests import APPROVED, HOUR, REJECTED, told, unit
from tests.web.detectors.test_types import PUBLISHED

DAY = timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    return timezone.now().replace(microsecond=0)


@pytest.fixture
def three() -> list[Anomaly]:
    """No others than those that detection finds."""
    return []


@pytest.fixture
def page(open_context: Callable[..., BrowserContext], now: datetime) -> Page:
    """The list of what detection found in the events of a few users: one anomaly of each access type."""
    today = now - DAY
    risky = [unit("prod-customers", "admin", integration="postgres-eu")]
    wiki = unit("wiki", resource_type="page", integration="confluence")
    records: list[EventRecord] = [
        told("created", now - 100 * DAY, "old", who="cleo"),
        told("created", today, "back", who="cleo", units=[wiki]),
        told("created", today - 30 * DAY, "no", who="dora"),
        told("rejected", today - 30 * DAY + HOUR, "no", who="dora", approvals=[REJECTED]),
        told("created", today + 2 * HOUR, "yes", who="dora", units=[unit("orders", "write")]),
        told("approved", today + 3 * HOUR, "yes", who="dora", units=[unit("orders", "write")], approvals=[APPROVED]),
        told("created", today + 4 * HOUR, "risk", who="emil", units=risky),
        told("approved", today + 5 * HOUR, "risk", who="emil", units=risky, approvals=[APPROVED]),
        told("granted", today + 5 * HOUR, "risk", who="emil", units=risky, approvals=[APPROVED], duration_seconds=9e6),
        *(
            told("created", today + 6 * HOUR + n * timedelta(minutes=7), f"bot-{n}", who="bot", units=[unit(f"t{n}")])
            for n in range(9)
        ),
    ]
    events.store(records, source_name="apono", format="apono", received_at=now)
    scans.run(now=now, trigger=Scan.Trigger.COMMAND)
    return log_in(open_context(viewport={"width": 1600, "height": 1000}))


def row(page: Page, type_: str) -> Locator:
    return page.locator(".list tbody tr", has=page.locator(f"td.type[title='{DETECTORS[type_].label}']"))


def labels(page: Page) -> set[str]:
    return {cell.get_attribute("title") or "" for cell in page.locator(".list tbody td.type").all()}


def chip(page: Page, name: str) -> Locator:
    return page.locator(f"#chip-{name}")


def test_what_is_found(page: Page) -> None:
    """Detects high-risk access requests, approvals of previously rejected requests, and sudden requests from inactive
    users. Flags repetitive or suspicious automated actions. Anomalies are sorted by detection date.
    """
    assert labels(page) == {
        "Request high risk access",
        "Approved after being rejected in the past",
        "Inactive user detected",
        "Access automation detected",
    }
    times = [cell.get_attribute("datetime") or "" for cell in page.locator(".list tbody td.when time").all()]
    assert len(times) == 4
    assert times == sorted(times, reverse=True)
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("Detected")


def test_investigate_an_anomaly(page: Page) -> None:
    """On the Anomalies page, under the RECOMMENDATION column, click the icon. The Alert Details panel opens. Review the
    alert. Provides detailed information on each detected anomaly.
    """
    expect(page.get_by_role("heading", name="Anomalies", exact=True)).to_be_visible()
    row(page, "request_high_risk_access").locator("[data-recommendation]").click()
    panel = page.get_by_role("complementary", name="Alert details")
    expect(panel).to_be_visible()
    for said in ("emil", "prod-customers", "admin", "postgres-eu", "Ticket OPS-12", "AR-risk"):
        expect(panel).to_contain_text(said)
    for line in ("Investigate this request.", "Consider revoking this request."):
        expect(panel).to_contain_text(line)


def test_revoke_access(page: Page) -> None:
    """On the Alert Details panel, under Alert Details, click the Request ID link. The Access request details panel
    appears. If the request Status is Active, click the Timeline tab to view the history details of the request. On the
    Resources tab, click Revoke Access to revoke the request and the associated access. The request Status will change
    to Revoked.
    """
    row(page, "request_high_risk_access").locator("[data-recommendation]").click()
    panel = page.locator("#panel")
    details = panel.locator("dl", has_text="Request ID")
    details.get_by_role("link", name="AR-risk").click()
    expect(panel).to_contain_text("Access request details")
    expect(panel.get_by_role("status")).to_contain_text("Status: Active")
    panel.get_by_role("link", name="Timeline").click()
    expect(panel.locator(".timeline")).to_contain_text("Access granted")
    panel.get_by_role("link", name="Resources").click()
    expect(panel).to_contain_text("prod-customers")
    panel.locator("summary", has_text="Revoke access").click()
    panel.get_by_role("button", name="Revoke access").click()
    expect(panel.get_by_role("status")).to_contain_text("Status: Revoked")
    assert AccessRequest.objects.get(public_id="risk").status == "revoked"


def test_update_the_access_flow(page: Page) -> None:
    """On the Alert Details panel, under Alert Details, click the Access Flow link. The Edit Access Flow page appears.
    Edit the access flow.
    """
    row(page, "request_high_risk_access").locator("[data-recommendation]").click()
    page.locator("#panel dl").get_by_role("link", name="Databases").click()
    expect(page.get_by_role("heading", name="Edit access flow")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("Databases, read only")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#toasts")).to_contain_text("Saved.")
    assert AccessFlow.objects.get().name == "Databases, read only"


def test_relative_time(page: Page, now: datetime) -> None:
    """Click the first filter, a menu appears. On the Relative tab, from the Last dropdown menu, select a time measure.
    In the Last text field, enter a number. (Optional) Click Round to the hours to begin the time filtering from the
    nearest hour. Click Apply. The filter turns blue and shows a summary of the filter.
    """
    first = page.locator("#filters summary", has=page.locator("#chip-time"))
    expect(first).to_have_text("All time")
    grey = page.evaluate("getComputedStyle(document.querySelector('#chip-time')).color")
    first.click()
    expect(page.get_by_text("Relative")).to_be_visible()
    page.get_by_label("Unit").select_option("hours")
    page.get_by_label("Last", exact=True).fill("21")
    page.get_by_label("Round to the hour").check()
    page.get_by_role("button", name="Apply").click()
    expect(chip(page, "time")).to_have_text("Last 21 hours")
    expect(chip(page, "time")).to_have_class("chip on")
    assert page.evaluate("getComputedStyle(document.querySelector('#chip-time')).color") != grey
    wanted = Anomaly.objects.standing().filter(
        detected_at__gte=(now - timedelta(hours=21)).replace(minute=0, second=0, microsecond=0)
    )
    expect(page.locator(".list tbody tr")).to_have_count(wanted.count())


@pytest.mark.parametrize("utc", [False, True])
def test_absolute_time(page: Page, utc: bool) -> None:
    """On the Absolute tab, under From, select the start date of the time filter from the date picker. Select the start
    time (local system time). Under To, select the end date and the end time. (Optional) Click Use UTC to apply the
    Coordinated Universal Time (UTC) timezone to the start and end times instead of the local system time. Click Apply.
    The filter turns blue and shows a summary of the filter.
    """
    newest = Anomaly.objects.order_by("-detected_at")[0].detected_at
    start, end = (newest.replace(second=0) + timedelta(minutes=n) for n in (0, 1))
    if not utc:  # the browser stands in Berlin
        start, end = start + HOUR, end + HOUR
    page.locator("#filters summary", has=page.locator("#chip-time")).click()
    page.get_by_text("Absolute").click()
    page.get_by_label("From").fill(f"{start:%Y-%m-%dT%H:%M}")
    page.get_by_label("To", exact=True).fill(f"{end:%Y-%m-%dT%H:%M}")
    page.get_by_label("Use UTC").set_checked(utc)
    page.get_by_role("button", name="Apply").click()
    expect(chip(page, "time")).to_have_class("chip on")
    expect(chip(page, "time")).to_have_text(f"{start:%-d %b %H:%M} to {end:%-d %b %H:%M}{' UTC' if utc else ''}")
    wanted = Anomaly.objects.standing().filter(detected_at__gte=newest.replace(second=0)).count()
    expect(page.locator(".list tbody tr")).to_have_count(wanted)


FILTERS = [
    ("type", "Type", "high ri", "Request high risk access", False),
    ("severity", "Severity", "hi", "High", False),
    ("resource_type", "Resource type", "pag", "page", False),
    ("user", "User", "emi", "emil", True),
    ("integration", "Integration", "conf", "confluence", True),
]


@pytest.mark.parametrize(("name", "label", "part", "option", "more"), FILTERS, ids=[filter_[0] for filter_ in FILTERS])
def test_filters(page: Page, name: str, label: str, part: str, option: str, more: bool) -> None:
    """Click Type (Severity, Resource Type, More Filters > User, More Filters > Integration). (Optional) In the Search…
    field, enter a full or partial type. Only severities matching the value entered will be displayed. Click the
    checkbox next to one or several types. The filter button turns blue and shows a summary of the filter.
    """
    if more:
        page.locator("#filters summary", has_text="More filters").click()
        page.locator("#filters .pop summary", has_text=label).click()
    else:
        page.locator("#filters summary", has=page.locator(f"#chip-{name}")).click()
    page.get_by_label(f"Search {label.lower()}").fill(part)
    options = page.locator(f"#menu-{name} .option")
    expect(options).to_have_count(1)
    options.get_by_role("checkbox", name=option).check()
    summary = page.locator("#chip-more" if more else f"#chip-{name}")
    expect(summary).to_have_class("chip on")
    expect(summary).to_contain_text(f"{label}: {option}")
    column = {"type": "type", "severity": "severity", "user": "principal", "integration": "integration"}.get(name, name)
    value = {"Request high risk access": "request_high_risk_access", "High": 3}.get(option, option)
    expect(page.locator(".list tbody tr")).to_have_count(Anomaly.objects.standing().filter(**{column: value}).count())


def test_several_filters(page: Page) -> None:
    """Anomalies can be filtered by one or multiple filters. Click the checkbox next to one or several types."""
    page.locator("#filters summary", has=chip(page, "type")).click()
    page.get_by_role("checkbox", name="Request high risk access").check()
    page.get_by_role("checkbox", name="Inactive user detected").check()
    expect(chip(page, "type")).to_have_text("Type: 2")
    expect(page.locator(".list tbody tr")).to_have_count(2)
    page.keyboard.press("Escape")
    page.locator("#filters summary", has_text="More filters").click()
    page.locator("#filters .pop summary", has_text="User").click()
    page.get_by_role("checkbox", name="emil").check()
    expect(page.locator(".list tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Clear filters").click()
    expect(page.locator(".list tbody tr")).to_have_count(4)


def test_anomaly_types_reference(page: Page) -> None:
    """The following table explains each anomaly type."""
    page.get_by_role("link", name="Types reference").click()
    for label, lines in PUBLISHED.items():
        section = page.locator("section", has=page.get_by_role("heading", name=label))
        section.locator("summary").first.click()
        for line in lines:
            expect(section).to_contain_text(line, ignore_case=True)
