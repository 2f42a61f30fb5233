"""How the tests run, and three people: ana reviews, vic looks, zoe has no access."""

import fcntl
import gc
import os
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db.backends.postgresql.operations import DatabaseOperations
from django.test import Client, override_settings
from django.test import client as test_client

from tests.notifications.receiver import Receiver, receiving


def pytest_configure() -> None:
    """Let the programs that tests start find their modules compiled: it is most of what their start takes."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many calls were made of which API, and how they were answered."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    told: dict[str, Counter[int]] = {}
    for name, value in (told for report in reports for told in report.user_properties):
        if name == "calls":
            api, statuses = value
            told.setdefault(api, Counter()).update(statuses)
    for api, counts in sorted(told.items()):
        parts = ", ".join(f"{count:,} with {status}" for status, count in sorted(counts.items()))
        terminalreporter.write_line(f"{api}: {counts.total():,} calls were made up and answered, {parts}")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker for each core where all tests run; none for those that are named, which its start would slow down."""
    return os.cpu_count() or 1 if config.args_source is pytest.Config.ArgsSource.TESTPATHS else 0


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave what was imported and collected out of every search for garbage: it was a tenth of the tests' time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest group, beside which the other workers do the rest; it needs no database of the tests."""
    items.sort(key=lambda item: not item.path.match("tests/management/test_up.py"))


@contextmanager
def _locked(name: str, kind: int) -> Iterator[None]:
    with Path(__file__).with_name(name).open() as file:
        fcntl.flock(file, kind)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let tests marked `alone` run while no other worker runs any: others' transactions hold back the outbox."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    alone = item.get_closest_marker("alone") is not None
    # Who is to be alone keeps the door while the others finish, or a new test would always come before.
    with ExitStack() as turn:
        with _locked("__init__.py", fcntl.LOCK_EX):
            turn.enter_context(_locked("conftest.py", fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        return (yield)


@pytest.fixture(scope="session", autouse=True)
def passwords_hash_fast() -> Iterator[None]:
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(scope="session", autouse=True)
def tables_empty_fast() -> Iterator[None]:
    """Let tests that commit delete the rows that there are: to truncate, every file of every index is made anew.

    That takes a second or two, and deleting takes none; without foreign keys and triggers, which only a superuser can
    leave out. What was deleted still takes room, and time to read past: once it is much, the files are made anew.
    """
    truncate = DatabaseOperations.sql_flush

    def sql_flush(self: DatabaseOperations, style: object, tables: list[str], **options: bool) -> list[str]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('is_superuser') = 'on' AND sum(pg_relation_size(oid)) < 8000000 FROM pg_class "
                "WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            )
            if cursor.fetchone() != (True,):
                return list(truncate(self, style, tables, **options))
        deletions = [f"DELETE FROM {self.quote_name(table)}" for table in tables]
        return ["SET LOCAL session_replication_role = replica", *deletions]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "sql_flush", sql_flush)
        yield


@pytest.fixture(scope="session", autouse=True)
def pages_are_watched_once() -> Iterator[None]:
    """Keep the context of each page alone: a copy for every part of it takes half of a page's time."""
    store = test_client.store_rendered_templates

    def store_first(stored: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        if not stored:
            store(stored, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(test_client, "store_rendered_templates", store_first)
        yield


@pytest.fixture
def calls_stay_here(settings: Any) -> None:
    """Let calls go to this machine, without encryption."""
    settings.ANOMALIES_ALLOW_HTTP_WEBHOOKS = True
    settings.ANOMALIES_ALLOW_PRIVATE_WEBHOOKS = ["127.0.0.0/8"]
    settings.ANOMALIES_PUBLIC_URL = "https://anomalies.example"


@pytest.fixture
def there() -> Iterator[Receiver]:
    """A receiver of calls on this machine."""
    with receiving() as receiver:
        yield receiver


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
