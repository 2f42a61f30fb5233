"""What the clock starts."""

from celery import shared_task
from django.utils import timezone

from anomalies.models import Scan
from anomalies.services import demo, scans


@shared_task
def scan() -> None:
    """Count what arrived and look for anomalies; another scan under way makes it a no-op."""
    scans.run_if_idle(now=timezone.now(), trigger=Scan.Trigger.SCHEDULE)


@shared_task
def trickle() -> None:
    """Let a few more events of the simulated month arrive."""
    demo.trickle(now=timezone.now())
