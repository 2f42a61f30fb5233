"""What one reviewer marks for themselves: it decides nothing. Only keys that read can find anomalies by who did."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import connection

from anomalies.models import Anomaly, Bookmark

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def add(anomaly: Anomaly, *, user: "User", at: datetime) -> Bookmark:
    """Mark an anomaly; one that is marked already stays so."""
    return Bookmark.objects.get_or_create(user=user, anomaly=anomaly, defaults={"created_at": at})[0]


def remove(anomaly: Anomaly, *, user: "User") -> bool:
    """Take the mark away, and say whether there was one."""
    return Bookmark.objects.filter(user=user, anomaly=anomaly).delete()[0] > 0


def marked(numbers: Iterable[int], *, by: int | None) -> set[int]:
    """Return which of these anomalies that user marked; both are told by their numbers."""
    with connection.cursor() as cursor:  # each page of the list asks: half a millisecond less than by the ORM
        cursor.execute(
            "SELECT anomaly_id FROM anomalies_bookmark WHERE user_id = %s AND anomaly_id = ANY(%s)", [by, list(numbers)]
        )
        return {number for (number,) in cursor.fetchall()}
