"""services/rules: reviewers' own rules, from their making to the anomalies they raise."""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from anomalies.ingest.record import EventRecord
from anomalies.models import Anomaly, Event, Rule, Scan
from anomalies.services import evidence, rules, scans
from anomalies.services.actor import Actor
from tests import make
from tests.services.days import MONDAY, burst, record, run, store

pytestmark = [pytest.mark.django_db, pytest.mark.once]

ANA = Actor(name="ana")
NOON = MONDAY + timedelta(days=3, hours=12)
MINUTE = timedelta(minutes=1)


def _rule(at: datetime = MONDAY, **wanted: Any) -> Rule:
    wanted = {"name": "Night exports", "window_seconds": 900, "threshold": 10, **wanted}
    return rules.create(by=ANA, at=at, **wanted)


def _raised() -> list[Anomaly]:
    return list(Anomaly.objects.filter(type="custom_rule").order_by("id"))


def _exports(start: datetime, count: int, **fields: Any) -> list[EventRecord]:
    return burst(start, count, **{"seconds": 30.0, "action": "export", "permission": "exports.read", **fields})


def test_a_rule_is_kept_with_who_made_it_and_each_agent_once() -> None:
    rule = _rule(agents=["ag_1", "ag_2", "ag_1"], scopes=["exports.read"], name=" Night exports ")
    rule.refresh_from_db()
    assert (rule.name, rule.agents, rule.scopes, rule.severity) == (
        "Night exports",
        ["ag_1", "ag_2"],
        ["exports.read"],
        2,
    )
    assert (rule.created_by, rule.created_at, rule.updated_at, rule.in_force_since) == ("ana", MONDAY, MONDAY, MONDAY)
    assert rules.unknown_agents(rule.agents) == ["ag_1", "ag_2"]  # they may come later


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("window_seconds", 7200, "7200 seconds is a window that nobody counts; there are 300 .5m., 600 .10m."),
        ("window_seconds", "5m", "'5m' seconds is a window that nobody counts"),
        ("threshold", 0, "0 events; it must be from 1"),
        ("threshold", 2.5, "2.5 is no whole number"),
        ("name", "  ", "it is empty"),
        ("name", "n" * 201, "201 characters, at most 200"),
        ("severity", 4, "4 is none of 1 .low., 2 .medium., 3 .high."),
        ("agents", "ag_1", "it is no list of texts"),
        ("agents", [""], "'': it is empty"),
        ("scopes", [7], "7: it is no text"),
        ("scopes", ["s"] * 101, "101 of them, at most 100"),
        ("description", "d" * 10_001, "10,001 characters"),
        ("public_id", "\x00", "it is no text"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_kept(field: str, value: object, sentence: str) -> None:
    with pytest.raises(rules.RuleError, match=sentence) as error:
        _rule(**{field: value})
    assert error.value.field == field
    assert not Rule.objects.exists()


def test_a_rule_without_a_window_is_none() -> None:
    with pytest.raises(rules.RuleError, match="window_seconds: it is missing"):
        rules.create(by=ANA, at=MONDAY, name="Night exports", threshold=10)


def test_a_name_is_one_living_rules_own() -> None:
    first = _rule()
    with pytest.raises(rules.RuleError, match="name: there is a rule named Night exports already"):
        _rule()
    other = _rule(name="Other")
    with pytest.raises(rules.RuleError, match="name: "):
        rules.change(other, by=ANA, at=NOON, name="Night exports")
    rules.delete(first, by=ANA, at=NOON)
    rules.change(other, by=ANA, at=NOON, name="Night exports")
    assert other.name == "Night exports"


def test_an_id_is_never_used_twice() -> None:
    rules.delete(_rule(public_id="velocity"), by=ANA, at=NOON)
    with pytest.raises(rules.RuleError, match="public_id: there is or was a rule velocity"):
        _rule(public_id="velocity")


def test_making_the_same_rule_once_more_gives_the_one_there_is() -> None:
    wanted: Any = {"name": "Night exports", "window_seconds": 900, "threshold": 10, "agents": ["ag_1"]}
    first = rules.create_once("velocity", by=ANA, at=MONDAY, **wanted)
    assert (
        rules.create_once("velocity", by=Actor(name="zoe"), at=NOON, **{**wanted, "agents": ["ag_1", "ag_1"]}) == first
    )
    rules.change(first, by=ANA, at=NOON, enabled=False)
    assert rules.create_once("velocity", by=ANA, at=NOON, **wanted) == first
    for other in ({"threshold": 11}, {"name": "Another"}, {"agents": []}):
        with pytest.raises(rules.RuleTakenError, match="another rule velocity"):
            rules.create_once("velocity", by=ANA, at=NOON, **{**wanted, **other})
    with pytest.raises(rules.RuleError, match="threshold: 0 events"):
        rules.create_once("velocity", by=ANA, at=NOON, **{**wanted, "threshold": 0})
    rules.delete(first, by=ANA, at=NOON)
    with pytest.raises(rules.RuleTakenError):
        rules.create_once("velocity", by=ANA, at=NOON, **wanted)
    assert Rule.objects.count() == 1


def test_who_makes_the_same_rule_at_the_same_time_gets_the_one_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: Any = {"name": "Night exports", "window_seconds": 900, "threshold": 10}
    create = rules.create

    def slow(**given: Any) -> Rule:
        create(**given)  # somebody was faster
        return create(**given)

    monkeypatch.setattr(rules, "create", slow)
    made = rules.create_once("velocity", by=ANA, at=MONDAY, **wanted)
    assert Rule.objects.get() == made


def test_a_channel_that_is_none_is_named() -> None:
    with pytest.raises(rules.RuleError, match="channels: there is no channel chan_1"):
        _rule(channels=["chan_1"])


def test_another_threshold_is_in_force_from_then_on_and_another_name_as_before() -> None:
    rule = _rule()
    rules.change(rule, by=Actor(name="zoe"), at=NOON, name="Exports by night", severity=3)
    assert (rule.updated_at, rule.updated_by, rule.in_force_since) == (NOON, "zoe", MONDAY)
    rules.change(rule, by=ANA, at=NOON, threshold=11)
    assert rule.in_force_since == NOON


def test_a_rule_switched_on_is_in_force_from_then_on() -> None:
    rule = _rule(enabled=False)
    rules.change(rule, by=ANA, at=NOON, enabled=True)
    assert rule.in_force_since == NOON
    rules.change(rule, by=ANA, at=NOON + MINUTE, enabled=True)  # it was
    assert (rule.in_force_since, rule.updated_at) == (NOON, NOON)


def test_a_deleted_rule_cannot_be_changed_or_deleted() -> None:
    rule = _rule()
    rules.delete(rule, by=ANA, at=NOON)
    with pytest.raises(rules.RuleGoneError, match="Night exports was deleted"):
        rules.change(rule, by=ANA, at=NOON, threshold=11)
    with pytest.raises(rules.RuleGoneError):
        rules.delete(rule, by=ANA, at=NOON)


def test_it_is_raised_once_the_threshold_is_reached_and_goes_on() -> None:
    rule = _rule(severity=3, scopes=["exports.read"])
    store(_exports(NOON, 9))
    run(NOON + 5 * MINUTE)
    assert _raised() == []
    store(_exports(NOON + 5 * MINUTE, 2))
    run(NOON + 6 * MINUTE)
    [anomaly] = _raised()
    assert (anomaly.topic, anomaly.agent_id, anomaly.severity, anomaly.state) == (
        rule.public_id,
        "ag_billing",
        3,
        "open",
    )
    assert anomaly.description == "11 events in 15 minutes, rule “Night exports” allows fewer than 10"
    assert (anomaly.started_at, anomaly.active_until) == (NOON, NOON + timedelta(minutes=5, seconds=31))
    store(_exports(NOON + 10 * MINUTE, 3))
    run(NOON + 12 * MINUTE)
    [same] = _raised()
    assert (same.public_id, same.active_until) == (anomaly.public_id, NOON + timedelta(minutes=11, seconds=1))
    run(NOON + 27 * MINUTE)
    assert [one.state for one in _raised()] == ["closed"]


def test_ticks_and_one_scan_of_all_find_the_same() -> None:
    _rule(window_seconds=86400)
    events = [record(NOON + timedelta(hours=2 * n), n) for n in range(30)]
    for n, event in enumerate(events):
        store([event])
        run(NOON + timedelta(hours=2 * n, minutes=1))
    [by_ticks] = _raised()
    assert (by_ticks.started_at, by_ticks.active_until) == (NOON, events[-1].time + timedelta(seconds=1))
    assert by_ticks.evidence["event_count"] == 30


def test_a_late_event_goes_on_with_the_anomaly_it_belongs_to() -> None:
    _rule(window_seconds=21600)
    store(_exports(NOON, 10))
    run(NOON + 10 * MINUTE)
    run(NOON + timedelta(hours=7))
    [before] = _raised()
    assert before.state == "closed"
    store(_exports(NOON + timedelta(hours=4), 1))
    run(NOON + timedelta(hours=8))
    [after] = _raised()
    assert (after.public_id, after.started_at) == (before.public_id, NOON)
    assert after.active_until == NOON + timedelta(hours=4, seconds=1)


def test_two_rules_of_one_agent_are_two_anomalies() -> None:
    first, second = _rule(), _rule(name="Any export", threshold=5)
    store(_exports(NOON, 12))
    run(NOON + 7 * MINUTE)
    assert {anomaly.topic for anomaly in _raised()} == {first.public_id, second.public_id}
    run(NOON + 8 * MINUTE)
    assert len(_raised()) == 2
    run(NOON + 60 * MINUTE)
    assert {anomaly.state for anomaly in _raised()} == {"closed"}


def test_only_its_agents_are_counted() -> None:
    _rule(agents=["ag_export", "ag_not_yet_known"])
    store([*_exports(NOON, 12), *_exports(NOON, 12, agent_id="ag_export")])
    run(NOON + 7 * MINUTE)
    assert [anomaly.agent_id for anomaly in _raised()] == ["ag_export"]


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "other", "permission": "exports.read"},
        {"action": "exports.read", "permission": ""},
        {"action": "other", "permission": "", "grant_id": "grnt_1"},
    ],
    ids=["permission", "action", "grant"],
)
def test_a_scope_is_a_permission_an_action_or_a_scope_of_the_grant(fields: dict[str, str]) -> None:
    make.grant("grnt_1", scopes=["exports.read", "exports.list"])
    make.grant("grnt_2", scopes=["exports.list"])
    _rule(scopes=["exports.read", "exports.write"])
    store(_exports(NOON, 12, action="other", permission="exports.list", grant_id="grnt_2"))
    run(NOON + 7 * MINUTE)
    assert _raised() == []
    store(_exports(NOON + 7 * MINUTE, 12, **fields))
    run(NOON + 14 * MINUTE)
    [anomaly] = _raised()
    assert evidence.events_behind(anomaly).count() == 12


