"""One run of detection: count what arrived, look at what changed, keep what deviates."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.utils import timezone

from anomalies.models import Scan, Series
from anomalies.services import counts, merging
from anomalies.services.actor import Actor
from anomalies.services.detectors import Judges
from anomalies.services.findings import agree
from anomalies.services.judging import KINDS, Progress, judge_due, unseen
from anomalies.services.locks import Lock, call
from anomalies.services.timeline import DETECTION

LONGEST_WAIT_SECONDS = 60.0


class ScanUnderWayError(Exception):
    """Another scan holds the lock."""


def run(*, now: datetime, trigger: str, by: Actor = DETECTION, progress: Progress | None = None) -> Scan:
    """Count all uncounted batches, judge what changed, keep the anomalies, and return the finished Scan.

    New rate spikes are answered as the response policy asks, by that actor. Safe to kill at any moment: the next run
    does what is left. Waits while another scan is under way; raises ScanUnderWayError after a minute.
    """
    with one_at_a_time(wait=True):
        return _scan(now=now, trigger=trigger, by=by, progress=progress or unseen)


def run_if_idle(*, now: datetime, trigger: str) -> Scan | None:
    """As `run`, but return None at once if another scan is under way."""
    try:
        with one_at_a_time(wait=False):
            return _scan(now=now, trigger=trigger, by=DETECTION, progress=unseen)
    except ScanUnderWayError:
        return None


def replay(*, now: datetime, progress: Progress | None = None) -> Scan:
    """Judge the whole history, each anomaly dated by the tick of the schedule that would have found it.

    A bucket is judged by what came before it alone (`detection.baseline`), so that one pass over the history finds
    what a scan at each of its ticks would have found; a bucket of a rate counts as found when it is complete.
    """
    with one_at_a_time(wait=True):
        return _scan(now=now, trigger=Scan.Trigger.REPLAY, by=DETECTION, progress=progress or unseen)


@contextmanager
def one_at_a_time(*, wait: bool) -> Iterator[None]:
    """Keep other scans away. Raises ScanUnderWayError at once, or after a minute of waiting."""
    deadline = time.monotonic() + (LONGEST_WAIT_SECONDS if wait else 0)
    while not call("pg_try_advisory_lock", Lock.SCAN):
        if time.monotonic() >= deadline:
            raise ScanUnderWayError("Another scan is under way.")
        time.sleep(0.1)
    try:
        yield
    finally:
        call("pg_advisory_unlock", Lock.SCAN)


def _scan(*, now: datetime, trigger: str, by: Actor, progress: Progress) -> Scan:
    scan = Scan.objects.create(trigger=trigger, now=now, started_at=timezone.now())
    count(scan, progress)
    judges = Judges.load()
    for kind in KINDS:
        judge_due(scan, kind, 0, judges, by, progress)
    finish(scan)
    return scan


def finish(scan: Scan) -> None:
    """Note that all kinds were judged."""
    merging.reconcile(scan)
    agree(scan)
    Series.objects.filter(kind=Series.Kind.TENANT).update(dirty_from=None, judged_until=scan.now)
    scan.finished_at = timezone.now()
    scan.save()


def count(scan: Scan, progress: Progress = unseen) -> None:
    """Count all that waits, and add the figures to the scan's."""
    waiting = counts.uncounted_events()
    while (counted := counts.count_some()).batches:
        scan.batches_counted += counted.batches
        scan.events_counted += counted.events
        progress("Counting events", scan.events_counted, max(waiting, scan.events_counted))
