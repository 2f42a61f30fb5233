"""services/retention: what is older than the settings say is gone, and what was dropped is told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from pytest_django import Settings

from anomalies.ingest.record import EventRecord
from anomalies.models import (
    Anomaly,
    Authorization,
    BucketBlock,
    BulkReview,
    Event,
    Retention,
    Scan,
    ScanShare,
    Sighting,
)
from anomalies.services import bulk, counts, events, issuing, logins, partitions, retention
from anomalies.services.actor import Actor
from anomalies.tasks import apply_retention
from tests import make
from tests.make import NOW
from tests.services.days import record, run

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _usual_days(settings: Settings) -> None:
    settings.ANOMALIES_EVENT_RETENTION_DAYS, settings.ANOMALIES_MINUTE_RETENTION_DAYS = 400, 14
    settings.ANOMALIES_FIVE_MINUTE_RETENTION_DAYS, settings.ANOMALIES_SIGHTING_RETENTION_DAYS = 90, 400
    settings.ANOMALIES_SCAN_RETENTION_DAYS = 30


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


def test_a_day_whose_events_wait_to_be_counted_or_were_read_lately_is_left_and_named_with_the_reason() -> None:
    old = NOW - 450 * DAY
    events.store([record(old), record(old + DAY)], source_name="test", format="native", received_at=old)
    done = retention.apply(now=NOW)
    assert done.days_dropped == 0
    assert done.kept_back == [
        {"first": "2025-08-27", "last": "2025-08-28", "days": 2, "why": "events of it wait to be counted"}
    ]
    run(NOW)
    events.store([record(old)], source_name="late", format="native", received_at=old + 100 * DAY)
    run(NOW)
    done = retention.apply(now=NOW)
    assert (done.days_dropped, done.days_in_use) == (1, 0)
    why = "read as late as on 2025-12-05, so kept until 2027-01-10"
    assert done.kept_back == [{"first": "2025-08-27", "last": "2025-08-27", "days": 1, "why": why}]
    assert retention.said(done.kept_back[0]) == f"2025-08-27: {why}"
    until = datetime(2027, 1, 10, 3, 40, tzinfo=UTC)
    assert retention.apply(now=until - DAY).days_dropped == 0
    done = retention.apply(now=until)
    assert (done.days_dropped, done.kept_back) == (1, [])


@pytest.mark.usefixtures("no_days")
@pytest.mark.django_db(transaction=True)
def test_a_day_that_somebody_is_reading_is_named(at_once: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "LOCK_TIMEOUT", "100ms")
    old = NOW - 401 * DAY
    events.store([record(old)], source_name="test", format="native", received_at=old)
    run(NOW)
    with transaction.atomic():
        assert Event.objects.count() == 1
        at_once([lambda: retention.apply(now=NOW)])
    done = Retention.objects.get()
    assert (done.days_dropped, done.days_in_use) == (0, 1)
    assert [one["why"] for one in done.kept_back] == ["somebody was reading or writing events for too long"]


def test_events_that_come_before_their_day_is_dropped_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    old = NOW - 401 * DAY
    events.store([record(old)], source_name="test", format="native", received_at=old)
    run(NOW)
    drop = partitions.drop

    def after_another_came(*args: Any, **kwargs: Any) -> int | None:
        events.store([record(old, 1)], source_name="late", format="native", received_at=NOW)
        return drop(*args, **kwargs)

    monkeypatch.setattr(partitions, "drop", after_another_came)
    done = retention.apply(now=NOW)
    assert Event.objects.count() == 2
    assert [one["why"] for one in done.kept_back] == ["events of it wait to be counted"]


def test_what_was_old_when_a_file_was_read_has_its_time_from_then() -> None:
    given = [record(NOW - 3000 * DAY)]
    list(events.store_in_batches(given, source_name="test", format="native", received_at=NOW))
    assert retention.apply(now=NOW + 399 * DAY).kept_back[0]["why"] == "events of it wait to be counted"
    run(NOW)
    done = retention.apply(now=NOW + 399 * DAY)
    assert done.events_dropped == 0
    assert done.kept_back[0]["why"] == "read as late as on 2026-11-20, so kept until 2027-12-26"
    done = retention.apply(now=NOW + 402 * DAY)
    assert (done.events_dropped, done.kept_back) == (1, [])


def test_nothing_is_dropped_where_all_is_kept(settings: Settings) -> None:
    settings.ANOMALIES_EVENT_RETENTION_DAYS = settings.ANOMALIES_MINUTE_RETENTION_DAYS = 0
    settings.ANOMALIES_FIVE_MINUTE_RETENTION_DAYS = settings.ANOMALIES_SIGHTING_RETENTION_DAYS = 0
    settings.ANOMALIES_SCAN_RETENTION_DAYS = 0
    make.event(time=NOW - 5000 * DAY)
    for days in (5000, 0):
        make.scan(started_at=NOW - days * DAY)
    done = retention.apply(now=NOW)
    assert (done.events_before, done.five_minutes_before, done.sightings_before, done.scans_before) == (None,) * 4
    assert Event.objects.count() == 1
    assert Scan.objects.count() == 2


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


def test_counts_by_five_minutes_go_before_hours() -> None:
    given = [record(NOW - 92 * DAY), record(NOW - 88 * DAY), record(NOW)]
    events.store(given, source_name="test", format="native", received_at=NOW)
    run(NOW)
    hours = BucketBlock.objects.filter(resolution_seconds=3600).count()
    fives = BucketBlock.objects.filter(resolution_seconds=300)
    before = fives.count()
    done = retention.apply(now=NOW)
    assert done.five_minutes_before == NOW - 90 * DAY
    assert done.five_minute_blocks_dropped == before - fives.count() > 0
    assert not fives.filter(start__lt=NOW - 90 * DAY).exists()
    assert fives.filter(start__gte=NOW - 90 * DAY).exists()
    assert BucketBlock.objects.filter(resolution_seconds=3600).count() == hours
    assert retention.apply(now=NOW).five_minute_blocks_dropped == 0


def _login(days_ago: int, country: str = "ES", **fields: Any) -> EventRecord:
    values = {"principal_id": "ana", "action": "user.login", "ip": "192.0.2.1", "country": country, **fields}
    return record(NOW - days_ago * DAY, **values)


def _signed_in(*given: EventRecord) -> None:
    list(events.store_in_batches(given, source_name="test", format="native", received_at=NOW))
    while counts.count_some().batches:
        pass


def test_old_sightings_go_but_for_the_first_of_each_user_and_country() -> None:
    old = [
        _login(500), _login(499), _login(498, ip="192.0.2.9"), _login(497, "DE"), _login(496, "DE"), _login(495, "FR"),
        _login(600, "VN", status="failure"), _login(490, principal_id="ben"),
    ]  # fmt: skip
    recent = [_login(399, "DE"), _login(398, status="failure"), _login(0), _login(0, principal_id="ben")]
    _signed_in(*old, *recent)
    judged = {"ana": NOW - DAY / 2, "ben": NOW - DAY / 2}
    before = logins.facts(judged, until=NOW + DAY)
    done = retention.apply(now=NOW)
    assert (done.sightings_before, done.sightings_dropped) == (NOW.replace(hour=0) - 400 * DAY, 4)
    left = Sighting.objects.filter(day__lt=done.sightings_before).order_by("day").values_list("principal", "country")
    assert list(left) == [("ana", "ES"), ("ana", "DE"), ("ana", "FR"), ("ben", "ES")]
    assert logins.facts(judged, until=NOW + DAY) == before
    assert retention.apply(now=NOW).sightings_dropped == 0


def test_sightings_of_a_log_of_long_ago_stay_for_its_replays() -> None:
    _signed_in(*(_login(2000 - n) for n in range(3)))
    assert retention.apply(now=NOW).sightings_dropped == 0


def test_old_scans_go_but_for_those_that_anomalies_name_and_the_newest_that_was_finished() -> None:
    first, last, parted, died, newest = (make.scan(started_at=NOW - days * DAY) for days in (90, 80, 70, 60, 50))
    Scan.objects.filter(pk=died.pk).update(finished_at=None)
    ScanShare.objects.create(scan=parted, kind="agent", number=0)
    make.anomaly(scan=first, last_scan=last)
    begun = make.scan(started_at=NOW - 40 * DAY, finished_at=None)
    done = retention.apply(now=NOW)
    assert (done.scans_before, done.scans_dropped) == (NOW - 30 * DAY, 2)
    assert list(Scan.objects.order_by("id")) == [first, last, newest, begun]
    make.scan()
    assert retention.apply(now=NOW).scans_dropped == 2
    assert retention.apply(now=NOW).scans_dropped == 0


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


def test_a_decision_about_many_that_nobody_confirmed_is_forgotten_after_a_week(ana: User) -> None:
    by, anomaly = Actor("ana", ana), make.anomaly()
    given: dict[str, Any] = {"action": "acknowledge", "arguments": {}, "note": "", "anomaly_ids": [anomaly.pk]}
    _, late, done = (bulk.prepare(**given, by=by, at=NOW + age) for age in (-8 * DAY, -6 * DAY, -8 * DAY))
    bulk.carry_out(done, by=by, at=NOW - 8 * DAY)
    retention.apply(now=NOW)
    assert set(BulkReview.objects.all()) == {late, done}


def test_an_authorization_that_nobody_fetched_is_forgotten_after_a_week() -> None:
    make.agent()
    given: dict[str, Any] = {"agent_id": "ag_billing", "principal_id": "user_1", "scopes": ["read"], "life": DAY}
    by = Actor("ci")
    _, late, fetched = (issuing.authorize(**given, by=by, at=NOW + age) for age in (-8 * DAY, -6 * DAY, -8 * DAY))
    issuing.exchange(issuing.code_of(fetched), agent_id="ag_billing", by=by, at=NOW - 8 * DAY)
    retention.apply(now=NOW)
    assert set(Authorization.objects.all()) == {late, fetched}