def test_the_events_behind_it_are_those_that_it_counted() -> None:
    _rule(scopes=["exports.read"])
    store([*_exports(NOON, 12), *_exports(NOON, 12, seconds=29.0, permission="", action="login")])
    run(NOON + 7 * MINUTE)
    [anomaly] = _raised()
    assert {event.action for event in evidence.events_behind(anomaly)} == {"export"}


def test_what_ended_before_the_rule_was_made_is_not_raised_but_by_a_replay() -> None:
    store(_exports(NOON, 12))
    _rule(at=NOON + 30 * MINUTE)
    run(NOON + 31 * MINUTE)
    assert _raised() == []
    scans.replay(now=NOON + 32 * MINUTE)
    [anomaly] = _raised()
    assert anomaly.detected_at == NOON + 5 * MINUTE


def test_a_window_that_ends_after_the_rule_was_made_counts_what_was_before() -> None:
    store(_exports(NOON, 9))
    _rule(at=NOON + 5 * MINUTE)
    store(_exports(NOON + 6 * MINUTE, 1))
    run(NOON + 7 * MINUTE)
    assert [anomaly.started_at for anomaly in _raised()] == [NOON]


def test_a_changed_rule_does_not_judge_what_was_before() -> None:
    rule = _rule(threshold=100)
    store(_exports(NOON, 12))
    run(NOON + 7 * MINUTE)
    rules.change(rule, by=ANA, at=NOON + 30 * MINUTE, threshold=10)
    store([record(NOON + 31 * MINUTE)])
    run(NOON + 32 * MINUTE)
    assert _raised() == []


