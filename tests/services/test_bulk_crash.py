"""A process killed in the middle of a decision about many: all of it is done, or nothing."""

import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.db import connection, transaction

from anomalies.models import Anomaly, OutboxMessage, ReviewEntry
from anomalies.services import bulk
from anomalies.services.actor import Actor
from tests import make
from tests.services.servers import SECONDS, database_url, is_waited_for, until

SIZE = 200
PROGRAM = """
import django
django.setup()
from anomalies.models import BulkReview
from anomalies.services import bulk
from anomalies.services.actor import Actor
from tests import make
one = BulkReview.objects.get()
bulk.{act}(one, by=Actor(one.created_by.username, one.created_by), at=make.NOW)
"""


def _killed(act: str, table: str) -> None:
    """Let another process do that, and kill it when it comes to a table."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
        running = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(act=act)],
            cwd=settings.BASE_DIR,
            env={
                **os.environ,
                "DATABASE_URL": database_url(),
                "DJANGO_SETTINGS_MODULE": "config.settings",
                "PYTHONPATH": str(settings.BASE_DIR),
            },
        )
        try:
            until(lambda: is_waited_for(table) or running.poll() is not None)
            assert running.poll() is None
        finally:
            running.kill()
            running.wait(SECONDS)


@pytest.mark.django_db(transaction=True)
def test_killed_in_the_middle_nothing_is_done_and_it_can_be_done_again(ana: User) -> None:
    ana.user_permissions.add(Permission.objects.get(codename="review_anomaly"))  # emptied tables hold no group
    by = Actor("ana", ana)
    ids = [make.anomaly().pk for _ in range(SIZE)]
    review = bulk.prepare(action="acknowledge", arguments={}, note="", anomaly_ids=ids, by=by, at=make.NOW)
    for act, before, after in (("carry_out", "open", "acknowledged"), ("undo", "acknowledged", "open")):
        entries = ReviewEntry.objects.count()
        for table in ("anomalies_reviewentry", "anomalies_outboxmessage"):
            _killed(act, table)
            assert set(Anomaly.objects.values_list("status", flat=True)) == {before}
            assert ReviewEntry.objects.count() == OutboxMessage.objects.count() == entries
        assert getattr(bulk, act)(review, by=by, at=make.NOW).done == SIZE
        assert set(Anomaly.objects.values_list("status", flat=True)) == {after}
        assert ReviewEntry.objects.count() == OutboxMessage.objects.count() == entries + SIZE
