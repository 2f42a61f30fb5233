"""Deciding in the panel: each key does what the control does, each decision can be undone, two never both win."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import BrowserContext, Page, expect

from anomalies.models import Anomaly, Bookmark
from tests.browser.conftest import log_in, person


def opened(page: Page) -> None:
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#panel-title")).to_have_text("high was seen 7 times")


def status(anomaly: Anomaly) -> str:
    return Anomaly.objects.get(pk=anomaly.pk).status


def test_r_digit_and_enter_resolve_and_u_undoes(page: Page, three: list[Anomaly]) -> None:
    opened(page)
    page.keyboard.press("r")
    expect(page.locator(".deciding details[open] [type=radio]").first).to_be_focused()
    page.keyboard.press("2")
    expect(page.locator(".deciding").get_by_label("Benign (expected)")).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("Resolved: benign (expected).")
    expect(page.locator(".panel .decided")).to_contain_text("Resolved: benign (expected), by ana")
    assert Anomaly.objects.get(pk=three[0].pk).verdict == "benign"
    page.keyboard.press("u")
    expect(page.locator(".toast").last).to_contain_text("Undone: it is open again.")
    assert status(three[0]) == "open"


def test_s_snoozes_from_the_row_and_u_wakes_it(page: Page, three: list[Anomaly]) -> None:
    page.keyboard.press("j")
    page.keyboard.press("s")
    expect(page.locator(".deciding details[open] [type=radio]").first).to_be_focused()
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator(".panel .decided")).to_contain_text("Snoozed until")
    expect(page.locator(f"#row-{three[0].public_id}")).to_have_class("high aside")
    until = Anomaly.objects.get(pk=three[0].pk).snoozed_until
    assert until is not None
    assert f"{until.astimezone(ZoneInfo('Europe/Berlin')):%H:%M}" == "09:00"
    page.keyboard.press("u")
    expect(page.locator(f"#row-{three[0].public_id}")).to_have_class("high")
    assert Anomaly.objects.get(pk=three[0].pk).snoozed_until is None


def test_a_time_is_written_only_where_one_is_asked_for(page: Page, three: list[Anomaly]) -> None:
    opened(page)
    page.locator(".deciding summary", has_text="Snooze").click()
    field = page.locator(".deciding").get_by_label("Date and time, in")
    expect(field).to_be_hidden()
    page.locator(".deciding").get_by_label("At a date and time").check()
    field.fill("2020-01-01T10:00")
    page.locator("details[open]").get_by_role("button", name="Snooze").click()
    expect(page.locator(".toast")).to_contain_text("is past")
    expect(page.locator(".deciding details[open] .alert")).to_contain_text("is past")
    expect(page.locator(".deciding").get_by_label("Date and time, in")).to_have_value("2020-01-01T10:00")
    assert Anomaly.objects.get(pk=three[0].pk).snoozed_until is None


def test_i_assigns_to_me_b_bookmarks_and_typing_does_neither(page: Page, three: list[Anomaly], ana: User) -> None:
    opened(page)
    page.keyboard.press("i")
    expect(page.locator(".toast")).to_contain_text("Assigned to you.")
    assert Anomaly.objects.get(pk=three[0].pk).assignee == ana
    page.keyboard.press("u")
    expect(page.locator(".toast").last).to_contain_text("assigned to nobody again")
    page.keyboard.press("b")
    expect(page.get_by_role("button", name="Remove the bookmark")).to_be_visible()
    assert Bookmark.objects.get().anomaly == three[0]
    page.get_by_label("Note to the acknowledgement").focus()
    page.keyboard.type("jkxarsib?u/12")
    expect(page.get_by_label("Note to the acknowledgement")).to_have_value("jkxarsib?u/12")
    assert Bookmark.objects.count() == 1
    assert status(three[0]) == "open"


def test_another_reviewer_gets_it_and_nobody_after(page: Page, three: list[Anomaly]) -> None:
    bob = person("bob", "review_anomaly")
    opened(page)
    page.locator(".deciding summary", has_text="Assign").click()
    page.locator(".deciding").get_by_label("bob").check()
    page.locator(".deciding").get_by_label("Note (optional)").locator("visible=true").fill("you know this agent")
    page.locator(".deciding").get_by_role("button", name="Assign", exact=True).click()
    expect(page.locator(".panel header")).to_contain_text("with bob")
    assert Anomaly.objects.get(pk=three[0].pk).assignee == bob
    expect(page.locator(".timeline")).to_contain_text("Assigned to bob by ana")
    page.locator(".deciding summary", has_text="Assign").click()
    page.locator(".deciding").get_by_label("Nobody").check()
    page.locator(".deciding").get_by_role("button", name="Assign", exact=True).click()
    expect(page.locator(".panel header")).to_contain_text("unassigned")


def test_a_name_becomes_the_headline_and_can_be_undone(page: Page, three: list[Anomaly]) -> None:
    opened(page)
    page.locator(".deciding summary[aria-label=More]").click()
    page.locator(".deciding").get_by_label("Name, shown instead").fill("<b>Night sync</b>")
    page.keyboard.press("Enter")
    expect(page.locator("#panel-title")).to_have_text("<b>Night sync</b>")
    expect(page.locator(f"#row-{three[0].public_id} .what")).to_contain_text("<b>Night sync</b>")
    expect(page.locator(".panel header")).to_contain_text("high was seen 7 times")
    page.keyboard.press("u")
    expect(page.locator("#panel-title")).to_have_text("high was seen 7 times")


def test_an_acknowledged_one_is_resolved_reopened_and_both_undone(page: Page, three: list[Anomaly]) -> None:
    opened(page)
    page.keyboard.press("a")
    expect(page.locator(".panel .decided")).to_contain_text("Acknowledged by ana")
    page.keyboard.press("r")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator(".panel .decided")).to_contain_text("Resolved: true positive")
    page.keyboard.press("u")
    expect(page.locator(".panel .decided")).to_contain_text("Acknowledged by ana")
    page.get_by_role("button", name="Reopen").click()
    expect(page.locator(".toast").last).to_contain_text("up for review again")
    assert status(three[0]) == "open"
    page.keyboard.press("u")
    expect(page.locator(".panel .decided").first).to_contain_text("Acknowledged by ana")
    assert status(three[0]) == "acknowledged"


def test_two_browsers_race_and_the_second_is_told(
    open_context: Callable[..., BrowserContext], page: Page, three: list[Anomaly]
) -> None:
    person("bob", "review_anomaly")
    other = log_in(open_context(viewport={"width": 1440, "height": 900}), "bob")
    for one in (page, other):
        opened(one)
    page.keyboard.press("r")
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.locator(".panel .decided")).to_contain_text("Resolved: false positive, by ana")
    other.get_by_label("Note to the acknowledgement").fill("I know them")
    other.locator(".deciding").get_by_role("button", name="Acknowledge").click()
    expect(other.locator(".toast")).to_contain_text("already resolved by ana")
    expect(other.locator(".panel .decided")).to_contain_text("Resolved: false positive, by ana")
    expect(other.locator(f"#row-{three[0].public_id}")).to_have_class("high done")
    expect(other.get_by_label("Add a note")).to_have_value("I know them")
    assert Anomaly.objects.get(pk=three[0].pk).resolved_by == "ana"


def test_an_undo_that_was_overtaken_tells_why(
    open_context: Callable[..., BrowserContext], page: Page, three: list[Anomaly]
) -> None:
    person("bob", "review_anomaly")
    opened(page)
    page.keyboard.press("a")
    expect(page.locator(".toast")).to_contain_text("Acknowledged.")
    other = log_in(open_context(viewport={"width": 1440, "height": 900}), "bob")
    opened(other)
    other.get_by_role("button", name="Reopen").click()
    expect(other.locator(".toast")).to_contain_text("Reopened")
    page.keyboard.press("u")
    expect(page.locator(".toast").last).to_contain_text("reopened since by bob")
    expect(page.locator(".panel .decided")).to_have_count(1)  # what bob did


def test_what_is_typed_elsewhere_outlives_an_action(page: Page) -> None:
    opened(page)
    page.get_by_label("Add a note").fill("half a sen")
    page.get_by_role("button", name="Bookmark").click()
    expect(page.get_by_role("button", name="Remove the bookmark")).to_be_visible()
    expect(page.get_by_label("Add a note")).to_have_value("half a sen")
    page.get_by_role("button", name="Add note").click()
    expect(page.locator(".timeline")).to_contain_text("half a sen")
    expect(page.get_by_label("Add a note")).to_have_value("")


@pytest.mark.parametrize("scripted", [True, False])
def test_a_session_that_ends_in_mid_action_loses_no_word(
    open_context: Callable[..., BrowserContext], three: list[Anomaly], scripted: bool
) -> None:
    context = open_context(java_script_enabled=scripted, viewport={"width": 1440, "height": 900})
    page = log_in(context)
    page.locator("tbody .what a").first.click()
    page.locator(".deciding summary", has_text="Resolve").click()
    page.locator(".deciding").get_by_label("True positive").check()
    page.locator(".deciding").get_by_label("Reason (optional)").fill("they told me on the phone")
    context.clear_cookies(name="sessionid")
    context.add_cookies([{"name": "sessionid", "value": "gone", "url": page.url}])
    page.locator(".deciding").get_by_role("button", name="Resolve", exact=True).click()
    expect(page.locator(".alert")).to_contain_text("Your session had ended: nothing was changed.")
    assert status(three[0]) == "open"
    page.get_by_label("Username").fill("ana")
    page.get_by_label("Password").fill("ana-password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#panel-title")).to_have_text("high was seen 7 times")
    expect(page.locator(".deciding").get_by_label("Reason (optional)")).to_have_value("they told me on the phone")
    expect(page.locator(".deciding").get_by_label("True positive")).to_be_checked()
    expect(page.locator(".deciding details[open] .alert")).to_contain_text("nothing was done yet")
    page.locator(".deciding").get_by_role("button", name="Resolve", exact=True).click()
    expect(page.locator(".panel .decided")).to_contain_text("Resolved: true positive, by ana")


def test_without_javascript_each_decision_and_its_undo(
    open_context: Callable[..., BrowserContext], three: list[Anomaly]
) -> None:
    page = log_in(open_context(java_script_enabled=False))
    page.goto(f"/anomalies/{three[0].public_id}/")
    for opens, chooses, sends, told in (
        ("Resolve", "Duplicate", "Resolve", "Resolved: duplicate"),
        ("Snooze", "4 hours", "Snooze", "Snoozed until"),
        ("Assign", "", "Assign to me", "Assigned to ana"),
    ):
        page.locator(".deciding summary", has_text=opens).click()
        if chooses:
            page.locator(".deciding").get_by_label(chooses).check()
        page.locator(".deciding").get_by_role("button", name=sends, exact=True).click()
        expect(page.locator(".panel .decided")).to_contain_text(told)
        page.locator(".panel .decided").get_by_role("button", name="Undo").click()
        expect(page.locator(".toast")).to_contain_text("Undone")
        expect(page.locator(".panel .decided")).to_have_count(0)