@pytest.mark.parametrize("ended", ["deleted", "disabled"])
def test_its_anomalies_stay_when_it_ends_and_close(ended: str) -> None:
    rule = _rule()
    store(_exports(NOON, 12))
    run(NOON + 7 * MINUTE)
    if ended == "deleted":
        rules.delete(rule, by=ANA, at=NOON + 7 * MINUTE)
    else:
        rules.change(rule, by=ANA, at=NOON + 7 * MINUTE, enabled=False)
    store(_exports(NOON + 7 * MINUTE, 12))
    run(NOON + 14 * MINUTE)
    assert [(anomaly.state, anomaly.status) for anomaly in _raised()] == [("closed", "open")]


def test_without_a_rule_nothing_is_read_and_with_one_only_the_agents_that_are_looked_at() -> None:
    store([*_exports(NOON, 12), *_exports(NOON, 12, agent_id="ag_export")])
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert rules.facts({"ag_billing": NOON}, until=NOON + 10 * MINUTE, replayed=False) == ()
    assert len(queries) == 1
    _rule()
    [facts] = rules.facts({"ag_billing": NOON}, until=NOON + 10 * MINUTE, replayed=False)
    assert list(facts.matches) == ["ag_billing"]
    assert list(facts.matches["ag_billing"]) == sorted((NOON + n * MINUTE / 2).timestamp() for n in range(12))


