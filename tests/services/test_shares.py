"""services/shares: several workers find what one finds."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings

from anomalies.models import Anomaly, Batch, BucketBlock, Metric, Scan, ScanShare
from anomalies.services import scans, shares
from anomalies.services.locks import Lock
from config import celery_app
from tests.services.days import MONDAY, burst, forget, judge_all, record, store, usual
from tests.services.servers import database_url, lock_held

pytestmark = pytest.mark.django_db

NOW = MONDAY + timedelta(days=20, hours=10, minutes=6)
SECONDS = 120


def _store_a_month_with_incidents() -> None:
    spike = MONDAY + timedelta(days=20, hours=10)
    store(usual(20))
    for number in range(6):
        agent = {"agent_id": f"ag_{number}", "principal_id": f"user_{number}", "ip": f"192.0.2.{number}"}
        store([record(MONDAY + timedelta(minutes=30 * n), n, **agent) for n in range(960)])
    store(burst(spike, 300, principal_id="eve", ip="192.0.2.9"))
    for number in (1, 4):
        agent = {"agent_id": f"ag_{number}", "principal_id": f"user_{number}", "ip": f"192.0.2.{number}"}
        store(burst(spike, 60, status="failure", **agent))


def _known() -> dict[str, list[Any]]:
    facts = ("type", "kind", "entity", "severity", "state", "started_at", "active_until", "evidence", "agent_id")
    merged = ("principal_id", "ip", "merged_into__entity", "description", "score")
    return {
        "buckets": sorted(
            BucketBlock.objects.values_list(
                "series__kind", "series__entity", "series__action", "resolution_seconds", "start", "counts"
            )
        ),
        "anomalies": list(Anomaly.objects.order_by("fingerprint").values(*facts, *merged)),
        "metrics": list(Metric.objects.order_by("anomaly__fingerprint", "name").values("name", "score", "evidence")),
    }


@pytest.mark.once
@pytest.mark.parametrize("count", [2, 5])
def test_any_number_of_shares_in_any_order_finds_what_one_scan_finds(count: int) -> None:
    _store_a_month_with_incidents()
    scan = scans.run(now=NOW, trigger=Scan.Trigger.SCHEDULE)
    alone = _known()
    assert len(alone["anomalies"]) >= 3
    figures = (scan.series_judged, scan.findings, scan.anomalies_raised, scan.findings_told_by_others)
    forget("anomaly", "series", "bucketblock")
    Batch.objects.update(counted_at=None)
    for seed in range(2):  # the second finds nothing new
        judge_all(shares.begin(now=NOW, trigger=Scan.Trigger.SCHEDULE, shares=count), seed)
    assert _known() == alone
    parted = Scan.objects.filter(shares=count).order_by("id")[0]
    assert (parted.series_judged, parted.findings, parted.anomalies_raised, parted.findings_told_by_others) == figures
    assert not Scan.objects.filter(finished_at=None).exists()


def test_what_a_dead_worker_left_is_given_out_again_by_the_next_tick() -> None:
    store(usual(1))
    first = shares.begin(now=NOW, trigger=Scan.Trigger.SCHEDULE, shares=3)
    shares.judge(first[0])
    assert shares.begin(now=NOW, trigger=Scan.Trigger.SCHEDULE, shares=3) == first[1:]
    assert Scan.objects.count() == 1
    for share in first[1:]:
        ScanShare.objects.filter(pk=share).update(done_at=NOW)  # and died before it sent those of the next kind
    following = shares.begin(now=NOW, trigger=Scan.Trigger.SCHEDULE, shares=3)
    assert {share.kind for share in ScanShare.objects.filter(pk__in=following)} == {"address"}


def test_no_share_is_judged_while_a_whole_scan_runs() -> None:
    store(usual(1))
    share = shares.begin(now=NOW, trigger=Scan.Trigger.SCHEDULE, shares=2)[0]
    with lock_held(Lock.SCAN):
        shares.judge(share)
        assert ScanShare.objects.get(pk=share).done_at is None
    shares.judge(share)
    assert ScanShare.objects.get(pk=share).done_at is not None


def test_a_whole_scan_takes_over_what_a_parted_one_left() -> None:
    _store_a_month_with_incidents()
    share, other = shares.begin(now=NOW, trigger=Scan.Trigger.SCHEDULE, shares=2)
    shares.judge(share)
    scans.run(now=NOW, trigger=Scan.Trigger.API)
    raised = Anomaly.objects.count()
    assert shares.judge(other) == []
    assert ScanShare.objects.get(pk=other).done_at is None
    following = shares.begin(now=NOW, trigger=Scan.Trigger.SCHEDULE, shares=2)
    assert following
    assert other not in following
    judge_all(following, 0)
    assert Anomaly.objects.count() == raised >= 3


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not become so"
        time.sleep(0.05)


@pytest.mark.django_db(transaction=True)
def test_two_celery_workers_share_a_scan() -> None:
    _store_a_month_with_incidents()
    scans.run(now=NOW, trigger=Scan.Trigger.SCHEDULE)
    queue = f"test-{uuid.uuid4()}"
    environment = {
        **os.environ,
        "DATABASE_URL": database_url(),
        "CELERY_BROKER_URL": settings.CELERY_BROKER_URL,
        "ANOMALIES_QUEUE": queue,
        "ANOMALIES_SCAN_SHARES": "3",
    }
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "--pool=threads", "-c1"]
    workers = [
        subprocess.Popen(
            [*command, "-n", f"worker{number}@test"],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in range(2)
    ]
    try:
        celery_app.send_task("anomalies.tasks.scan", queue=queue)
        _until(lambda: Scan.objects.filter(shares=3, finished_at__isnull=False).exists())
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            worker.wait(SECONDS)
        with celery_app.connection_for_write() as broker:
            celery_app.amqp.queues.select_add(queue)(broker.default_channel).delete()
    assert ScanShare.objects.filter(done_at__isnull=False).count() == 9
