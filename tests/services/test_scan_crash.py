"""A worker killed in the middle of a scan: nothing is lost, nothing is counted twice."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction

from anomalies.ingest.record import EventRecord
from anomalies.models import Anomaly, Batch, BucketBlock, Event, Scan
from anomalies.services import events
from tests.services.servers import Worker, is_waited_for, until

EVENTS = 30_000
START = datetime(2026, 10, 5, tzinfo=UTC)


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


@pytest.fixture
def worker(transactional_db: None) -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.leave_nothing()


def _requests_in_buckets(kind: str, width: int) -> int:
    blocks = BucketBlock.objects.filter(
        series__metric="requests", series__kind=kind, series__action="", resolution_seconds=width
    )
    return sum(sum(counts) for counts in blocks.values_list("counts", flat=True))


@pytest.mark.once
@pytest.mark.parametrize("table", ["bucketblock", "anomaly"])
def test_killed_in_the_middle_it_counts_every_event_once(worker: Worker, table: str) -> None:
    _store_events()
    worker.start()
    # Held, the table stops the scan in the middle: of counting, or of keeping what it found.
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE anomalies_{table} IN EXCLUSIVE MODE")
        worker.tick("scan")
        until(lambda: is_waited_for(f"anomalies_{table}"))
        worker.end(signal.SIGKILL)
    assert not Anomaly.objects.exists()
    assert Scan.objects.filter(finished_at=None).count() == 1

    worker.start()
    worker.tick("scan")
    until(lambda: Scan.objects.exclude(finished_at=None).exists())

    assert Event.objects.count() == EVENTS
    assert not Batch.objects.filter(counted_at=None).exists()
    for width in (60, 300, 3600):
        assert _requests_in_buckets("agent", width) == EVENTS
        assert _requests_in_buckets("principal", width) == EVENTS - 1000
    assert [anomaly.entity for anomaly in Anomaly.objects.filter(type="rate_spike", kind="agent")] == ["ag_0"]
