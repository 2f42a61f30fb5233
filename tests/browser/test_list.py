"""The pages in a real browser: keys, focus, swaps, and everything once more without JavaScript."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, ReviewEntry, Severity
from anomalies.services import reviews
from anomalies.services.actor import Actor
from tests import make
from tests.browser.conftest import log_in


def rows(page: Page) -> list[str]:
    return page.locator(".list tbody .what").all_inner_texts()


def test_the_browser_tells_its_time_zone_before_the_first_list(open_context: Callable[..., BrowserContext]) -> None:
    context = open_context(viewport={"width": 1440, "height": 900})
    context.clear_cookies()
    page = log_in(context, by_form=True)
    assert page.locator(".list .when small").inner_text() == "Berlin"
    page.get_by_role("button", name="UTC").click()
    expect(page.locator(".list .when small")).to_have_text("UTC")
    expect(page.locator("tbody .when").first).to_have_text("20 Nov 12:00")


def test_filtering_swaps_the_table_and_survives_reload_and_back(page: Page) -> None:
    page.evaluate("window.marker = 'same page'")
    page.locator("summary", has_text="Severity").click()
    page.locator("#filters").get_by_role("checkbox", name="Low").check()
    expect(page.locator(".list tbody tr")).to_have_count(1)
    expect(page.locator("#chip-severity")).to_have_text("Severity: Low")
    expect(page.locator("#chip-severity")).to_have_class("chip on")
    page.locator("#filters").get_by_role("checkbox", name="High").check()
    expect(page.locator(".list tbody tr")).to_have_count(2)
    expect(page.locator("#live")).to_have_text("2 anomalies match.")
    expect(page.locator("#filters").get_by_role("checkbox", name="High")).to_be_focused()
    assert page.evaluate("window.marker") == "same page"
    assert page.url.endswith("/?severity=high&severity=low")
    page.reload()
    expect(page.locator(".list tbody tr")).to_have_count(2)
    page.go_back()
    expect(page.locator(".list tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Clear filters").click()
    expect(page.locator(".list tbody tr")).to_have_count(3)
    expect(page.locator("#chip-severity")).to_have_text("Severity3")


def test_options_are_searched(page: Page) -> None:
    page.locator("summary", has=page.locator("#chip-type")).click()
    page.get_by_label("Search type").fill("princ")
    expect(page.locator("#menu-type .option")).to_have_count(1)
    expect(page.locator("#menu-type .option")).to_contain_text("New principal")


def test_time_filters_by_tab(page: Page) -> None:
    page.locator("summary", has_text="All time").click()
    expect(page.get_by_label("From")).to_be_hidden()
    page.get_by_text("Absolute").click()
    page.get_by_label("To", exact=True).fill("2026-11-20T12:58")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#chip-time")).to_have_text("To 20 Nov 12:58")
    expect(page.locator(".list tbody tr")).to_have_count(0)
    expect(page.get_by_role("heading", name="Nothing matches these filters")).to_be_visible()
    expect(page.get_by_label("To", exact=True)).to_be_hidden()


def test_clearing_the_filters_forgets_what_was_typed(page: Page) -> None:
    page.goto("/?q=low&last=9000&unit=days")
    page.locator("#clear a").click()
    expect(page.locator(".list tbody tr")).to_have_count(3)
    expect(page.locator("#search")).to_have_value("")
    page.locator("summary", has_text="Severity").click()
    page.locator("#filters").get_by_role("checkbox", name="High").check()
    expect(page.locator(".list tbody tr")).to_have_count(1)
    assert page.url.endswith("/?severity=high")


def test_searching_keeps_the_filters(page: Page) -> None:
    page.goto("/?severity=high&severity=low")
    page.keyboard.press("/")
    page.keyboard.type("high was")
    page.keyboard.press("Enter")
    expect(page.locator(".list tbody tr")).to_have_count(1)
    assert page.url.endswith("/?severity=high&severity=low&q=high+was")


def test_a_click_opens_the_panel_and_the_list_stays(page: Page) -> None:
    page.locator(".list tbody .sev").nth(1).click()
    expect(page.locator("#panel-title")).to_have_text("medium was seen 7 times")
    expect(page.locator(".list tbody tr").nth(1)).to_have_attribute("aria-current", "true")
    page.reload()
    expect(page.locator("#panel-title")).to_have_text("medium was seen 7 times")
    assert len(rows(page)) == 3
    page.keyboard.press("Escape")
    expect(page.locator(".panel")).to_have_count(0)
    assert page.url.endswith("/")
    page.go_back()
    expect(page.locator("#panel-title")).to_be_visible()


def test_back_and_forward_bring_the_list_as_far_down_as_it_was(page: Page) -> None:
    for _ in range(45):
        make.anomaly()
    page.reload()
    page.locator(".scroll").evaluate("list => { list.scrollTop = 500 }")
    page.locator(".list tbody .sev").nth(20).click()
    expect(page.locator("#panel-title")).to_be_visible()
    page.go_back()
    expect(page.locator(".panel")).to_have_count(0)
    expect(page.locator(".scroll")).to_have_js_property("scrollTop", 500)
    page.locator("th.sev a").dispatch_event("click")  # a click of its own would scroll to where the head would be
    expect(page.locator(".list th.sev")).to_have_attribute("aria-sort", "descending")
    expect(page.locator(".scroll")).to_have_js_property("scrollTop", 0)
    page.go_back()
    expect(page.locator(".list th.when")).to_have_attribute("aria-sort", "descending")
    expect(page.locator(".scroll")).to_have_js_property("scrollTop", 500)


def test_a_reload_brings_no_place_of_an_earlier_visit(page: Page) -> None:
    for _ in range(45):
        make.anomaly()
    page.reload()
    page.locator(".scroll").evaluate(
        "list => new Promise(done => { list.addEventListener('scroll', () => done()); list.scrollTop = 500 })"
    )
    page.goto("/types/")
    page.goto("/")
    page.reload()
    expect(page.locator(".list tbody tr")).to_have_count(48)
    expect(page.locator(".scroll")).to_have_js_property("scrollTop", 0)


def test_keys_work_where_the_browser_keeps_nothing(page: Page) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', {get() { throw new DOMException('no', 'SecurityError') }})"
    )
    page.reload()
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("#picked")).to_have_text("1 selected")
    page.locator("th.sev a").click()
    expect(page.locator(".list th.sev")).to_have_attribute("aria-sort", "descending")


def test_nothing_goes_wrong_where_the_browser_has_no_room_to_keep_more(page: Page) -> None:
    page.add_init_script(
        "Storage.prototype.setItem = () => { throw new DOMException('no room', 'QuotaExceededError') }"
    )
    for _ in range(45):
        make.anomaly()
    page.reload()
    page.locator(".scroll").evaluate(
        "list => new Promise(done => { list.addEventListener('scroll', () => done()); list.scrollTop = 500 })"
    )
    page.reload()
    expect(page.locator(".list tbody tr")).to_have_count(48)
    expect(page.locator(".scroll")).to_have_js_property("scrollTop", 0)
    page.locator("th.sev a").click()
    expect(page.locator(".list th.sev")).to_have_attribute("aria-sort", "descending")


def test_keys_move_open_acknowledge_undo_and_close(page: Page, three: list[Anomaly]) -> None:
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="medium was seen 7 times", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#panel-title")).to_have_text("medium was seen 7 times")
    page.keyboard.press("a")
    expect(page.locator(".toast")).to_contain_text("Acknowledged.")
    expect(page.locator(".panel .decided")).to_contain_text("Acknowledged by ana")
    row = page.locator(f"#row-{three[1].public_id}")
    expect(row).to_have_class("medium done")
    expect(page.locator("#counts")).to_have_text("2 open, 1 high")
    assert Anomaly.objects.get(pk=three[1].pk).status == "acknowledged"
    page.keyboard.press("u")
    expect(row).to_have_class("medium")
    expect(page.locator(".toast")).to_contain_text("Undone")
    expect(page.locator("#counts")).to_have_text("3 open, 1 high")
    assert Anomaly.objects.get(pk=three[1].pk).status == "open"
    page.keyboard.press("j")
    expect(page.locator("#panel-title")).to_have_text("low was seen 7 times")
    page.keyboard.press("Escape")
    expect(page.locator(".panel")).to_have_count(0)
    expect(page.get_by_role("link", name="low was seen 7 times", exact=True)).to_be_focused()


def test_a_row_is_acknowledged_without_opening_it_and_keeps_the_focus(page: Page, three: list[Anomaly]) -> None:
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.locator(f"#row-{three[0].public_id}")).to_have_class("high done")
    expect(page.get_by_role("link", name="high was seen 7 times", exact=True)).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.locator(f"#row-{three[1].public_id}")).to_have_class("medium done")
    assert ReviewEntry.objects.count() == 2


def test_somebody_was_faster(page: Page, three: list[Anomaly]) -> None:
    reviews.acknowledge(Anomaly.objects.get(pk=three[0].pk), by=Actor("bob"), at=make.NOW)
    page.keyboard.press("j")
    page.keyboard.press("a")
    expect(page.locator(".toast")).to_contain_text("This anomaly is already acknowledged by bob.")
    expect(page.locator(f"#row-{three[0].public_id}")).to_have_class("high done")


def test_keys_without_anything_to_act_on_say_so(page: Page, three: list[Anomaly]) -> None:
    for key in "au":
        page.keyboard.press(key)
        expect(page.locator(".toast").last).to_contain_text("Choose a row first (j).")
    reviews.acknowledge(Anomaly.objects.get(pk=three[0].pk), by=Actor("bob"), at=make.NOW)
    page.reload()
    page.keyboard.press("j")
    page.keyboard.press("u")
    expect(page.locator(".toast").last).to_contain_text("decided by bob; u undoes only what you did yourself")
    page.keyboard.press("j")
    page.keyboard.press("u")
    expect(page.locator(".toast").last).to_contain_text("there is nothing to undo")
    assert Anomaly.objects.get(pk=three[0].pk).status == "acknowledged"


def test_the_example_of_the_filter_by_time_follows_its_unit(page: Page) -> None:
    page.locator("summary", has_text="All time").click()
    expect(page.get_by_label("Last", exact=True)).to_have_attribute("placeholder", "7")
    page.get_by_label("Unit").select_option("hours")
    expect(page.get_by_label("Last", exact=True)).to_have_attribute("placeholder", "24")
    expect(page.get_by_text("Round to the hour")).to_be_visible()


def test_keys_do_nothing_while_typing(page: Page, three: list[Anomaly]) -> None:
    page.locator("tbody .what a").first.click()
    page.get_by_label("Note to the acknowledgement").fill("")
    page.keyboard.type("a j k u ? /")
    expect(page.get_by_label("Note to the acknowledgement")).to_have_value("a j k u ? /")
    assert ReviewEntry.objects.count() == 0
    expect(page.locator("dialog")).to_be_hidden()
    page.keyboard.press("Enter")
    expect(page.locator(".timeline")).to_contain_text("a j k u ? /")


def test_a_note_is_added_in_place(page: Page) -> None:
    page.locator("tbody .what a").first.click()
    page.get_by_label("Add a note").fill("looks planned")
    page.get_by_role("button", name="Add note").click()
    expect(page.locator(".timeline")).to_contain_text("looks planned")


def test_the_help_sheet_opens_and_closes(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()


def test_an_expired_session_leads_to_the_login_and_back(page: Page) -> None:
    page.context.clear_cookies(name="sessionid")
    page.locator("tbody .what a").first.click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(page.locator("#panel")).to_have_count(0)
    page.get_by_label("Username").fill("ana")
    page.get_by_label("Password").fill("ana-password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".list tbody tr")).to_have_count(3)


def ask_for_news(page: Page) -> None:
    """As happens by itself every 20 seconds; what is there then is another element."""
    page.evaluate(
        """() => {
        const news = document.getElementById('news')
        news.className = 'before'
        htmx.ajax('GET', news.getAttribute('hx-get'), {target: '#news', swap: 'outerHTML'})
    }"""
    )
    expect(page.locator("#news")).not_to_have_class("before")


def test_news_are_offered_and_move_nothing(page: Page) -> None:
    make.anomaly(description="brand new", severity=Severity.HIGH)
    ask_for_news(page)
    expect(page.locator("#news")).to_have_text("1 new, show")
    assert len(rows(page)) == 3
    page.locator("#news a").click()
    expect(page.locator(".list tbody tr")).to_have_count(4)
    expect(page.locator("#news")).to_have_text("")


def test_the_bar_of_views_stays_where_it_was_scrolled_to_until_the_news_take_its_room(
    open_context: Callable[..., BrowserContext],
) -> None:
    page = log_in(open_context(viewport={"width": 390, "height": 844}))
    current = page.locator("#views [aria-current]")
    expect(current).to_be_in_viewport(ratio=0.9)
    page.locator(".bar").evaluate("bar => { bar.scrollLeft = 0 }")
    expect(current).not_to_be_in_viewport(ratio=0.9)
    ask_for_news(page)
    expect(current).not_to_be_in_viewport(ratio=0.9)
    make.anomaly()
    ask_for_news(page)
    expect(current).to_be_in_viewport(ratio=0.9)
    view, news = current.bounding_box(), page.locator("#news").bounding_box()
    assert view
    assert news
    assert view["x"] + view["width"] <= news["x"]
    page.locator(".bar").evaluate("bar => { bar.scrollLeft = 0 }")
    ask_for_news(page)
    expect(page.locator("#news")).to_have_text("1 new, show")
    expect(current).not_to_be_in_viewport(ratio=0.9)


def test_themes(open_context: Callable[..., BrowserContext]) -> None:
    def background(page: Page) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    page = log_in(open_context(color_scheme="dark"))
    assert background(page) == "rgb(20, 23, 26)"
    page.get_by_label("account and theme").click()
    page.get_by_role("button", name="Light").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    assert background(page) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("width", [360, 390, 700, 1024, 2560])
def test_nothing_overflows_at_any_width(open_context: Callable[..., BrowserContext], width: int) -> None:
    page = log_in(open_context(viewport={"width": width, "height": 844}))
    page.locator("tbody .what a").first.click()
    expect(page.locator("#panel-title")).to_be_visible()
    if width <= 860:
        box = page.locator("#panel").bounding_box()
        assert box is not None
        assert (box["x"], box["width"]) == (0, width)
    for path in ("", "/types/", "/login/"):
        if path:
            page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (width, path)


CUT = """() => [...document.querySelectorAll(".list :is(th, td):is(.sev, .type, .when, .status, .rec)")]
    .filter(cell => cell.checkVisibility() && cell.scrollWidth > cell.clientWidth).map(cell => cell.className)"""
OVERLAP = """() => [...document.querySelectorAll(".list tr")].flatMap(row => {
    const boxes = [...row.cells].filter(cell => cell.checkVisibility()).map(cell => cell.getBoundingClientRect())
    return boxes.slice(1).filter((box, n) => box.left < boxes[n].right - 0.5)
}).length"""


@pytest.mark.parametrize("width", [1024, 1280, 1440, 1920, 2560])
def test_columns_show_what_they_hold_and_overlap_nowhere(
    open_context: Callable[..., BrowserContext], three: list[Anomaly], width: int
) -> None:
    long = {"agent": make.agent("ag_" + "n" * 60), "resource": "r" * 90, "integration": "i" * 60}
    for type_ in DETECTORS:
        make.anomaly(type=type_, severity=Severity.MEDIUM, **long)
    done = {"status": "acknowledged", "acknowledged_at": make.NOW, "acknowledged_by": "ana"}
    make.anomaly(**long, **done, description="n" * 300)
    page = log_in(open_context(viewport={"width": width, "height": 900}))
    assert page.evaluate(CUT) == []
    assert page.evaluate(OVERLAP) == 0
    for column in ("Resource", "Integration"):
        expect(page.get_by_role("columnheader", name=column)).to_be_visible(visible=width >= 1440)
    what = page.locator("th.what").bounding_box()
    assert what is not None
    assert what["width"] >= 250


def test_on_a_phone_rows_stack(open_context: Callable[..., BrowserContext], three: list[Anomaly]) -> None:
    page = log_in(open_context(viewport={"width": 390, "height": 844}))
    boxes = [page.locator("tbody tr").first.locator(f"td.{name}").bounding_box() for name in ("sev", "what", "who")]
    tops = [box["y"] for box in boxes if box]
    assert len(tops) == len(set(tops)) == 3
    assert tops == sorted(tops)
    expect(page.locator("#freshness")).to_be_visible()


def test_rows_are_36_pixels_high(page: Page) -> None:
    box = page.locator(".list tbody tr").first.bounding_box()
    assert box is not None
    assert box["height"] == pytest.approx(36, abs=1)


CUT_SENTENCES = """() => [...document.querySelectorAll("td.what :is(a, a > span)")]
    .filter(one => one.scrollHeight > one.clientHeight + 1 || one.scrollWidth > one.clientWidth)
    .map(one => one.innerText)"""


@pytest.mark.parametrize("width", [1024, 1280, 1440])
def test_a_long_sentence_takes_two_lines_of_a_row_as_high_as_the_others(
    open_context: Callable[..., BrowserContext], three: list[Anomaly], width: int
) -> None:
    Anomaly.objects.filter(pk=three[0].pk).update(
        description="Success for user_carla.ivanova after 88 failures from 203.0.113.100 in 9 minutes"
    )
    page = log_in(open_context(viewport={"width": width, "height": 900}))
    for _ in ("alone", "beside the panel"):
        heights = {row.bounding_box()["height"] for row in page.locator(".list tbody tr").all()}  # type: ignore[index]
        assert heights == {36}
        assert page.evaluate(CUT_SENTENCES) == []
        page.locator("tbody .what a").first.click()
        expect(page.locator("#panel h2")).to_be_visible()


def test_beside_the_panel_the_list_still_shows_which_view_it_is(open_context: Callable[..., BrowserContext]) -> None:
    page = log_in(open_context(viewport={"width": 1100, "height": 800}))
    page.locator("tbody .what a").first.click()
    expect(page.locator("#panel h2")).to_be_visible()
    expect(page.locator("#views [aria-current]")).to_be_in_viewport(ratio=1)


def test_without_javascript_from_list_to_panel_to_acknowledge_to_undo(
    open_context: Callable[..., BrowserContext], three: list[Anomaly]
) -> None:
    page = log_in(open_context(java_script_enabled=False))
    page.locator("summary", has_text="Severity").click()
    page.locator("#filters").get_by_role("checkbox", name="High").check()
    page.locator("details[open] button", has_text="Apply").click()
    expect(page.locator(".list tbody .what")).to_have_text(["high was seen 7 times"])
    page.locator("tbody .what a").first.click()
    expect(page.locator("#panel-title")).to_have_text("high was seen 7 times")
    page.get_by_label("Note to the acknowledgement").fill("by hand")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".toast")).to_contain_text("Acknowledged.")
    assert Anomaly.objects.get(pk=three[0].pk).status == "acknowledged"
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".toast")).to_contain_text("Undone: it is open again.")
    assert Anomaly.objects.get(pk=three[0].pk).status == "open"
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator(".list tbody .what")).to_have_text(["high was seen 7 times"])


def test_on_a_phone_a_menu_sorts_with_and_without_scripts(open_context: Callable[..., BrowserContext]) -> None:
    for scripts in (True, False):
        page = log_in(open_context(viewport={"width": 390, "height": 844}, java_script_enabled=scripts))
        page.goto("/?status=open")
        menu = page.locator("#sorting")
        menu.locator("summary").click()
        menu.get_by_role("link", name="Severity").click()
        page.wait_for_url("**/?status=open&sort=-severity")
        expect(menu.locator("summary")).to_have_text("Sort: Severity descending↓")
        expect(menu.get_by_role("link", name="Severity")).to_be_hidden()
        menu.locator("summary").click()
        menu.get_by_role("link", name="Severity").click()
        page.wait_for_url("**/?status=open&sort=severity")
        expect(page.locator("tbody .sev").first).to_have_text("LLow")
        page.set_viewport_size({"width": 1440, "height": 900})
        expect(menu).to_be_hidden()


@pytest.mark.parametrize(
    ("path", "label", "query"),
    [
        ("/agents/?q=b", "Last seen", "q=b&sort=-seen"),
        ("/principals/", "First seen", "sort=-first"),
        ("/access-requests/?status=pending", "Requested", "status=pending&sort=requested"),
    ],
)
def test_on_a_phone_the_same_menu_sorts_the_other_lists(
    open_context: Callable[..., BrowserContext], path: str, label: str, query: str
) -> None:
    for scripts in (True, False):
        page = log_in(open_context(viewport={"width": 390, "height": 844}, java_script_enabled=scripts))
        page.goto(path)
        menu = page.locator("#sorting")
        menu.locator("summary").click()
        menu.get_by_role("link", name=label).click()
        page.wait_for_url(f"**{path.partition('?')[0]}?{query}")
        expect(menu.locator("summary")).to_contain_text(f"Sort: {label}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.set_viewport_size({"width": 1440, "height": 900})
        expect(menu).to_be_hidden()


def test_on_a_phone_one_tap_chooses_within_more_filters(open_context: Callable[..., BrowserContext]) -> None:
    page = log_in(open_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True))
    page.locator("#filters summary", has_text="More filters").tap()
    page.locator("#filters .pop summary", has_text="Bookmarked").tap()
    page.locator("#menu-bookmarked .option", has_text="By me").tap()
    expect(page.get_by_role("checkbox", name="By me")).to_be_checked()
    expect(page.locator("#chip-more")).to_have_text("Bookmarked: By me · More filters")


def test_on_a_phone_bars_that_scroll_show_what_is_current(open_context: Callable[..., BrowserContext]) -> None:
    page = log_in(open_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True))
    expect(page.locator("#views [aria-current]")).to_be_in_viewport(ratio=1)
    page.goto("/types/")
    expect(page.locator(".rail [aria-current]")).to_be_in_viewport(ratio=1)


def test_on_a_phone_filters_are_cleared_without_looking_for_it(
    open_context: Callable[..., BrowserContext], three: list[Anomaly]
) -> None:
    page = log_in(open_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True))
    page.goto("/?severity=high")
    clear = page.locator("#clear a")
    expect(clear).to_be_in_viewport(ratio=1)
    clear.tap()
    expect(page.locator(".list tbody tr")).to_have_count(len(three))
