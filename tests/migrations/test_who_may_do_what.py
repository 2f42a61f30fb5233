"""Migration 0010: the roles that there are may do what came since they were made."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.db import connection

pytestmark = pytest.mark.django_db

grant = import_module("anomalies.migrations.0010_who_may_do_what").grant


def test_a_role_that_an_admin_deleted_stays_deleted_and_stops_no_migration() -> None:
    Group.objects.get(name="viewer").delete()
    reviewer = Group.objects.get(name="reviewer")
    reviewer.permissions.clear()
    with connection.schema_editor() as editor:
        grant(apps, editor)
    assert not Group.objects.filter(name="viewer").exists()
    assert reviewer.permissions.filter(codename="add_rule").exists()
