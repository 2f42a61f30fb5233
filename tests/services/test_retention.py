"""services/retention: what is older than the settings say is gone, and what was dropped is told."""

from datetime import timedelta

import pytest
from pytest_django import Settings

from anomalies.models import Anomaly, BucketBlock, Event, Retention
from anomalies.services import events, partitions, retention
from anomalies.tasks import apply_retention
from tests import make
from tests.make import NOW
from tests.services.days import record, run

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _usual_days(settings: Settings) -> None:
    settings.ANOMALIES_EVENT_RETENTION_DAYS, settings.ANOMALIES_MINUTE_RETENTION_DAYS = 400, 14


def test_days_are_dropped_once_all_of_them_is_too_old() -> None:
    edge = NOW.replace(hour=0) - 400 * DAY
    for time in (edge - 2 * DAY, edge - timedelta(seconds=1), edge, NOW):
        events.store([record(time)], source_name="test", format="native", received_at=time)
    run(NOW)
    done = retention.apply(now=NOW)
    assert (done.events_before, done.days_dropped, done.events_dropped) == (edge, 2, 2)
    assert list(Event.objects.order_by("time").values_list("time", flat=True)) == [edge, NOW]
    again = retention.apply(now=NOW)
    assert (again.days_dropped, again.events_dropped, again.minute_blocks_dropped) == (0, 0, 0)


def test_a_day_whose_events_wait_to_be_counted_or_were_read_lately_is_left() -> None:
    old = NOW - 450 * DAY
    events.store([record(old)], source_name="test", format="native", received_at=old)
    assert retention.apply(now=NOW).days_dropped == 0
    run(NOW)
    events.store([record(old)], source_name="late", format="native", received_at=old + 100 * DAY)
    run(NOW)
    assert retention.apply(now=NOW).days_dropped == 0
    assert retention.apply(now=NOW + 52 * DAY).days_dropped == 1


def test_what_was_old_when_a_file_was_read_has_its_time_from_then() -> None:
    given = [record(NOW - 3000 * DAY)]
    list(events.store_in_batches(given, source_name="test", format="native", received_at=NOW))
    assert retention.apply(now=NOW + 399 * DAY).events_dropped == 0
    assert retention.apply(now=NOW + 402 * DAY).events_dropped == 1


def test_nothing_is_dropped_where_all_is_kept(settings: Settings) -> None:
    settings.ANOMALIES_EVENT_RETENTION_DAYS = settings.ANOMALIES_MINUTE_RETENTION_DAYS = 0
    make.event(time=NOW - 5000 * DAY)
    assert retention.apply(now=NOW).events_before is None
    assert Event.objects.count() == 1


def test_counts_by_the_minute_go_first_and_hours_stay() -> None:
    given = [record(NOW - 15 * DAY), record(NOW - 13 * DAY), record(NOW)]
    events.store(given, source_name="test", format="native", received_at=NOW)
    run(NOW)
    hours = BucketBlock.objects.filter(resolution_seconds=3600).count()
    minutes = BucketBlock.objects.filter(resolution_seconds=60)
    dropped = retention.apply(now=NOW).minute_blocks_dropped
    assert dropped > 0
    assert minutes.filter(start__lt=NOW - 14 * DAY).count() == 0
    assert minutes.filter(start__gte=NOW - 14 * DAY).exists()
    assert BucketBlock.objects.filter(resolution_seconds=3600).count() == hours


def test_minutes_of_a_log_of_long_ago_stay_for_its_replays() -> None:
    given = [record(NOW - 2000 * DAY + n * DAY) for n in range(3)]
    list(events.store_in_batches(given, source_name="test", format="native", received_at=NOW))
    run(NOW)
    assert retention.apply(now=NOW).minute_blocks_dropped == 0


def test_an_anomaly_keeps_its_figures_and_tells_when_its_events_went() -> None:
    events.store([record(NOW - 399 * DAY)], source_name="t", format="native", received_at=NOW - 399 * DAY)
    make.event(time=NOW)
    run(NOW)
    old = make.anomaly(started_at=NOW - 500 * DAY, active_until=NOW - 499 * DAY)
    assert retention.dropped_at(old) is None
    retention.apply(now=NOW + 10 * DAY)
    assert retention.dropped_at(old) == NOW + 10 * DAY
    assert retention.dropped_at(make.anomaly(started_at=NOW)) is None
    assert Anomaly.objects.get(pk=old.pk).evidence == old.evidence


def test_the_task_says_what_it_did() -> None:
    apply_retention()
    assert Retention.objects.get().events_dropped == 0
    assert partitions.days() == []
