"""The anomalies of access requests: the same ones however their events come and scans fall."""

import random
from datetime import timedelta
from typing import Any

import pytest

from anomalies.ingest.record import EventRecord
from anomalies.models import Anomaly
from anomalies.services import evidence, recompute, scans
from tests.services.access_requests import APPROVED, HOUR, REJECTED, life, told, unit
from tests.services.days import MONDAY, forget, record, run, store

pytestmark = [pytest.mark.django_db, pytest.mark.once]

TODAY = MONDAY + timedelta(days=120)
END = TODAY + timedelta(days=2)
TYPES = {"request_high_risk_access", "approved_after_rejected", "inactive_user", "access_automation"}


def _events() -> list[EventRecord]:
    """A usual user, and one of each type, two of them by the same user at the same time."""
    risky = [unit("prod-exports", "admin")]
    return [
        *life("usual", MONDAY + timedelta(days=60), who="ben"),
        *life("usual-2", TODAY, who="ben"),
        told("created", MONDAY, "old", who="cleo"),
        *life("back", TODAY + HOUR, who="cleo", units=[unit("wiki")]),
        told("created", TODAY - timedelta(days=30), "no", who="dora"),
        told("rejected", TODAY - timedelta(days=30) + HOUR, "no", who="dora", approvals=[REJECTED]),
        told("created", TODAY + 2 * HOUR, "yes", who="dora", units=[unit("orders", "write")]),
        told("approved", TODAY + 3 * HOUR, "yes", who="dora", units=[unit("orders", "write")], approvals=[APPROVED]),
        told("created", TODAY + 4 * HOUR, "risk", who="emil", units=risky),
        told("created", TODAY + 4 * HOUR, "risk-2", who="emil", units=risky),
        *(
            told("created", TODAY + 5 * HOUR + n * timedelta(minutes=7), f"bot-{n}", who="bot", units=[unit(f"t{n}")])
            for n in range(9)
        ),
    ]


def _anomalies() -> list[Any]:
    return list(
        Anomaly.objects.order_by("type", "topic").values_list(
            "type", "entity", "topic", "severity", "score", "started_at", "active_until", "state", "description",
            "integration", "resource", "resource_type", "evidence",
        )
    )  # fmt: skip


def _replayed() -> list[Any]:
    forget("event", "batch", "series", "anomaly", "accessrequest")
    store(_events())
    scans.replay(now=END)
    return _anomalies()


def test_each_type_is_found_once_for_each_cause() -> None:
    _replayed()
    found = Anomaly.objects.filter(type__in=TYPES).order_by("started_at", "topic").values_list("type", "entity")
    assert list(found) == [
        ("inactive_user", "cleo"),
        ("approved_after_rejected", "dora"),
        ("request_high_risk_access", "emil"),
        ("request_high_risk_access", "emil"),
        ("access_automation", "bot"),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_scans_as_events_come_late_and_in_any_order_find_what_a_replay_finds(seed: int) -> None:
    whole = _replayed()
    forget("event", "batch", "series", "anomaly", "accessrequest")
    rng = random.Random(seed)
    come = sorted(
        (event.time + timedelta(hours=rng.choice([0, 0, 0.2, 3, 20])), n, event) for n, event in enumerate(_events())
    )
    for at, _, event in come:
        store([event])
        if rng.random() < 0.7:
            run(at + timedelta(seconds=1))
    run(END)
    assert [row for row in _anomalies() if row[7] != "withdrawn"] == whole


def test_ids_of_anomalies_stay_when_a_request_comes_late() -> None:
    events = _events()
    late = next(event for event in events if event.request_id == "risk" and event.action.endswith("created"))
    store([event for event in events if event is not late])
    run(END - timedelta(hours=40))
    before = set(Anomaly.objects.values_list("type", "topic", "public_id"))
    store([late])
    run(END - timedelta(hours=39))
    after = set(Anomaly.objects.values_list("type", "topic", "public_id"))
    assert after >= before
    assert "risk" in {topic for _, topic, _ in after - before}


def test_the_events_behind_are_those_of_requests() -> None:
    store([*_events(), *(record(TODAY + 5 * HOUR + n * timedelta(minutes=1), n, principal_id="bot") for n in range(9))])
    scans.replay(now=END)
    anomaly = Anomaly.objects.get(type="access_automation")
    assert {event.action for event in evidence.events_behind(anomaly)} == {"access_request.created"}


def test_recomputing_gives_the_same_figures() -> None:
    _replayed()
    for anomaly in Anomaly.objects.filter(type__in=TYPES):
        assert recompute.recompute(anomaly).differences == [], anomaly.type


def test_nothing_later_than_the_scan_is_known() -> None:
    store(_events())
    run(TODAY + 2.5 * HOUR)  # before the approval
    assert not Anomaly.objects.filter(type="approved_after_rejected").exists()
