"""services/demo: a month to look at, and what keeps coming."""

from datetime import timedelta

import pytest

from anomalies.models import Agent, Anomaly, Batch, Event, Scan, Source
from anomalies.services import demo, scans
from tests import make

pytestmark = [pytest.mark.django_db, pytest.mark.once]

NOW, MINUTE, HOUR = make.NOW, timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three days instead of thirty, decided about up to yesterday."""
    monkeypatch.setattr(demo, "DAYS", 3)
    monkeypatch.setattr(demo, "UNDECIDED", timedelta(days=1))


def _ids() -> set[str]:
    return set(Event.objects.values_list("external_id", flat=True))


def test_a_database_without_events_is_empty() -> None:
    assert demo.is_empty()
    make.event()
    assert not demo.is_empty()


def test_fill_stores_scans_and_decides_about_what_is_older(short: None) -> None:
    steps: dict[str, tuple[int, int]] = {}
    demo.fill(now=NOW, progress=lambda step, done, total: steps.update({step: (done, total)}))
    assert not demo.is_empty()
    assert steps["Storing a simulated month, day"] == (3, 3)
    assert Scan.objects.get().trigger == "replay"
    agent = Agent.objects.get(public_id="ag_billing")
    assert agent.name == "Billing"
    assert Agent.objects.get(public_id="ag_sso").name == "SSO"
    assert agent.time_zone != "UTC"
    decided = Anomaly.objects.exclude(status="open")
    assert decided.exists()
    assert not decided.filter(detected_at__gte=NOW - timedelta(days=1)).exists()
    assert not decided.filter(acknowledged_at__gt=NOW).exists()
    assert set(decided.values_list("acknowledged_by", flat=True)) <= set(demo.REVIEWERS)
    assert decided.filter(status="resolved", verdict="true_positive").exists()
    assert Anomaly.objects.needs_review().filter(detected_at__gte=NOW - timedelta(days=1)).exists()


def test_a_trickle_continues_the_month_without_gap_or_overlap(short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "replay", lambda **_: None)
    demo.fill(now=NOW)
    for minutes in (1, 5, 20):
        demo.trickle(now=NOW + minutes * MINUTE)
    start, organisation = NOW - timedelta(days=3), demo._organisation(NOW)
    whole = [*organisation.before(start, NOW), *organisation.events(start, NOW + 20 * MINUTE)]
    assert _ids() == {event.external_id for event in whole}
    assert Batch.objects.filter(duplicate__gt=0).count() == 0


def test_a_trickle_run_twice_adds_nothing(short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "replay", lambda **_: None)
    demo.fill(now=NOW)
    demo.trickle(now=NOW + 10 * MINUTE)
    before = _ids()
    demo.trickle(now=NOW + 10 * MINUTE)
    assert _ids() == before


def test_after_a_long_sleep_only_the_last_hour_is_made_up(short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "replay", lambda **_: None)
    demo.fill(now=NOW)
    demo.trickle(now=NOW + 12 * HOUR)
    later = Event.objects.filter(time__gte=NOW)
    assert later.exists()
    assert not later.filter(time__lt=NOW + 11 * HOUR).exists()


def test_a_trickle_into_a_database_that_was_not_filled_does_nothing() -> None:
    demo.trickle(now=NOW)
    assert not Source.objects.exists()
