"""services/findings: what had ended long before it could be seen is kept for review, and told to nobody."""

from datetime import datetime, timedelta

import pytest
from django.db.models import F

from anomalies.models import Anomaly, DetectorSettings, Grant, OutboxMessage, ResponsePolicy, Scan, Series
from anomalies.services import access
from anomalies.services.actor import Actor
from tests import make
from tests.services.days import MONDAY, burst, run, store, usual

pytestmark = pytest.mark.django_db

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
NOW = MONDAY + 20 * DAY


def _spikes_at(*starts: datetime) -> None:
    store([*usual(20), *(one for start in starts for one in burst(start, 300))])


def _upgraded(now: datetime) -> Scan:
    """Scan as of then with a detector that is new, after all that was counted is judged anew."""
    DetectorSettings.objects.update_or_create(type="rate_spike", defaults={"enabled": False})
    run(now)
    DetectorSettings.objects.update(enabled=True)
    Series.objects.update(judged_until=None, dirty_from=F("first_time"))
    return run(now + MINUTE)


def _told() -> list[str]:
    told = OutboxMessage.objects.filter(anomaly__type="rate_spike").order_by("id")
    return [message.type for message in told]


def test_what_a_new_detector_finds_of_long_ago_is_dated_by_then_and_told_to_nobody() -> None:
    start = MONDAY + 12 * DAY + 10 * HOUR
    _spikes_at(start)
    scan = _upgraded(NOW)
    spike = Anomaly.objects.get(type="rate_spike")
    assert start < spike.detected_at <= start + 5 * MINUTE
    assert (spike.state, spike.status, spike.of_the_past) == ("closed", "open", True)
    assert (scan.anomalies_raised, scan.anomalies_of_the_past) == (1, 1)
    assert _told() == []
    entries = spike.review_entries.order_by("id").values_list("action", "note")
    assert entries[0] == ("detected", "medium; it had ended long before it could be seen, and nobody was told")
    assert max(spike.review_entries.values_list("at", flat=True)) < start + HOUR


def test_what_it_finds_of_the_last_two_days_is_told_as_always() -> None:
    _spikes_at(NOW - 47 * HOUR)
    scan = _upgraded(NOW)
    assert Anomaly.objects.get(type="rate_spike").detected_at == NOW + MINUTE
    assert (scan.anomalies_raised, scan.anomalies_of_the_past) == (1, 0)
    assert _told() == ["anomaly.detected", "anomaly.closed"]


def test_what_happened_while_nothing_was_scanned_is_told_however_long_that_was() -> None:
    store(usual(12))
    run(MONDAY + 12 * DAY)
    store(burst(MONDAY + 13 * DAY, 300))
    run(NOW)
    assert Anomaly.objects.get(type="rate_spike").detected_at == NOW
    assert _told() == ["anomaly.detected", "anomaly.closed"]


def test_of_a_log_that_is_read_in_first_its_last_two_days_are_told() -> None:
    _spikes_at(MONDAY + 12 * DAY, NOW - HOUR)
    run(NOW)
    old, new = Anomaly.objects.filter(type="rate_spike").order_by("started_at")
    assert (old.of_the_past, new.of_the_past) == (True, False)
    assert {message.anomaly for message in OutboxMessage.objects.all()} == {new}


def test_what_goes_on_is_told_after_all(spike: Anomaly) -> None:
    OutboxMessage.objects.all().delete()
    Anomaly.objects.update(of_the_past=True)
    store(burst(spike.active_until + 2 * MINUTE, 200))
    run(spike.detected_at + 5 * MINUTE)
    assert not Anomaly.objects.get(pk=spike.pk).of_the_past
    assert _told() == ["anomaly.detected"]


def test_no_grant_is_revoked_for_what_was_over_long_ago() -> None:
    access.set_response_mode(ResponsePolicy.Mode.REVOKE_AGENT_GRANTS, by=Actor(name="zed"), at=MONDAY)
    make.grant()
    _spikes_at(MONDAY + 12 * DAY)
    assert _upgraded(NOW).grants_revoked == 0
    assert Grant.objects.get().status == Grant.Status.ACTIVE
