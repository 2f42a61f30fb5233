"""The pages in a real browser."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from anomalies.models import Anomaly, Severity
from tests import make
from tests.web.conftest import in_2026, quick

__all__ = ["in_2026", "quick"]

HERE = Path(__file__).parent
CHROMIUM = os.environ.get("ANOMALIES_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"))), None
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The server that the browser asks sees only what is committed; the tests of a file share a browser."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.django_db(transaction=True))
            item.add_marker(pytest.mark.xdist_group(f"browser {item.path.stem}"))
            item.add_marker(
                pytest.mark.skipif(
                    not CHROMIUM, reason="no Chromium found: install one, or name it in ANOMALIES_CHROMIUM"
                )
            )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a file.

    Playwright keeps an event loop running in this thread, for which Django would refuse the plain queries of the
    tests; they run one after the other, so nothing is unsafe about them.
    """
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def person(name: str, *codenames: str) -> User:
    """Make a viewer who may do this as well; each test here ends with empty tables, so there are no groups."""
    user = User.objects.create_user(name, password=f"{name}-password")
    ours = Permission.objects.filter(content_type__app_label="anomalies")
    closed = ours.filter(codename__in=["view_apikey", "view_auditentry", "view_connection"])
    seen = ours.filter(codename__startswith="view_").difference(closed)
    user.user_permissions.set([*seen, *ours.filter(codename__in=codenames)])
    return user


@pytest.fixture
def ana(transactional_db: None) -> User:
    """The reviewer."""
    reviewer, _ = Group.objects.get_or_create(name="reviewer")
    user = person("ana", "review_anomaly", "read_audit_log")
    user.groups.add(reviewer)
    return user


@pytest.fixture
def vic(transactional_db: None) -> User:
    """The viewer."""
    return person("vic")


@pytest.fixture
def three(transactional_db: None) -> list[Anomaly]:
    """Newest first: high, medium, low."""
    return [
        make.anomaly(
            description=f"{severity.label} was seen 7 times",
            severity=severity,
            detected_at=make.NOW - timedelta(minutes=3 - severity),
        )
        for severity in reversed(Severity)
    ]


def is_wrong(said: ConsoleMessage) -> bool:
    """Whether a message of the browser's console is an error.

    That a page asked for on purpose is not there is none, nor that a form is refused, nor that htmx gave up a request
    for one that replaced it.
    """
    if "status of 422" in said.text or said.text.startswith(("htmx:afterRequest", "htmx:sendAbort")):
        return False
    return said.type == "error" and not said.location["url"].endswith("/nowhere/")


@pytest.fixture
def open_context(
    browser: Browser, live_server: LiveServer, ana: User, three: list[Anomaly]
) -> Iterator[Callable[..., BrowserContext]]:
    """Return a function that opens a context; at the end nothing may have gone wrong in any of them."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def open_context(**options: object) -> BrowserContext:
        context = browser.new_context(base_url=live_server.url, timezone_id="Europe/Berlin", **options)  # type: ignore[arg-type]
        context.set_default_timeout(10_000)
        if options.get("java_script_enabled", True):
            context.add_cookies([cookie("local_zone", "Europe%2FBerlin")])  # as the page before the list tells it
        contexts.append(context)
        context.on("console", lambda said: wrong.append(said.text) if is_wrong(said) else None)
        context.on("weberror", lambda error: wrong.append(str(error.error)))
        context.on("request", lambda r: None if r.url.startswith((live_server.url, "data:")) else wrong.append(r.url))
        return context

    yield open_context
    seen = wrong.copy()  # what a page still waited for finds no place in it once it closes
    for context in contexts:
        context.close()
    assert seen == []


def cookie(name: str, value: str) -> Any:  # playwright names its type in private
    return {"name": name, "value": value, "domain": "localhost", "path": "/"}


def log_in(context: BrowserContext, name: str = "ana", *, by_form: bool = False) -> Page:
    """Open the list as somebody, with a session made for them unless they are to log in as people do."""
    page = context.new_page()
    if not by_form:
        client = Client()
        client.force_login(User.objects.get(username=name))
        context.add_cookies([cookie("sessionid", client.cookies["sessionid"].value)])
    page.goto("/")
    if by_form:
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(f"{name}-password")
        page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Anomalies", exact=True)).to_be_visible()
    page.wait_for_load_state()
    return page


@pytest.fixture
def page(open_context: Callable[..., BrowserContext]) -> Page:
    return log_in(open_context(viewport={"width": 1440, "height": 900}))


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, which finds what keeps people out; npm fetches it at first use."""
    source = HERE / "node_modules" / "axe-core" / "axe.min.js"
    with (HERE / "package.json").open() as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        if not source.exists():
            if not shutil.which("npm"):
                pytest.skip("no npm found, which brings axe-core")
            subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=HERE, check=True)
    return source.read_text()
