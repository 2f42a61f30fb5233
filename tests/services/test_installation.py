from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User

from anomalies.models import ApiKey
from anomalies.services import api_keys, installation
from tests.make import NOW

pytestmark = pytest.mark.django_db


def test_the_first_call_makes_a_superuser_and_a_key(tmp_path: Path) -> None:
    made = installation.credentials(tmp_path / "login", database="one", at=NOW)

    admin = User.objects.get(username="admin")
    assert admin.is_superuser
    assert [group.name for group in admin.groups.all()] == ["admin"]
    assert made.password
    assert admin.check_password(made.password)
    assert made.api_key
    key = api_keys.find(made.api_key, at=NOW)
    assert key
    assert set(key.scopes) == {"ingest", "read", "review", "admin"}


def test_without_the_role_of_admins_there_is_a_superuser_all_the_same(tmp_path: Path) -> None:
    Group.objects.all().delete()

    installation.credentials(tmp_path / "login", database="one", at=NOW)

    assert User.objects.get(username="admin").is_superuser


def test_the_next_call_tells_the_same(tmp_path: Path) -> None:
    first = installation.credentials(tmp_path / "login", database="one", at=NOW)

    assert installation.credentials(tmp_path / "login", database="one", at=NOW) == first
    assert ApiKey.objects.count() == 1


def test_only_the_owner_reads_what_is_kept(tmp_path: Path) -> None:
    installation.credentials(tmp_path / "login", database="one", at=NOW)

    assert (tmp_path / "login").stat().st_mode & 0o777 == 0o600


def test_each_database_has_its_own(tmp_path: Path) -> None:
    first = installation.credentials(tmp_path / "login", database="one", at=NOW)
    User.objects.all().delete()
    ApiKey.objects.all().delete()

    second = installation.credentials(tmp_path / "login", database="two", at=NOW)

    assert second.password != first.password
    assert second.api_key != first.api_key


def test_a_database_made_anew_gets_the_known_password(tmp_path: Path) -> None:
    first = installation.credentials(tmp_path / "login", database="one", at=NOW)
    User.objects.all().delete()
    ApiKey.objects.all().delete()

    second = installation.credentials(tmp_path / "login", database="one", at=NOW)

    assert second.password == first.password
    assert second.api_key


def test_a_password_that_was_changed_is_not_told(tmp_path: Path) -> None:
    first = installation.credentials(tmp_path / "login", database="one", at=NOW)
    admin = User.objects.get(username="admin")
    admin.set_password("changed")
    admin.save()

    second = installation.credentials(tmp_path / "login", database="one", at=NOW)

    assert second.password is None
    assert second.api_key == first.api_key
    assert not User.objects.get(username="admin").check_password(first.password or "")


def test_a_revoked_key_is_not_replaced(tmp_path: Path) -> None:
    installation.credentials(tmp_path / "login", database="one", at=NOW)
    ApiKey.objects.update(revoked_at=NOW)

    assert installation.credentials(tmp_path / "login", database="one", at=NOW).api_key is None
    assert ApiKey.objects.count() == 1
