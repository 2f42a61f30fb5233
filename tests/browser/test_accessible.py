"""axe-core finds nothing wrong with any page, in both themes, on a desk and on a phone."""

from collections.abc import Callable, Collection

from django.contrib.auth.models import Permission, User
from playwright.sync_api import BrowserContext, Page, expect

from anomalies.models import Anomaly
from tests import make
from tests.browser.conftest import log_in

PAGES = [
    "/",
    "/?open={id}",
    "/?severity=low&severity=unknown",
    "/?agent=ag_billing&last=1",
    "/anomalies/{id}/",
    "/anomalies/{id}/events/",
    "/agents/",
    "/agents/?status=odd&q=none",
    "/agents/ag_billing/",
    "/agents/nowhere/",
    "/events/agents/ag_billing/",
    "/principals/",
    "/principals/user_1/",
    "/notifications/",
    "/notifications/?status=odd",
    "/notifications/new/",
    "/notifications/new/email/",
    "/notifications/new/pagerduty/",
    "/notifications/new/webhook/",
    "/views/new/?severity=high",
    "/views/",
    "/types/",
    "/nowhere/",
]
# What fades in has its colours at its end. What is gone by then is not looked at, and its animation does not finish.
RUN = """async rules => {
  await Promise.allSettled(document.getAnimations().map(animation => animation.finished));
  const wider = document.documentElement.scrollWidth - innerWidth;
  const options = {resultTypes: ["violations"], ...(rules.length && {runOnly: rules})};
  return (await axe.run(document, options)).violations.flatMap(
    rule => rule.nodes.map(node => `${rule.id}: ${node.target.join(" ")}: ${node.failureSummary}`)
  ).concat(wider > 0 ? [`it scrolls sideways by ${wider} px`] : []);
}"""
ALL: list[str] = []
OF_COLOURS = ["color-contrast", "link-in-text-block"]


def found(page: Page, axe: str, *, widths: Collection[int] = (1440, 390)) -> list[str]:
    """Return what is wrong with the page as it is, at these widths, in light and dark: found by axe, or too wide."""
    page.evaluate(axe)
    wrong = []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        for theme, rules in (("light", ALL), ("dark", OF_COLOURS)):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]  # one of its words
            wrong += [f"{page.url}, {width} px, {theme}: {sentence}" for sentence in page.evaluate(RUN, rules)]
    page.set_viewport_size({"width": 1440, "height": 900})
    return wrong


def test_nothing_keeps_anybody_out(open_context: Callable[..., BrowserContext], three: list[Anomaly], axe: str) -> None:
    make.event(principal_id="user_1", ip="192.0.2.1")
    ana = User.objects.get(username="ana")
    ana.user_permissions.add(Permission.objects.get(codename="add_channel"))  # else one page is a refusal
    context = open_context()
    page = context.new_page()
    page.goto("/login/")
    wrong = found(page, axe)
    page.close()
    page = log_in(context)
    page.goto("/views/new/?severity=high")
    page.get_by_label("Name").fill("Worst")
    page.get_by_role("button", name="Save", exact=True).click()
    for path in PAGES:
        page.goto(path.format(id=three[0].public_id))
        wrong += found(page, axe)
    assert wrong == []


def test_nor_out_of_deciding(open_context: Callable[..., BrowserContext], three: list[Anomaly], axe: str) -> None:
    page = log_in(open_context(viewport={"width": 1440, "height": 900}))
    page.goto(f"/?open={three[0].public_id}")
    page.get_by_label("Select all shown").check()
    wrong = []
    for menu in page.locator(".deciding summary, #bulk summary").all():
        menu.click()
        wrong += found(page, axe, widths=[1440])
    page.keyboard.press("Escape")
    page.get_by_label("All 3 matching").check()
    page.locator("#bulk").get_by_role("button", name="Acknowledge").click()
    page.wait_for_url("**/bulk/**")
    wrong += found(page, axe)
    confirmation = page.url
    page.get_by_role("button", name="Acknowledge 3 anomalies").click()
    expect(page.locator(".toast")).to_contain_text("3 acknowledged.")
    wrong += found(page, axe)
    page.goto(confirmation)
    wrong += found(page, axe)
    assert wrong == []


def test_axe_finds_what_is_wrong(page: Page, axe: str) -> None:
    page.evaluate("document.querySelector('#search').removeAttribute('aria-label')")
    page.evaluate("document.querySelector('#search').removeAttribute('placeholder')")
    assert any("label" in sentence for sentence in found(page, axe))
