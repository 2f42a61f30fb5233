"""Many at once: the picked ones, all that match, and everything without JavaScript."""

from collections.abc import Callable

from playwright.sync_api import BrowserContext, Page, expect

from anomalies.models import Anomaly, BulkReview, ReviewEntry
from anomalies.services import reviews
from anomalies.services.actor import Actor
from tests import make
from tests.benchmarks import rows
from tests.browser.conftest import log_in


def statuses() -> list[str]:
    return list(Anomaly.objects.order_by("id").values_list("status", flat=True))


def test_a_with_a_selection_acknowledges_it_and_u_takes_all_back(page: Page, three: list[Anomaly]) -> None:
    reviews.acknowledge(Anomaly.objects.get(pk=three[1].pk), by=Actor("bob"), at=make.NOW)
    page.get_by_label("Select all shown").check()
    page.get_by_label("Note for all").fill("nightly sync")
    page.locator("tbody .when").first.click()
    expect(page.locator("#panel-title")).to_be_visible()
    page.keyboard.press("a")
    expect(page.locator(".toast")).to_contain_text("2 acknowledged, 1 left as it was (already acknowledged by bob).")
    expect(page.locator(".list tr.done")).to_have_count(3)
    expect(page.locator(".panel .decided")).to_contain_text("Acknowledged by ana")
    expect(page.locator("#bulk")).to_be_hidden()
    page.keyboard.press("u")
    expect(page.locator(".toast").last).to_contain_text("2 undone.")
    expect(page.locator(".list tr.done")).to_have_count(1)
    assert sorted(statuses()) == ["acknowledged", "open", "open"]


def test_r_with_a_selection_resolves_it(page: Page) -> None:
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.keyboard.press("r")
    expect(page.locator("#bulk details[open] [type=radio]").first).to_be_focused()
    page.keyboard.press("3")
    page.locator("#bulk").get_by_role("button", name="Resolve", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("2 resolved.")
    assert Anomaly.objects.filter(verdict="false_positive").count() == 2


def test_what_is_refused_keeps_the_selection_and_the_note(page: Page) -> None:
    page.get_by_label("Select: high was").check()
    page.get_by_label("Note for all").fill("because")
    page.locator("#bulk summary", has_text="Resolve").click()
    page.locator("#bulk").get_by_role("button", name="Resolve", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("verdict:")
    expect(page.locator("#picked")).to_have_text("1 selected")
    expect(page.get_by_label("Note for all")).to_have_value("because")
    assert statuses() == ["open"] * 3


def test_all_matching_are_confirmed_on_a_page_of_their_own(page: Page) -> None:
    for _ in range(60):
        make.anomaly()
    page.goto("/?severity=high")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.get_by_label("All 61 matching").check()
    page.keyboard.press("a")
    expect(page.get_by_role("heading", name="Acknowledge 61 anomalies?")).to_be_visible()
    assert set(statuses()) == {"open"}
    page.get_by_label("Note, for all of them").fill("month end")
    page.get_by_role("button", name="Acknowledge 61 anomalies").click()
    expect(page.locator(".toast")).to_contain_text("61 acknowledged.")
    assert page.url.endswith("/?severity=high")
    page.locator(".toast").get_by_role("link", name="Results").click()
    expect(page.get_by_role("heading", name="61 acknowledged")).to_be_visible()
    page.get_by_role("button", name="Undo what it changed").click()
    expect(page.locator(".toast")).to_contain_text("61 undone.")
    assert set(statuses()) == {"open"}


def test_without_javascript_many_at_once_and_back(
    open_context: Callable[..., BrowserContext], three: list[Anomaly]
) -> None:
    page = log_in(open_context(java_script_enabled=False))
    expect(page.locator("#bulk")).to_be_hidden()
    page.get_by_label("Select: high was").check()
    page.get_by_label("Select: low was").check()
    page.locator("#bulk summary", has_text="Assign").click()
    page.locator("#bulk").get_by_role("button", name="Assign", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("2 assigned.")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".toast")).to_contain_text("2 undone.")
    page.get_by_label("Select: high was").check()
    page.get_by_label("All 3 matching").check()
    page.locator("#bulk").get_by_role("button", name="Acknowledge").click()
    page.get_by_role("button", name="Acknowledge 3 anomalies").click()
    expect(page.locator(".toast")).to_contain_text("3 acknowledged.")
    assert BulkReview.objects.count() == 2


def test_a_session_that_ends_keeps_the_selection_and_the_note(
    open_context: Callable[..., BrowserContext], three: list[Anomaly]
) -> None:
    context = open_context(viewport={"width": 1440, "height": 900})
    page = log_in(context)
    page.get_by_label("Select: low was").check()
    page.get_by_label("Note for all").fill("half a thought")
    context.add_cookies([{"name": "sessionid", "value": "gone", "url": page.url}])
    page.locator("#bulk").get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".alert")).to_contain_text("Your session had ended: nothing was changed.")
    page.get_by_label("Username").fill("ana")
    page.get_by_label("Password").fill("ana-password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Select: low was")).to_be_checked()
    expect(page.locator("#picked")).to_have_text("1 selected")
    expect(page.get_by_label("Note for all")).to_have_value("half a thought")
    assert statuses() == ["open"] * 3


def test_ten_thousand_of_a_hundred_thousand_and_back(
    open_context: Callable[..., BrowserContext], three: list[Anomaly]
) -> None:
    """The set is what matched when it was shown: what turns up before it is confirmed stays as it is."""
    Anomaly.objects.all().delete()
    rows.actors(1000, days=1)
    rows.anomalies(100_000)
    decided = Anomaly.objects.exclude(status="open").count()
    page = log_in(open_context(viewport={"width": 1440, "height": 900}))
    page.set_default_timeout(60_000)
    page.goto("/?status=open")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.get_by_label("All 10,000 matching").check()
    page.keyboard.press("a")
    expect(page.get_by_role("heading", name="Acknowledge 10,000 anomalies?")).to_be_visible(timeout=60_000)
    later = make.anomaly()
    page.get_by_role("button", name="Acknowledge 10,000 anomalies").click()
    expect(page.locator(".toast")).to_contain_text("10,000 acknowledged.", timeout=60_000)
    later.refresh_from_db()
    assert later.status == "open"
    assert ReviewEntry.objects.filter(action="acknowledged").count() == 10_000
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".toast").last).to_contain_text("10,000 undone.", timeout=60_000)
    assert Anomaly.objects.filter(status="open").count() == 10_001
    assert Anomaly.objects.exclude(status="open").count() == decided
