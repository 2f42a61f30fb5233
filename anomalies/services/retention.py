"""What has had its time is dropped: whole days of events, and counts by the minute."""

import logging
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Q

from anomalies.models import Anomaly, Batch, Retention
from anomalies.services import partitions

logger = logging.getLogger(__name__)

# From files older than what is kept: these have their time from when they were read.
_OLD_OF_DEFAULT = f"""
DELETE FROM {partitions.DEFAULT} WHERE time < %(before)s
  AND batch_id IN (SELECT id FROM anomalies_batch WHERE received_at < %(before)s)
"""  # noqa: S608  a name of our own

# Held against the newest event of each series, too: logs of long ago keep their minutes for whoever replays them.
_MINUTES = """
DELETE FROM anomalies_bucketblock b USING anomalies_series s
WHERE b.series_id = s.id AND b.resolution_seconds = 60
  AND b.start < least(%(now)s, s.last_time) - make_interval(days => %(days)s)
"""


def apply(*, now: datetime) -> Retention:
    """Drop what is older than the settings say, and return how much that was. A second call finds nothing more.

    A day that somebody is reading for long is left to the next call, and counted. Anomalies keep their figures.
    """
    kept = Retention(ran_at=now)
    if settings.ANOMALIES_EVENT_RETENTION_DAYS:
        kept.events_before = _midnight(now) - timedelta(days=settings.ANOMALIES_EVENT_RETENTION_DAYS)
        for day in partitions.days():
            if day < kept.events_before.date():
                _drop(day, kept, kept.events_before)
        kept.events_dropped += _deleted(_OLD_OF_DEFAULT, before=kept.events_before)
    if settings.ANOMALIES_MINUTE_RETENTION_DAYS:
        kept.minutes_before = now - timedelta(days=settings.ANOMALIES_MINUTE_RETENTION_DAYS)
        kept.minute_blocks_dropped = _deleted(_MINUTES, now=now, days=settings.ANOMALIES_MINUTE_RETENTION_DAYS)
    kept.save()
    logger.info(
        "retention: %s events of %s days dropped, %s days in use, %s blocks of minutes dropped",
        kept.events_dropped,
        kept.days_dropped,
        kept.days_in_use,
        kept.minute_blocks_dropped,
    )
    return kept


def dropped_at(anomaly: Anomaly) -> datetime | None:
    """Return when retention dropped events behind an anomaly, or None if it did not."""
    dropped = Retention.objects.filter(events_before__gt=anomaly.started_at, events_dropped__gt=0)
    return dropped.order_by("events_before", "id").values_list("ran_at", flat=True).first()


def _drop(day: date, kept: Retention, before: datetime) -> None:
    """Drop a day, unless events of it still wait to be counted, or were read too lately to have had their time."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    of_the_day = Batch.objects.filter(first_time__lt=start + timedelta(days=1), last_time__gte=start, accepted__gt=0)
    if of_the_day.filter(Q(counted_at=None) | Q(received_at__gte=before)).exists():
        return
    events = partitions.drop(day)
    if events is None:
        kept.days_in_use += 1
    else:
        kept.days_dropped += 1
        kept.events_dropped += events


def _deleted(statement: str, **parameters: datetime | int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def _midnight(time: datetime) -> datetime:
    return time.replace(hour=0, minute=0, second=0, microsecond=0)
