"""services/glances: most entities are looked at by what came today alone, and nothing is missed by that."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from anomalies.ingest.simulated.organisation import Organisation
from anomalies.models import Agent, Anomaly, DetectorOverride, DetectorSettings, Metric, Outlook, Series
from anomalies.services import detectors, glances, histories, judging, retention, rules, scans
from anomalies.services.actor import Actor
from anomalies.services.timeline import DETECTION
from tests.services.days import MONDAY, burst, record, run, store, usual

pytestmark = [pytest.mark.django_db, pytest.mark.once]

TODAY = MONDAY + timedelta(days=20)
MORNING = TODAY + timedelta(hours=10)
_LOAD = histories.load


@pytest.fixture
def closely(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Entities that were looked at closely, in order."""
    seen: list[str] = []

    def load(kind: str, windows: Any, **options: Any) -> Any:
        seen.extend(window.entity for window in windows)
        return _LOAD(kind, windows, **options)

    monkeypatch.setattr(histories, "load", load)
    return seen


@pytest.fixture
def known(closely: list[str]) -> list[str]:
    """Four agents of 20 days, all looked at today."""
    store([event for number in range(4) for event in _usual(f"ag_{number}") if event.time < MORNING])
    run(MORNING)
    run(MORNING + timedelta(minutes=1))
    closely.clear()
    return closely


def _usual(agent: str) -> list[Any]:
    return [record(event.time, n, agent_id=agent) for n, event in enumerate(usual(21, per_hour=6))]


def _told() -> list[Any]:
    columns = ("type", "kind", "entity", "topic", "started_at", "active_until", "detected_at", "severity", "state",
               "description", "evidence", "merged_into__entity")  # fmt: skip
    metrics = Metric.objects.order_by("anomaly__type", "anomaly__entity", "anomaly__started_at", "name", "id")
    return [
        *Anomaly.objects.order_by("type", "kind", "entity", "topic", "started_at", "id").values(*columns),
        *metrics.values("anomaly__entity", "name", "score", "evidence"),
    ]


