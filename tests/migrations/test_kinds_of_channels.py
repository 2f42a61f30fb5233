"""Migration 0035: what its reverse would lose."""

from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection

from anomalies.models import Channel
from tests import make
from tests.services.channels import BOSS, channel

pytestmark = pytest.mark.django_db

migration = import_module("anomalies.migrations.0035_kinds_of_channels")


def test_channels_that_are_no_webhooks_stop_the_way_back() -> None:
    reverse = next(one for one in migration.Migration.operations if getattr(one, "reverse_code", None)).reverse_code
    channel()
    with connection.schema_editor() as editor:
        reverse(apps, editor)  # a webhook has a place in the columns of before
    Channel.objects.create(
        kind="slack", name="Team", message_types=[], created_at=make.NOW, created_by=BOSS.name, updated_at=make.NOW,
        updated_by=BOSS.name, cursor_transaction=0, cursor_number=0,
    )  # fmt: skip
    with (
        connection.schema_editor() as editor,
        pytest.raises(RuntimeError, match="delete their rows first"),
    ):
        reverse(apps, editor)
