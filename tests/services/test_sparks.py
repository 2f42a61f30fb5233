"""services/sparks: 24 buckets around each anomaly, of all of them in one statement."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from anomalies.models import BucketBlock, Series
from anomalies.services.sparks import sparks
from tests import make

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
MIDNIGHT = make.NOW.replace(hour=0)


def counted(entity: str, day: datetime, at: dict[int, int], *, seconds: int = 3600, **fields: Any) -> None:
    """Counts of an entity in the buckets of those numbers of a day, or of an hour where they are minutes."""
    series, _ = Series.objects.get_or_create(
        entity=entity,
        **{"kind": "agent", "metric": "requests", **fields},
        defaults={"first_time": day, "last_time": day + DAY},
    )
    counts = [0] * {3600: 24, 300: 288, 60: 60}[seconds]
    for number, count in at.items():
        counts[number] = count
    BucketBlock.objects.create(series=series, resolution_seconds=seconds, start=day, counts=counts)


def test_it_ends_shortly_after_the_anomaly_and_marks_when_it_lasted() -> None:
    anomaly = make.anomaly(
        entity="ag_x", resolution_seconds=3600, started_at=make.NOW - timedelta(hours=2), active_until=make.NOW
    )
    counted("ag_x", MIDNIGHT, {0: 7, 10: 90, 11: 80, 14: 3, 15: 1000})
    counted("ag_x", MIDNIGHT - DAY, {15: 5, 14: 1000})
    spark = sparks([anomaly], now=make.NOW + DAY)[anomaly.pk]
    assert spark.start == make.NOW - timedelta(hours=21)
    assert spark.counts == (5, *[0] * 8, 7, *[0] * 9, 90, 80, 0, 0, 3)
    assert spark.anomalous == range(19, 21)
    assert (spark.unit, spark.seconds) == ("requests", 3600)


def test_what_goes_on_ends_now() -> None:
    anomaly = make.anomaly(entity="ag_x", resolution_seconds=300)
    counted("ag_x", MIDNIGHT, {143: 412, 142: 30}, seconds=300)
    spark = sparks([anomaly], now=make.NOW)[anomaly.pk]
    assert spark.counts == (*[0] * 22, 30, 412)
    assert spark.anomalous == range(23, 24)


def test_days_are_sums_of_hours() -> None:
    anomaly = make.anomaly(entity="ag_x", resolution_seconds=86_400, started_at=MIDNIGHT - DAY, active_until=MIDNIGHT)
    counted("ag_x", MIDNIGHT - DAY, {1: 5, 23: 6})
    counted("ag_x", MIDNIGHT - 2 * DAY, {0: 2})
    spark = sparks([anomaly], now=make.NOW)[anomaly.pk]
    assert spark.counts[-3:] == (2, 11, 0)
    assert spark.anomalous == range(22, 23)


def test_each_has_the_series_of_its_own_type(django_assert_num_queries: Any) -> None:
    failing = make.anomaly(type="high_failure_rate", entity="ag_x", resolution_seconds=3600)
    busy = make.anomaly(type="off_hours_activity", entity="ag_x", resolution_seconds=3600)
    asking = make.anomaly(type="inactive_user", entity="ag_x", resolution_seconds=3600)
    unknown = make.anomaly(type="gone", entity="ag_x", resolution_seconds=3600)
    counted("ag_x", MIDNIGHT, {11: 4}, metric="failures")
    counted("ag_x", MIDNIGHT, {11: 9}, metric="requests")
    with django_assert_num_queries(1):
        found = sparks([failing, busy, asking, unknown], now=make.NOW)
    assert {number: spark.counts[-1] for number, spark in found.items()} == {failing.pk: 4, busy.pk: 9}


def test_what_is_not_stored_any_more_is_left_out() -> None:
    anomaly = make.anomaly(entity="ag_x", resolution_seconds=60)
    counted("ag_x", MIDNIGHT, {11: 4})
    assert sparks([anomaly], now=make.NOW) == {}
