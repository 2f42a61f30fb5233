"""Choosing several anomalies: by pointer, by keys, over pages; the bar says how many."""

from collections.abc import Callable
from datetime import timedelta

from playwright.sync_api import BrowserContext, Page, expect

from anomalies.models import Anomaly
from tests import make
from tests.browser.conftest import log_in


def test_x_selects_the_row_and_shift_x_all_between(page: Page) -> None:
    expect(page.locator("#picked")).to_be_hidden()
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#picked")).to_have_text("1 selected")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Shift+X")
    expect(page.locator("#picked")).to_have_text("3 selected")
    page.keyboard.press("x")
    expect(page.locator("#picked")).to_have_text("2 selected")
    page.keyboard.press("Escape")
    expect(page.locator("#picked")).to_be_hidden()


def test_shift_and_a_click_select_all_between_and_open_nothing(page: Page) -> None:
    page.locator("td.pick").nth(0).click()
    page.locator("td.pick input").nth(2).click(modifiers=["Shift"])
    expect(page.locator("#picked")).to_have_text("3 selected")
    expect(page.get_by_label("Select all shown")).to_be_checked()
    expect(page.locator(".panel")).to_have_count(0)
    page.get_by_label("Select all shown").uncheck()
    expect(page.locator("#picked")).to_be_hidden()


def test_what_a_filter_hides_stays_selected_and_the_bar_says_so(page: Page, three: list[Anomaly]) -> None:
    page.get_by_label("Select: high was").check()
    page.get_by_label("Select: low was").check()
    page.locator("summary", has_text="Severity").click()
    page.locator("#filters").get_by_role("checkbox", name="Low").check()
    expect(page.locator(".list tbody tr")).to_have_count(1)
    expect(page.locator("#bulk")).to_contain_text("2 selected (1 not shown here)")
    expect(page.get_by_label("Select: low was")).to_be_checked()
    sent = page.evaluate("new FormData(document.getElementById('bulk')).getAll('picked')")
    assert sorted(sent) == sorted([three[0].public_id, three[2].public_id])


def test_the_place_in_the_table_outlives_its_refresh(page: Page) -> None:
    for minutes in range(60):
        make.anomaly(detected_at=make.NOW - timedelta(hours=1, minutes=minutes))
    page.reload()
    page.locator(".scroll").evaluate("table => table.scrollTop = 500")
    page.evaluate("htmx.ajax('GET', location.href, {target: '#results'})")
    expect(page.locator("#live")).to_have_text("63 anomalies match.")
    assert page.locator(".scroll").evaluate("table => table.scrollTop") == 500
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".list tbody tr")).to_have_count(13)
    assert page.locator(".scroll").evaluate("table => table.scrollTop") == 0


def test_on_a_phone_all_that_are_shown_are_selected_once_one_is(
    open_context: Callable[..., BrowserContext],
) -> None:
    page = log_in(open_context(viewport={"width": 390, "height": 844}, has_touch=True))
    expect(page.get_by_role("button", name="All shown")).to_be_hidden()
    page.get_by_label("Select: low was").check()
    page.get_by_role("button", name="All shown").click()
    expect(page.locator("#picked")).to_have_text("3 selected")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#picked")).to_be_hidden()


def test_the_forms_of_a_selection_open_on_the_screen(open_context: Callable[..., BrowserContext]) -> None:
    page = log_in(open_context(viewport={"width": 820, "height": 900}))
    page.get_by_label("Select: low was").check()
    for name in ("Resolve", "Snooze", "Assign"):
        page.locator("#bulk summary", has_text=name).click()
        expect(page.locator("#bulk [open] > .pop.up")).to_be_in_viewport(ratio=1)
