"""services/accounts: who somebody is and what they may do, by one query."""

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import Group, Permission, User
from pytest_django import DjangoAssertNumQueries

from anomalies.services.accounts import AccountBackend

pytestmark = pytest.mark.django_db
BACKEND = AccountBackend()


def read(user: User) -> User:
    found = BACKEND.get_user(user.pk)
    assert found is not None
    return found


def own(user: User, codename: str) -> None:
    user.user_permissions.add(Permission.objects.get(content_type__app_label="anomalies", codename=codename))


def test_permissions_are_those_that_django_finds(
    vic: User, ana: User, zoe: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ana.groups.add(Group.objects.get(name="viewer"))  # what two groups may is there once
    own(vic, "review_anomaly")
    own(zoe, "view_scan")
    for user in (vic, ana, zoe, User.objects.create_superuser("boss")):
        with django_assert_num_queries(1):
            found = BACKEND.get_user(user.pk)
        assert found == user
        assert found is not None
        assert found.get_all_permissions() == ModelBackend().get_all_permissions(User.objects.get(pk=user.pk))
    with django_assert_num_queries(1):
        seen = read(vic)
        assert seen.has_perm("anomalies.review_anomaly")
        assert not seen.has_perm("anomalies.change_anomaly")
        assert seen.has_module_perms("anomalies")
        assert not seen.has_module_perms("auth")


def test_of_one_object_nobody_has_permissions(vic: User) -> None:
    assert read(vic).get_all_permissions(vic) == set()


def test_who_is_gone_or_not_active_is_nobody(vic: User) -> None:
    assert BACKEND.get_user(vic.pk + 1000) is None
    seen = read(vic)
    vic.is_active = False
    vic.save()
    assert BACKEND.get_user(vic.pk) is None
    seen.is_active = False
    assert not seen.has_perm("anomalies.view_anomaly")


def test_who_logged_in_just_now_is_asked_for_as_django_does(vic: User) -> None:
    vic.set_password("a long one 17")
    vic.save()
    user = BACKEND.authenticate(None, username="vic", password="a long one 17")
    assert isinstance(user, User)
    assert user.has_perm("anomalies.view_anomaly")
