"""What has had its time is dropped: whole days of events, counts by the minute, logins, scans, deliveries."""

import logging
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Max

from anomalies.models import Anomaly, Authorization, Batch, BulkReview, Outlook, Retention
from anomalies.services import partitions

logger = logging.getLogger(__name__)

UNCOUNTED = "events of it wait to be counted"
UNCONFIRMED = timedelta(days=7)  # for which a decision about many waits to be confirmed
IN_USE = "somebody was reading or writing events for too long"

# From files older than what is kept: these have their time from when they were read.
_OLD_OF_DEFAULT = f"""
DELETE FROM {partitions.DEFAULT} WHERE time < %(before)s
  AND batch_id IN (SELECT id FROM anomalies_batch WHERE received_at < %(before)s AND counted_at IS NOT NULL)
"""  # noqa: S608  a name of our own

_LEFT_OF_DEFAULT = f"""
SELECT (time AT TIME ZONE 'UTC')::date, bool_or(counted_at IS NULL), max(received_at)
FROM {partitions.DEFAULT} e JOIN anomalies_batch b ON b.id = e.batch_id
WHERE time < %(before)s GROUP BY 1
"""  # noqa: S608  a name of our own

# Held against the newest event of each series, too: logs of long ago keep their minutes for whoever replays them.
_COUNTS = """
DELETE FROM anomalies_bucketblock b USING anomalies_series s
WHERE b.series_id = s.id AND b.resolution_seconds = %(width)s
  AND b.start < least(%(now)s, s.last_time) - make_interval(days => %(days)s)
"""

# Of each user and country the first login stays for good: who used which countries since when is asked of all time.
# Held against the newest event of each user, too, as counts are.
_SIGHTINGS = """
DELETE FROM anomalies_sighting s USING anomalies_principal p
WHERE p.public_id = s.principal_id
  AND s.day < (least(%(now)s, p.last_seen) AT TIME ZONE 'UTC')::date - %(days)s
  AND (NOT s.succeeded OR EXISTS (
      SELECT FROM anomalies_sighting f
      WHERE f.principal_id = s.principal_id AND f.country = s.country AND f.succeeded
        AND (f.first_seen, f.id) < (s.first_seen, s.id)))
"""

# Those that anomalies name stay, and the newest that was finished: it says how fresh all is.
_SCANS = """
SELECT id FROM anomalies_scan s
WHERE started_at < %(before)s AND id < (SELECT max(id) FROM anomalies_scan WHERE finished_at IS NOT NULL)
  AND NOT EXISTS (SELECT FROM anomalies_anomaly a WHERE a.scan_id = s.id)
  AND NOT EXISTS (SELECT FROM anomalies_anomaly a WHERE a.last_scan_id = s.id)
"""
_SCANS_DROPPED = f"""
WITH old AS MATERIALIZED ({_SCANS}),
parts AS (DELETE FROM anomalies_scanshare WHERE scan_id IN (SELECT id FROM old))
DELETE FROM anomalies_scan WHERE id IN (SELECT id FROM old)
"""  # noqa: S608  of constants

# With the attempts of each. What waits stays, whatever its age; the cursor of a channel tells nothing twice.
_DELIVERIES = """
WITH old AS MATERIALIZED (SELECT id FROM anomalies_delivery WHERE finished_at < %(before)s),
tries AS (DELETE FROM anomalies_deliveryattempt WHERE delivery_id IN (SELECT id FROM old))
DELETE FROM anomalies_delivery WHERE id IN (SELECT id FROM old)
"""


