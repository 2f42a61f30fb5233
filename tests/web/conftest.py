"""Pages in tests: static files by their plain names, without `collectstatic`."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from tests import make


@pytest.fixture(autouse=True)
def quick(settings: Settings) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture(autouse=True)
def in_2026(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dates of 2026, in which all that tests make happens, are written without their year."""
    monkeypatch.setattr("anomalies.web.frame.this_year", lambda: "2026")
    monkeypatch.setattr("anomalies.web.charts.this_year", lambda: "2026")
    monkeypatch.setattr("anomalies.web.zone.this_year", lambda: "2026")


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tests make was detected more than a day ago: it is written when, not how long ago."""
    monkeypatch.setattr("anomalies.web.listing.row.now", lambda: make.NOW + timedelta(days=2))


@pytest.fixture
def as_ana(client_of: Callable[[User], Client], ana: User) -> Client:
    return client_of(ana)


@pytest.fixture
def as_vic(client_of: Callable[[User], Client], vic: User) -> Client:
    return client_of(vic)


@pytest.fixture
def as_zoe(client_of: Callable[[User], Client], zoe: User) -> Client:
    return client_of(zoe)


def after_login(client: Client, user: User, path: str, form: dict[str, Any], *, shown_at: str = "") -> Any:
    """Send a form with a session that has ended, log in again, and return the page that this leads to."""
    client.logout()
    client.cookies[settings.SESSION_COOKIE_NAME] = "gone"
    sent = client.post(path, form)
    assert sent.headers["Location"] == f"/login/?next={path}&lost=1"
    client.force_login(user)
    return client.get(shown_at or path)
