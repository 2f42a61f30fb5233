"""Pages in tests: static files by their plain names, without `collectstatic`; passwords that hash fast."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings


@pytest.fixture(autouse=True)
def quick(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture
def as_ana(client_of: Callable[[User], Client], ana: User) -> Client:
    return client_of(ana)


@pytest.fixture
def as_vic(client_of: Callable[[User], Client], vic: User) -> Client:
    return client_of(vic)


@pytest.fixture
def as_zoe(client_of: Callable[[User], Client], zoe: User) -> Client:
    return client_of(zoe)
