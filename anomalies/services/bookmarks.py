"""What one reviewer marks for themselves: it decides nothing. Only keys that read can find anomalies by who did."""

from datetime import datetime
from typing import TYPE_CHECKING

from anomalies.models import Anomaly, Bookmark

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def add(anomaly: Anomaly, *, user: "User", at: datetime) -> Bookmark:
    """Mark an anomaly; one that is marked already stays so."""
    return Bookmark.objects.get_or_create(user=user, anomaly=anomaly, defaults={"created_at": at})[0]


def remove(anomaly: Anomaly, *, user: "User") -> bool:
    """Take the mark away, and say whether there was one."""
    return Bookmark.objects.filter(user=user, anomaly=anomaly).delete()[0] > 0
