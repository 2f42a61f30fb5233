"""Simulated days for the tests of services: events stored, scans run, buckets summed."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
from django.db import connection

from anomalies.ingest.record import EventRecord
from anomalies.models import BucketBlock, Scan
from anomalies.services import events, scans, shares

MONDAY = datetime(2026, 10, 5, tzinfo=UTC)
SPIKE_SEEN = MONDAY + timedelta(days=20, hours=10, minutes=6)


def record(time: datetime, number: int = 0, **fields: Any) -> EventRecord:
    values = {
        "external_id": f"{time.isoformat()}-{number}-{fields.get('agent_id', '')}-{fields.get('ip', '')}",
        "time": time,
        "agent_id": "ag_billing",
        "action": "token.issue",
        "status": "success",
        **fields,
    }
    return EventRecord(**values)


def usual(days: int, per_hour: int = 8) -> list[EventRecord]:
    """An agent that does the same each hour, with a little noise; so little that its silence is no drop."""
    return list(_usual(days, per_hour))


@cache
def _usual(days: int, per_hour: int) -> tuple[EventRecord, ...]:
    rng = np.random.default_rng(7)
    return tuple(
        record(MONDAY + timedelta(hours=hour, seconds=3600 * n / max(count, 1)), n)
        for hour, count in enumerate(rng.poisson(per_hour, 24 * days))
        for n in range(count)
    )


def burst(start: datetime, count: int, *, seconds: float = 1.0, **fields: Any) -> list[EventRecord]:
    return [record(start + timedelta(seconds=seconds * n), 1000 + n, **fields) for n in range(count)]


def store(records: Sequence[EventRecord], source: str = "test") -> None:
    events.store(records, source_name=source, format="native", received_at=MONDAY)


def run(now: datetime) -> Scan:
    return scans.run(now=now, trigger=Scan.Trigger.COMMAND)


def counted() -> dict[tuple[str, int], int]:
    """Sum of all buckets by kind and resolution, of requests; "action" are those of agents by action."""
    sums: dict[tuple[str, int], int] = {}
    for kind, action, width, total in BucketBlock.objects.filter(series__metric="requests").values_list(
        "series__kind", "series__action", "resolution_seconds", "counts"
    ):
        key = ("action" if action else kind, width)
        sums[key] = sums.get(key, 0) + sum(total)
    return sums


def forget(*tables: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"TRUNCATE {', '.join(f'anomalies_{table}' for table in tables)} CASCADE")


def judge_all(left: list[int], seed: int) -> None:
    """Judge shares in a random order, some of them twice, as messages come."""
    rng = random.Random(seed)
    while left:
        share = left.pop(rng.randrange(len(left)))
        left += shares.judge(share)
        if rng.random() < 0.3:
            assert shares.judge(share) == []