def test_glances_and_close_looks_find_the_same(closely: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    organisation = Organisation(agents=8, seed=11)
    start = TODAY - timedelta(hours=6)
    store(list(organisation.events(MONDAY, start)))
    told, looks = [], []
    for glanced in (True, False):
        if not glanced:
            monkeypatch.setattr(judging, "_at_a_glance", lambda *_: False)
        with transaction.atomic():
            run(start)
            closely.clear()
            now = start
            while now < TODAY + timedelta(hours=14):
                later = now + timedelta(minutes=40)
                store(list(organisation.events(now, later)))
                run(later)
                now = later
            told.append(_told())
            looks.append(len(closely))
            transaction.set_rollback(True)
    assert told[0] == told[1]
    assert len(told[0]) > 10
    assert looks[0] < 0.7 * looks[1]


def test_who_does_as_usual_is_looked_at_once_a_day(known: list[str]) -> None:
    now = MORNING + timedelta(minutes=20)
    store([record(now, number, agent_id=f"ag_{number}") for number in range(4)])
    scan = run(now + timedelta(minutes=1))
    assert scan.series_judged == 4
    assert known == []
    assert Outlook.objects.filter(day=TODAY.date()).exists()


def test_who_does_more_than_usual_is_looked_at_closely(known: list[str]) -> None:
    now = MORNING + timedelta(minutes=20)
    store([*burst(now, 90, agent_id="ag_2"), record(now, agent_id="ag_1")])
    run(now + timedelta(minutes=2))
    assert known == ["ag_2"]
    assert Anomaly.objects.get().entity == "ag_2"


def test_who_has_an_open_anomaly_is_looked_at_closely_until_it_closes(known: list[str]) -> None:
    now = MORNING + timedelta(minutes=20)
    store(burst(now, 90, agent_id="ag_2"))
    run(now + timedelta(minutes=2))
    run(now + timedelta(hours=4))
    assert Anomaly.objects.get().state == Anomaly.State.CLOSED
    assert known == ["ag_2", "ag_2"]


def test_late_events_of_yesterday_make_a_new_outlook(known: list[str]) -> None:
    def outlooks() -> dict[Any, bytes]:
        return {pk: bytes(content) for pk, content in Outlook.objects.values_list("pk", "content")}

    before = outlooks()
    store([record(TODAY - timedelta(hours=5), 77, agent_id="ag_3")])
    run(MORNING + timedelta(minutes=2))
    assert known == ["ag_3"]
    changed = {pk[0] for pk, content in outlooks().items() if before[pk] != content}
    assert {Outlook.objects.filter(series=one).first().series.entity for one in changed} == {"ag_3"}  # type: ignore[union-attr]


def test_who_keeps_other_hours_from_now_on_is_looked_at_closely(known: list[str]) -> None:
    Agent.objects.filter(public_id="ag_1").update(working_hours={"0": [9, 17]})
    now = MORNING + timedelta(minutes=20)
    store([record(now, number, agent_id=f"ag_{number}") for number in range(4)])
    run(now + timedelta(minutes=1))
    assert known == ["ag_1"]


def test_who_is_judged_by_settings_of_its_own_is_looked_at_closely(known: list[str]) -> None:
    DetectorOverride.objects.create(type="rate_spike", agent_id="ag_0", parameters={"min_excess": 5.0})
    now = MORNING + timedelta(minutes=20)
    store([record(now, number, agent_id=f"ag_{number}") for number in range(4)])
    run(now + timedelta(minutes=1))
    assert known == ["ag_0"]


def test_another_setting_needs_another_outlook(known: list[str]) -> None:
    settings = DetectorSettings.objects.create(type="rate_spike")
    detectors.configure(settings, enabled=True, parameters={"fit_days": 30.0}, by=Actor("ana"), at=MORNING)
    now = MORNING + timedelta(minutes=20)
    for minutes in (0, 1):
        store([record(now + timedelta(minutes=minutes), number, agent_id=f"ag_{number}") for number in range(4)])
        run(now + timedelta(minutes=minutes + 1))
    assert sorted(known) == ["ag_0", "ag_1", "ag_2", "ag_3"]


def test_a_rule_looks_closely_at_its_agents_once_they_did_enough(known: list[str]) -> None:
    wanted = {"name": "thirty", "agents": ["ag_1"], "window_seconds": 3600, "threshold": 30, "severity": 2}
    rules.create(by=DETECTION, at=MORNING, **wanted)  # type: ignore[arg-type]
    now = MORNING + timedelta(hours=2)
    store([*burst(now, 3, agent_id="ag_0"), *burst(now, 3, agent_id="ag_1")])
    run(now + timedelta(minutes=1))
    assert known == []
    store(burst(now + timedelta(minutes=2), 28, seconds=60, agent_id="ag_1"))
    run(now + timedelta(minutes=30))
    assert "ag_1" in known
    assert Anomaly.objects.filter(type="custom_rule", entity="ag_1").exists()


@pytest.mark.usefixtures("known")
def test_outlooks_of_days_gone_by_are_dropped() -> None:
    retention.apply(now=TODAY + timedelta(days=1))
    assert Outlook.objects.exists()
    retention.apply(now=TODAY + timedelta(days=4))
    assert not Outlook.objects.exists()


def test_what_fails_at_a_glance_is_looked_at_closely(known: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError

    monkeypatch.setattr(glances, "unremarkable", fail)
    now: datetime = MORNING + timedelta(minutes=20)
    store([record(now, agent_id="ag_0")])
    scan = run(now + timedelta(minutes=1))
    assert "ag_0" in known
    assert (scan.series_judged, scan.series_failed) == (len(known), 0)


def test_a_replay_makes_outlooks_of_what_was_read_in_since(known: list[str]) -> None:
    before = {pk: bytes(content) for pk, content in Outlook.objects.values_list("pk", "content")}
    store(burst(TODAY - timedelta(days=5), 400, seconds=60, agent_id="ag_3"))
    scans.replay(now=MORNING + timedelta(minutes=2))
    changed = [pk for pk, content in Outlook.objects.values_list("pk", "content") if before.get(pk) != bytes(content)]
    assert {Series.objects.get(pk=series_id).entity for series_id, _ in changed} == {"ag_3"}
    assert "ag_3" in known


def test_no_outlook_outlives_late_events_of_who_has_been_silent_for_days(closely: list[str]) -> None:
    silent = TODAY - timedelta(days=4, hours=14)
    events = [event for event in _usual("ag_0") if event.time < silent]
    store([*events, *(event for event in _usual("ag_1") if event.time < MORNING)])
    run(MORNING)
    run(MORNING + timedelta(minutes=1))
    assert Outlook.objects.filter(series__entity="ag_0").exists()
    store([record(silent + timedelta(minutes=5), 99, agent_id="ag_0")])
    run(MORNING + timedelta(minutes=3))
    assert not Outlook.objects.filter(series__entity="ag_0", day=TODAY.date()).exists()
    assert closely
