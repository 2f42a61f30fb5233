"""A worker killed in the middle of a scan: nothing is lost, nothing is counted twice."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection, transaction

from anomalies.ingest.record import EventRecord
from anomalies.models import Anomaly, Batch, BucketBlock, Event, Scan
from anomalies.services import events
from config import celery_app
from tests.services.servers import database_url

EVENTS = 100_000
SECONDS = 120
START = datetime(2026, 10, 5, tzinfo=UTC)


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not become so"
        time.sleep(0.05)


def _store_events() -> None:
    """Three weeks of 50 agents, the first with a burst at the end, in ten batches."""
    step = timedelta(days=21) / EVENTS
    records = [
        EventRecord(
            external_id=str(number),
            time=START + step * number,
            agent_id=f"ag_{number % 50}",
            principal_id=f"user_{number % 70}",
            ip=f"192.0.2.{number % 90}",
            action="token.issue",
            status="failure" if number % 40 == 0 else "success",
        )
        for number in range(EVENTS - 1000)
    ]
    burst = START + timedelta(days=20, hours=20)
    records += [
        EventRecord(
            external_id=f"burst-{number}",
            time=burst + timedelta(milliseconds=250 * number),
            agent_id="ag_0",
            action="token.issue",
            status="success",
        )
        for number in range(1000)
    ]
    for part in range(10):
        events.store(records[part::10], source_name="test", format="native", received_at=START)


class _Worker:
    """A Celery worker on the test's database, on a queue of its own."""

    def __init__(self) -> None:
        self.queue = f"test-{uuid.uuid4()}"
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._running = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "config", "worker", "--pool=threads", "-c1", "-Q", self.queue],
            cwd=settings.BASE_DIR,
            env={
                **os.environ,
                "DATABASE_URL": database_url(),
                "CELERY_BROKER_URL": settings.CELERY_BROKER_URL,
                "DJANGO_SETTINGS_MODULE": "config.settings",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self, with_: signal.Signals) -> None:
        if self._running:
            self._running.send_signal(with_)
            self._running.wait(SECONDS)
            self._running = None


@pytest.fixture
def worker(transactional_db: None) -> Iterator[_Worker]:
    worker = _Worker()
    yield worker
    worker.end(signal.SIGKILL)
    with celery_app.connection_for_write() as broker:
        celery_app.amqp.queues.select_add(worker.queue)(broker.default_channel).delete()


def _is_waited_for(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted", [table])
        return bool(cursor.fetchone()[0])


def _requests_in_buckets(kind: str, width: int) -> int:
    blocks = BucketBlock.objects.filter(
        series__metric="requests", series__kind=kind, series__action="", resolution_seconds=width
    )
    return sum(sum(counts) for counts in blocks.values_list("counts", flat=True))


@pytest.mark.parametrize("table", ["bucketblock", "anomaly"])
def test_killed_in_the_middle_it_counts_every_event_once(worker: _Worker, table: str) -> None:
    _store_events()
    worker.start()
    # Held, the table stops the scan in the middle: of counting, or of keeping what it found.
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE anomalies_{table} IN EXCLUSIVE MODE")
        celery_app.send_task("anomalies.tasks.scan", queue=worker.queue)
        _until(lambda: _is_waited_for(f"anomalies_{table}"))
        worker.end(signal.SIGKILL)
    assert not Anomaly.objects.exists()
    assert Scan.objects.filter(finished_at=None).count() == 1

    worker.start()
    celery_app.send_task("anomalies.tasks.scan", queue=worker.queue)
    _until(lambda: Scan.objects.exclude(finished_at=None).exists())

    assert Event.objects.count() == EVENTS
    assert not Batch.objects.filter(counted_at=None).exists()
    for width in (60, 300, 3600):
        assert _requests_in_buckets("agent", width) == EVENTS
        assert _requests_in_buckets("principal", width) == EVENTS - 1000
    assert [anomaly.entity for anomaly in Anomaly.objects.filter(type="rate_spike", kind="agent")] == ["ag_0"]
