"""What the clock starts."""

from datetime import timedelta

from celery import group, shared_task
from django.conf import settings
from django.utils import timezone

from anomalies.models import Scan
from anomalies.services import backtests, deliveries, demo, grants, retention, reviews, revocations, scans, shares


@shared_task
def scan() -> None:
    """Count what arrived and look for anomalies; another scan under way makes it a no-op."""
    if settings.ANOMALIES_SCAN_SHARES > 1:
        _send(shares.begin(now=timezone.now(), trigger=Scan.Trigger.SCHEDULE, shares=settings.ANOMALIES_SCAN_SHARES))
    else:
        scans.run_if_idle(now=timezone.now(), trigger=Scan.Trigger.SCHEDULE)


@shared_task
def judge(share: int) -> None:
    """Look for anomalies in one share of a scan; whoever judges the last of a kind sends those of the next."""
    _send(shares.judge(share))


def _send(share_ids: list[int]) -> None:
    group(judge.s(share=share) for share in share_ids).apply_async()


@shared_task
def backtest() -> None:
    """Run the backtest that waits longest; none, or one under way, makes it a no-op."""
    backtests.run_due()


@shared_task
def apply_retention() -> None:
    """Drop what has had its time; a second run finds nothing more."""
    retention.apply(now=timezone.now())


@shared_task
def wake() -> None:
    """Ask again about what was snoozed until now; a second run finds no more."""
    reviews.wake(at=timezone.now())


@shared_task
def expire_grants() -> None:
    """End grants whose time is over; a second run finds no more."""
    grants.expire(at=timezone.now())


@shared_task
def call_revocations() -> None:
    """Ask integrations to take back access, for half a minute at most; what others ask already is left to them."""
    revocations.call_due(clock=timezone.now, until=timezone.now() + timedelta(seconds=30))


@shared_task
def announce() -> None:
    """Note for each channel what it is to be told of what was announced; a second run finds nothing more."""
    deliveries.fan_out(at=timezone.now())


@shared_task
def deliver() -> None:
    """Tell channels what is due, for ten seconds or so; what another worker tells already is left to it."""
    deliveries.deliver_due(clock=timezone.now, until=timezone.now() + timedelta(seconds=10))


@shared_task
def trickle() -> None:
    """Let a few more events of the simulated month arrive."""
    demo.trickle(now=timezone.now())