def apply(*, now: datetime) -> Retention:
    """Drop what is older than the settings say, and return how much that was. A second call finds nothing more.

    What is to be kept longer is left to a later call; `kept_back` says which days those are, and why. Anomalies keep
    their figures.
    """
    kept = Retention(ran_at=now)
    if days := settings.ANOMALIES_EVENT_RETENTION_DAYS:
        kept.events_before = _midnight(now) - timedelta(days=days)
        _drop_events(kept, kept.events_before)
    if days := settings.ANOMALIES_MINUTE_RETENTION_DAYS:
        kept.minutes_before = now - timedelta(days=days)
        kept.minute_blocks_dropped = _deleted(_COUNTS, width=60, now=now, days=days)
    if days := settings.ANOMALIES_FIVE_MINUTE_RETENTION_DAYS:
        kept.five_minutes_before = now - timedelta(days=days)
        kept.five_minute_blocks_dropped = _deleted(_COUNTS, width=300, now=now, days=days)
    if days := settings.ANOMALIES_SIGHTING_RETENTION_DAYS:
        kept.sightings_before = _midnight(now) - timedelta(days=days)
        kept.sightings_dropped = _deleted(_SIGHTINGS, now=now, days=days)
    if days := settings.ANOMALIES_SCAN_RETENTION_DAYS:
        kept.scans_before = now - timedelta(days=days)
        kept.scans_dropped = _deleted(_SCANS_DROPPED, before=kept.scans_before)
    if days := settings.ANOMALIES_DELIVERY_RETENTION_DAYS:
        kept.deliveries_before = now - timedelta(days=days)
        kept.deliveries_dropped = _deleted(_DELIVERIES, before=kept.deliveries_before)
    # Made again whenever they are missing: nothing is lost that is worth telling.
    Outlook.objects.filter(day__lt=(now - timedelta(days=2)).date()).delete()
    # Shown, and never confirmed: each holds the numbers of up to 100,000 anomalies, and nothing was done by it.
    BulkReview.objects.filter(done_at=None, created_at__lt=now - UNCONFIRMED).delete()
    # Never fetched, and over: each lost answer to a client that asks again leaves one.
    Authorization.objects.filter(grant=None, expires_at__lt=now - UNCONFIRMED).delete()
    kept.save()
    logger.info(
        "retention: dropped %s events of %s days, %s blocks of minutes, %s of 5 minutes, %s sightings, %s scans, "
        "%s deliveries",
        kept.events_dropped,
        kept.days_dropped,
        kept.minute_blocks_dropped,
        kept.five_minute_blocks_dropped,
        kept.sightings_dropped,
        kept.scans_dropped,
        kept.deliveries_dropped,
    )
    for run in kept.kept_back:
        logger.info("retention: kept back %s", said(run))
    return kept


def dropped_at(anomaly: Anomaly) -> datetime | None:
    """Return when retention dropped events behind an anomaly, or None if it did not."""
    dropped = Retention.objects.filter(events_before__gt=anomaly.started_at, events_dropped__gt=0)
    return dropped.order_by("events_before", "id").values_list("ran_at", flat=True).first()


def said(run: dict[str, Any]) -> str:
    """Return `2025-10-01 to 2025-10-03: events of it wait to be counted` of days that were kept back."""
    days = run["first"] if run["first"] == run["last"] else f"{run['first']} to {run['last']}"
    return f"{days}: {run['why']}"


def _drop_events(kept: Retention, before: datetime) -> None:
    old = [day for day in partitions.days() if day < before.date()]
    back = [(day, why) for day in old if (why := _drop(day, kept, before))]
    kept.events_dropped += _deleted(_OLD_OF_DEFAULT, before=before)
    with connection.cursor() as cursor:
        cursor.execute(_LEFT_OF_DEFAULT, {"before": before})
        back += [(day, UNCOUNTED if uncounted else _until(received)) for day, uncounted, received in cursor]
    kept.days_in_use = sum(why == IN_USE for _, why in back)
    for why, days in groupby(sorted(back), key=lambda one: one[1]):
        some = [day for day, _ in days]
        kept.kept_back.append({"first": str(some[0]), "last": str(some[-1]), "days": len(some), "why": why})


def _drop(day: date, kept: Retention, before: datetime) -> str:
    """Drop a day, or return why it is kept."""
    if why := _needed(day, before):
        return why
    events = partitions.drop(day, unless=lambda: _needed(day, before) != "")
    if events is None:
        return _needed(day, before) or IN_USE
    kept.days_dropped += 1
    kept.events_dropped += events
    return ""


def _needed(day: date, before: datetime) -> str:
    """Return why a day's events are to be kept: some wait to be counted, or were read too lately."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    of_the_day = Batch.objects.filter(first_time__lt=start + timedelta(days=1), last_time__gte=start, accepted__gt=0)
    if of_the_day.filter(counted_at=None).exists():
        return UNCOUNTED
    lately = of_the_day.filter(received_at__gte=before).aggregate(last=Max("received_at"))["last"]
    return _until(lately) if lately else ""


def _until(received_at: datetime) -> str:
    """Say until when events are kept that were read late."""
    until = received_at.date() + timedelta(days=settings.ANOMALIES_EVENT_RETENTION_DAYS + 1)
    return f"read as late as on {received_at:%Y-%m-%d}, so kept until {until}"


def _deleted(statement: str, **parameters: datetime | int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def _midnight(time: datetime) -> datetime:
    return time.replace(hour=0, minute=0, second=0, microsecond=0)
