"""What one person is told about on their desk: that something was assigned to them, or has come back."""

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet

from anomalies.models import Notice, ReviewEntry

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_WHO_SNOOZED = """
INSERT INTO anomalies_notice (user_id, entry_id)
SELECT s.user_id, woken.id FROM anomalies_reviewentry woken
JOIN LATERAL (
    SELECT e.user_id FROM anomalies_reviewentry e
    WHERE e.anomaly_id = woken.anomaly_id AND e.action = 'snoozed' AND e.id < woken.id
        AND NOT EXISTS (SELECT FROM anomalies_reviewentry u WHERE u.undoes_id = e.id)
    ORDER BY e.id DESC LIMIT 1
) s ON true
JOIN auth_user u ON u.id = s.user_id AND u.is_active
WHERE woken.id = ANY(%s) ORDER BY woken.id
"""


def tell(user: "User", entry_id: int) -> None:
    """Let somebody find an entry among their notices; of a bulk review its first entry stands for all."""
    Notice.objects.get_or_create(user=user, entry_id=entry_id)


def tell_who_snoozed(woken: Collection[int]) -> None:
    """Tell whoever snoozed an anomaly last of the entry that says that it came back."""
    with connection.cursor() as cursor:
        cursor.execute(_WHO_SNOOZED, [list(woken)])


def has_unseen(user: "User") -> bool:
    """Whether there may be any that they were not shown yet; each page asks, and hardly ever is there one."""
    return Notice.objects.filter(user=user, seen_at=None).exists()


def unseen(user: "User") -> QuerySet[Notice]:
    """Return what somebody was not shown yet and still holds, newest first, with the entries and their anomalies.

    An assignment holds as long as they have the anomaly; one of a bulk review, as long as they have any of its set.
    """
    has = Q(entry__anomaly__assignee=user) | Q(Exists(theirs(user).filter(bulk=OuterRef("entry__bulk"))))
    notices = Notice.objects.filter(~Q(entry__action=ReviewEntry.Action.ASSIGNED) | has, user=user, seen_at=None)
    return notices.select_related("entry__anomaly", "entry__bulk").order_by("-id")


def theirs(user: "User") -> QuerySet[ReviewEntry]:
    """Return what was done to the anomalies that somebody has."""
    return ReviewEntry.objects.filter(anomaly__assignee=user, undoes=None)


def see(user: "User", *, up_to: int, at: datetime) -> int:
    """Mark what somebody was shown as seen, up to the notice with that number, and return how many that are."""
    return Notice.objects.filter(user=user, seen_at=None, pk__lte=up_to).update(seen_at=at)
