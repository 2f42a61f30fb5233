"""services/judging: who falls silent is looked at without a further event."""

from datetime import timedelta

import pytest

from anomalies.models import Anomaly
from anomalies.services import scans
from tests.services.days import MONDAY, forget, record, run, store, usual

pytestmark = [pytest.mark.django_db, pytest.mark.once]

SILENT_FROM = MONDAY + timedelta(days=20, hours=10)
HOUR = timedelta(hours=1)


@pytest.fixture
def silent() -> None:
    """An agent of 30 requests an hour stops; it was looked at while it still acted."""
    store([event for event in usual(21, per_hour=30) if event.time < SILENT_FROM])
    run(SILENT_FROM - timedelta(minutes=1))


@pytest.mark.usefixtures("silent")
def test_an_agent_that_stops_is_raised_as_a_drop_when_its_first_silent_hour_is_complete() -> None:
    run(SILENT_FROM + HOUR)
    assert not Anomaly.objects.exists()
    run(SILENT_FROM + HOUR + timedelta(minutes=3))
    drop = Anomaly.objects.get()
    assert (drop.type, drop.entity, drop.started_at) == ("rate_drop", "ag_billing", SILENT_FROM)
    assert drop.state == Anomaly.State.OPEN


@pytest.mark.usefixtures("silent")
def test_its_drop_closes_once_silence_is_its_level_and_is_the_one_that_a_replay_finds() -> None:
    for hour in range(1, 24 * 4, 3):
        run(SILENT_FROM + hour * HOUR + timedelta(minutes=3))
    facts = ("type", "started_at", "active_until", "state", "deviation", "severity", "description")
    live = Anomaly.objects.values(*facts).get()
    assert live["state"] == Anomaly.State.CLOSED
    assert live["active_until"] < SILENT_FROM + timedelta(days=3)
    forget("anomaly")
    scans.replay(now=SILENT_FROM + timedelta(days=5))
    assert Anomaly.objects.values(*facts).get() == live


@pytest.mark.usefixtures("silent")
def test_the_silent_are_looked_at_once_an_hour_and_for_days_only() -> None:
    assert [run(SILENT_FROM + timedelta(minutes=minute)).series_judged for minute in (3, 4, 30)] == [1, 0, 0]
    forget("anomaly")  # what is open is looked at by every scan
    days_later = [run(SILENT_FROM + timedelta(days=day)).series_judged for day in (3, 4, 5, 6)]
    assert days_later[-2:] == [0, 0]


def test_an_hour_that_was_under_way_is_looked_at_again_when_it_is_complete() -> None:
    short = SILENT_FROM + timedelta(minutes=1)
    store([*(event for event in usual(21, per_hour=60) if event.time < SILENT_FROM), record(short)])
    run(short + timedelta(minutes=1))
    store([record(SILENT_FROM + HOUR + timedelta(minutes=10, seconds=n), n) for n in range(50)])
    run(SILENT_FROM + HOUR + timedelta(minutes=12))
    assert Anomaly.objects.get(type="rate_drop").started_at == SILENT_FROM
