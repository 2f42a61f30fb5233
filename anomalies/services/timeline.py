"""What detection did to an anomaly, on its timeline."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from anomalies.models import Anomaly, ReviewEntry
from anomalies.services.actor import Actor

DETECTION = Actor(name="detection")  # of what no person did


def record(
    anomaly: Anomaly,
    action: ReviewEntry.Action,
    at: datetime,
    *,
    note: str,
    from_status: str = "",
    to_status: str = "",
    changes: Mapping[str, Any] | None = None,
) -> ReviewEntry:
    return ReviewEntry.objects.create(
        anomaly=anomaly,
        action=action,
        at=at,
        actor=DETECTION.name,
        note=note,
        from_status=from_status,
        to_status=to_status,
        changes=changes or {},
    )