def test_agents_with_too_few_events_are_not_handed_out() -> None:
    _rule()
    store(_exports(NOON, 9))
    assert rules.facts({"ag_billing": NOON}, until=NOON + 10 * MINUTE, replayed=False) == ()
    assert run(NOON + 10 * MINUTE).trigger == Scan.Trigger.COMMAND


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("window_seconds", "threshold"), [(900, 5), (21600, 12), (86400, 20), (300, 1)])
def test_in_any_order_and_however_late_the_same_is_found(seed: int, window_seconds: int, threshold: int) -> None:
    rng = np.random.default_rng(seed)
    rule = _rule(window_seconds=window_seconds, threshold=threshold)
    starts = rng.uniform(0, 20 * 3600, 6)
    seconds = (rng.choice(starts, 60) + rng.exponential(900, 60)).tolist()
    arrivals = np.array_split(rng.permutation(60), 5)
    for n, arrived in enumerate(arrivals):
        store([record(NOON + timedelta(seconds=seconds[number]), int(number)) for number in arrived])
        run(NOON + timedelta(hours=24 + n))
    run(NOON + timedelta(days=3))
    bit_by_bit = _standing(rule)
    scans.replay(now=NOON + timedelta(days=3))
    assert _standing(rule) == bit_by_bit
    assert bit_by_bit or threshold == 20


def _standing(rule: Rule) -> list[tuple[Any, ...]]:
    return [
        (one.started_at, one.active_until, one.state, one.evidence["observed"], one.evidence["event_count"])
        for one in Anomaly.objects.standing().filter(topic=rule.public_id).order_by("started_at")
    ]


def test_grants_of_a_scope_are_found_by_an_index() -> None:
    events = Event.objects.filter(rules.matching(["exports.read"]), time__gte=MONDAY)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        plan = events.explain()
    assert "grant_scopes" in plan
