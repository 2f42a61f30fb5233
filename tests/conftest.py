"""How the tests run, and three people: ana reviews, vic looks, zoe has no access."""

import os
import sys
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client, override_settings


def pytest_configure() -> None:
    """Let the programs that tests start find their modules compiled: it is most of what their start takes."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker for each core where all tests run; none for those that are named, which its start would slow down."""
    return os.cpu_count() or 1 if config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest group, beside which the other workers do the rest; it needs no database of the tests."""
    items.sort(key=lambda item: not item.path.match("tests/management/test_up.py"))


@pytest.fixture(scope="session", autouse=True)
def passwords_hash_fast() -> Iterator[None]:
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


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
