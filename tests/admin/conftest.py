"""The admin site for its people: boss administers, staff who review or look, ana who is no staff."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from pytest_django.fixtures import Settings


@pytest.fixture(autouse=True)
def quick(settings: Settings) -> None:
    """Static files by their plain names, without `collectstatic`."""
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


def _staff(name: str, group: str) -> User:
    user = User.objects.create_user(name, password=f"{name}-password", is_staff=True)
    user.groups.set(Group.objects.filter(name=group))
    return user


@pytest.fixture
def boss(db: None) -> User:
    return _staff("boss", "admin")


@pytest.fixture
def as_boss(client_of: Callable[[User], Client], boss: User) -> Client:
    return client_of(boss)


@pytest.fixture
def as_reviewing_staff(client_of: Callable[[User], Client], db: None) -> Client:
    return client_of(_staff("rita", "reviewer"))


@pytest.fixture
def as_looking_staff(client_of: Callable[[User], Client], db: None) -> Client:
    return client_of(_staff("lou", "viewer"))


@pytest.fixture
def as_ana(client_of: Callable[[User], Client], ana: User) -> Client:
    return client_of(ana)
