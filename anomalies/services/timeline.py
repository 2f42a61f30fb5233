"""What detection did to an anomaly, on its timeline."""

from datetime import datetime

from anomalies.models import Anomaly, ReviewEntry
from anomalies.services.actor import Actor

DETECTION = Actor(name="detection")  # of what no person did


def record(
    anomaly: Anomaly, action: ReviewEntry.Action, at: datetime, *, note: str, from_status: str = "", to_status: str = ""
) -> None:
    ReviewEntry.objects.create(
        anomaly=anomaly,
        action=action,
        at=at,
        actor=DETECTION.name,
        note=note,
        from_status=from_status,
        to_status=to_status,
    )
