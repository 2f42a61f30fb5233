"""Three people: ana reviews, vic looks, zoe has no access."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client


def _person(name: str, *groups: str) -> User:
    user = User.objects.create_user(name, password=f"{name}-password")
    user.groups.set(Group.objects.filter(name__in=groups))
    return user


@pytest.fixture
def ana(db: None) -> User:
    return _person("ana", "reviewer")


@pytest.fixture
def vic(db: None) -> User:
    return _person("vic", "viewer")


@pytest.fixture
def zoe(db: None) -> User:
    return _person("zoe")


@pytest.fixture
def client_of() -> object:
    """Return a function that gives a test client logged in as that user."""

    def log_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return log_in
