"""One scan parted among several workers, for those who outgrow one machine.

The entities of a kind are parted by hash; when all shares of a kind are judged, those of the next kind can be, since
what one kind tells is the cause of what another does. PostgreSQL alone knows what is done: a message that is lost is
sent again by the next tick, one that comes twice finds nothing left to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from anomalies.models import Scan, ScanShare
from anomalies.services import scans
from anomalies.services.detectors import Judges
from anomalies.services.judging import KINDS, judge_due
from anomalies.services.locks import Lock, call
from anomalies.services.timeline import DETECTION

# What a worker adds to the figures of the scan.
_FIGURES = (
    "series_judged",
    "series_failed",
    "series_late",
    "findings",
    "findings_told_by_others",
    "grants_revoked",
    "anomalies_raised",
    "anomalies_of_the_past",
    "anomalies_extended",
    "anomalies_closed",
    "anomalies_withdrawn",
    "anomalies_merged",
)


def begin(*, now: datetime, trigger: str, shares: int) -> list[int]:
    """Count what arrived and part what is due, and return the ids of the shares to be judged.

    While a parted scan is unfinished, these are what is left of it; while another scan runs, there are none. A whole
    scan that came between judged what was left: the parted one is over.
    """
    try:
        with scans.one_at_a_time(wait=False):
            newest = Scan.objects.order_by("id").last()
            if newest is not None and newest.shares > 1 and newest.finished_at is None:
                return _left(newest) or _next(newest)
            scan = Scan.objects.create(trigger=trigger, now=now, started_at=timezone.now(), shares=shares)
            scans.count(scan)
            scan.save()
            return _next(scan)
    except scans.ScanUnderWayError:
        return []


def judge(share: int) -> list[int]:
    """Judge the entities of a share, and return the ids of the shares that can be judged after it, if it was the last.

    Does nothing if it was judged, if another worker is at it, or if a scan that is not parted runs or ran since: that
    one judged it, and who polls for anomalies takes a scan for over when the next one begins.
    """
    part = ScanShare.objects.select_related("scan").get(pk=share)
    with _alone(part) as mine:
        over = ScanShare.objects.filter(pk=share, done_at__isnull=False).exists()
        if not mine or over or Scan.objects.filter(pk__gt=part.scan_id).exists():
            return []
        scan = Scan.objects.get(pk=part.scan_id)
        before = {name: getattr(scan, name) for name in _FIGURES}
        judge_due(scan, part.kind, part.number, Judges.load(), DETECTION)
        with transaction.atomic():
            ScanShare.objects.filter(pk=share).update(done_at=timezone.now())
            added = {name: F(name) + getattr(scan, name) - before[name] for name in _FIGURES}
            Scan.objects.filter(pk=scan.pk).update(**added)
        return _next(part.scan)


@contextmanager
def _alone(share: ScanShare) -> Iterator[bool]:
    """Keep whole scans and other workers away from a share, and say whether that succeeded."""
    if not call("pg_try_advisory_lock_shared", Lock.SCAN):
        yield False
        return
    try:
        mine = call("pg_try_advisory_lock", Lock.SHARE, share.pk % 2**31)
        try:
            yield mine
        finally:
            if mine:
                call("pg_advisory_unlock", Lock.SHARE, share.pk % 2**31)
    finally:
        call("pg_advisory_unlock_shared", Lock.SCAN)


def _left(scan: Scan) -> list[int]:
    return list(scan.parts.filter(done_at=None).order_by("id").values_list("id", flat=True))


@transaction.atomic
def _next(scan: Scan) -> list[int]:
    """Part the next kind if all shares so far are done, or finish the scan; return the ids of the new shares."""
    scan = Scan.objects.select_for_update().get(pk=scan.pk)
    if scan.finished_at is not None or _left(scan):
        return []
    parted = set(scan.parts.values_list("kind", flat=True))
    kind = next((kind for kind in KINDS if kind not in parted), None)
    if kind is None:
        scans.finish(scan)
        return []
    ScanShare.objects.bulk_create(ScanShare(scan=scan, kind=kind, number=number) for number in range(scan.shares))
    return _left(scan)
