"""services/backtests: what a change would have raised and lost, without touching the present."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from anomalies.detection.parameter import ParameterError
from anomalies.models import Anomaly, Backtest, BucketBlock, DetectorOverride, DetectorSettings, Event
from anomalies.services import backtests, detectors, differences, histories, merging, scans
from anomalies.services.actor import Actor
from anomalies.services.backtests import BacktestDoneError, BacktestError, BacktestUnderWayError
from anomalies.services.detectors import UnknownDetectorError
from anomalies.services.locks import Lock
from tests import make
from tests.services.days import MONDAY, burst, forget, record, store, usual

pytestmark = [pytest.mark.django_db, pytest.mark.once]

ANA = Actor(name="ana")
NOW = MONDAY + timedelta(days=22)
SINCE = MONDAY + timedelta(days=10)
ADDRESS = "192.0.2.9"


@pytest.fixture
def month(db: None) -> None:
    """Three weeks of an agent with spikes of three sizes, guessed credentials, a quiet agent, and a first replay."""
    spikes = [
        (11, 9, {}),
        (12, 40, {}),
        (14, 90, {}),
        (16, 300, {}),
        (18, 60, {"ip": "192.0.2.4"}),
        (20, 200, {"agent_id": "ag_quiet", "ip": "192.0.2.5"}),
    ]
    records = usual(22, per_hour=6)
    for number, (day, count, fields) in enumerate(spikes):
        start = MONDAY + timedelta(days=day, hours=10, minutes=number)
        records += burst(start, count, **fields)  # type: ignore[arg-type]
    attack = MONDAY + timedelta(days=15, hours=3)
    records += burst(attack, 45, seconds=20, agent_id="sshd", ip=ADDRESS, principal_id="root", status="failure")
    records += [
        record(MONDAY + timedelta(days=day, hours=hour), agent_id="ag_quiet") for day in range(22) for hour in (9, 15)
    ]
    store(records)
    scans.replay(now=NOW)


def _backtest(type_: str = "rate_spike", **given: Any) -> Backtest:
    fields = {"parameters": {}, "since": SINCE, "until": NOW, "by": ANA, "at": NOW, **given}
    backtest = backtests.start(type_, **fields)
    backtests.run(backtest)
    assert backtest.status == Backtest.Status.DONE, backtest.result
    return backtest


def _result(type_: str = "rate_spike", **given: Any) -> dict[str, Any]:
    result = _backtest(type_, **given).result
    assert result is not None
    return result


Rows = set[tuple[str, str, str, str, str]]


def _anomalies(type_: str) -> Rows:
    return {
        (one.kind, one.entity, one.started_at.isoformat(), one.active_until.isoformat(), one.get_severity_display())
        for one in Anomaly.objects.standing().filter(type=type_, started_at__gte=SINCE)
    }


def _shown(*groups: dict[str, Any]) -> Rows:
    assert all(len(group["newest"]) == group["count"] for group in groups)
    return {
        (one["kind"], one["entity"], one["started_at"], one["ended_at"], one["severity"])
        for group in groups
        for one in group["newest"]
    }


@pytest.mark.parametrize("type_", ["rate_spike", "high_failure_rate", "new_principal", "off_hours_activity"])
def test_no_change_makes_no_difference_and_gives_what_was_raised(month: None, type_: str) -> None:
    result = _result(type_)
    assert result["gained"]["count"] == result["lost"]["count"] == 0
    assert _shown(result["both"]) == _anomalies(type_)
    assert result["reviewed"]["before"] == result["reviewed"]["after"]
    assert result["failed"] == 0
    assert result["notes"] == []


@pytest.mark.parametrize(
    ("type_", "parameters"),
    [
        ("rate_spike", {"min_excess": 70.0}),
        ("rate_spike", {"false_alarms_per_day": 1e-6}),
        ("rate_spike", {"false_alarms_per_day": 1000, "min_ratio": 1.0, "min_excess": 1.0}),
        ("rate_spike", {"fit_days": 7.0, "prior_events_per_hour": 1.0}),
        ("high_failure_rate", {"brute_force_failures": 100, "failures_before_success": 100}),
        ("high_failure_rate", {"alpha": 0.01, "min_failures": 2, "min_requests": 3}),
        ("off_hours_activity", {"alpha": 0.01, "min_slots": 1, "rare_mass": 0.2, "max_entropy": 1.0}),
    ],
)
def test_a_change_gives_what_a_replay_with_it_raises(month: None, type_: str, parameters: dict[str, float]) -> None:
    _compare_with_a_replay(type_, parameters)


def _compare_with_a_replay(type_: str, parameters: dict[str, float]) -> None:
    was = _anomalies(type_)
    result = _result(type_, parameters=parameters)
    DetectorSettings.objects.update_or_create(type=type_, defaults={"parameters": parameters})
    forget("anomaly")
    scans.replay(now=NOW)
    assert _shown(result["both"], result["gained"]) == _anomalies(type_)
    assert result["both"]["count"] + result["lost"]["count"] == len(was)


@pytest.fixture
def attack(db: None) -> None:
    """An address guesses at thirty users of a quiet agent: one anomaly, whatever it shows in. And a spike by day."""
    users = [f"user_{number}" for number in range(30)]
    sso = {"agent_id": "ag_sso"}
    records = [
        record(MONDAY + timedelta(minutes=20 * n), n, principal_id=users[n % 30], ip=f"10.0.0.{n % 30}", **sso)
        for n in range(22 * 72)
    ]
    guessing = {"ip": "203.0.113.7", "action": "user.login", "status": "failure", **sso}
    start = MONDAY + timedelta(days=20, hours=10)
    records += [
        record(start + timedelta(seconds=n), 5000 + n, principal_id=users[n % 30], **guessing) for n in range(150)
    ]
    records += burst(MONDAY + timedelta(days=18, hours=12), 90, **sso)
    store(records)
    scans.replay(now=NOW)


@pytest.mark.parametrize(("type_", "kinds"), [("rate_spike", ["agent"]), ("high_failure_rate", ["address"])])
def test_what_has_the_cause_of_another_anomaly_is_not_counted_on_either_side(
    attack: None, type_: str, kinds: list[str]
) -> None:
    assert Anomaly.objects.filter(type=type_, merged_into__isnull=False).exists()
    result = _result(type_)
    assert _shown(result["both"]) == _anomalies(type_)
    assert [one["kind"] for one in result["both"]["newest"]] == kinds
    assert result["reviewed"]["before"]["raised"] == result["reviewed"]["after"]["raised"] == len(kinds)


@pytest.mark.parametrize(
    ("type_", "parameters"),
    [
        ("rate_spike", {"min_excess": 100.0}),
        ("rate_spike", {"false_alarms_per_day": 1000, "min_ratio": 1.0, "min_excess": 1.0}),
        ("high_failure_rate", {"brute_force_failures": 200, "failures_before_success": 100}),
    ],
)
def test_a_change_gives_what_a_replay_with_it_makes_stand(
    attack: None, type_: str, parameters: dict[str, float]
) -> None:
    _compare_with_a_replay(type_, parameters)


def test_some_changes_lose_and_others_gain(month: None) -> None:
    """The table above compares something."""
    assert _result(parameters={"min_excess": 70.0})["lost"]["count"] > 0
    loose = {"false_alarms_per_day": 1000, "min_ratio": 1.0, "min_excess": 1.0}
    assert _result(parameters=loose)["gained"]["count"] > 0
    assert _result("high_failure_rate", parameters={"brute_force_failures": 100})["lost"]["count"] > 0


def test_switched_off_loses_all_and_told_of_all_of_them(month: None) -> None:
    result = _result(enabled=False)
    assert result["both"]["count"] == result["gained"]["count"] == 0
    assert _shown(result["lost"]) == _anomalies("rate_spike")
    assert result["after"] == {"enabled": False, "parameters": {}}


def test_what_is_switched_off_now_would_be_raised(month: None) -> None:
    DetectorSettings.objects.create(type="rate_spike", enabled=False)
    assert _shown(_result()["gained"]) == _anomalies("rate_spike")


def test_an_override_is_tried_on_its_agent_alone(month: None) -> None:
    result = _result(agent=make.agent("ag_quiet"), enabled=False)
    assert {one["entity"] for one in result["lost"]["newest"]} == {"ag_quiet"}
    assert result["both"]["count"] == result["gained"]["count"] == 0
    assert result["entities"] == 1
    assert "Addresses and users are not judged" in result["notes"][0]


def test_an_override_is_tried_with_the_settings_below_it(month: None) -> None:
    DetectorSettings.objects.create(type="rate_spike", parameters={"min_excess": 9.0})
    after = _result(agent=make.agent("ag_quiet"), parameters={"min_ratio": 4.0})["after"]["parameters"]
    assert (after["min_excess"], after["min_ratio"]) == (9.0, 4.0)


def test_overrides_stay_when_settings_are_tried(month: None) -> None:
    detectors.override("rate_spike", make.agent("ag_quiet"), enabled=False, parameters={}, reason="", by=ANA, at=NOW)
    result = _result(parameters={"min_excess": 4.0})
    assert "ag_quiet" not in {one["entity"] for one in result["both"]["newest"] if one["kind"] == "agent"}


def _tables() -> dict[str, str]:
    """A hash over the rows of each table but that of backtests."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(anomalies|django)_'")
        names = [name for (name,) in cursor.fetchall() if name != "anomalies_backtest"]
        hashes = {}
        for name in names:
            cursor.execute(f"SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), '')) FROM {name} t")
            hashes[name] = cursor.fetchone()[0]
        return hashes


def test_the_present_stays_as_it_is(month: None) -> None:
    before = _tables()
    _backtest(parameters={"min_excess": 70.0})
    _backtest("high_failure_rate", enabled=False)
    assert _tables() == before


def test_nothing_can_be_written_while_days_are_judged(month: None, monkeypatch: pytest.MonkeyPatch) -> None:
    load = histories.load

    def writing(*given: Any, **named: Any) -> Any:
        DetectorOverride.objects.create(type="rate_spike", agent=make.agent())
        return load(*given, **named)

    monkeypatch.setattr(histories, "load", writing)
    result = _result()
    assert result["failed"] == result["entities"] > 0
    assert not DetectorOverride.objects.exists()


def test_reviewers_verdicts_tell_precision_before_and_after(month: None) -> None:
    spikes = Anomaly.objects.filter(type="rate_spike", kind="agent", started_at__gte=SINCE)
    by_size = sorted(spikes, key=lambda spike: spike.evidence["event_count"])
    small, large = by_size[:2], by_size[2:]
    Anomaly.objects.filter(pk__in=[one.pk for one in small]).update(
        status="resolved", verdict="false_positive", resolved_at=NOW
    )
    Anomaly.objects.filter(pk__in=[one.pk for one in large]).update(
        status="resolved", verdict="true_positive", resolved_at=NOW
    )
    result = _result(parameters={"min_excess": 70.0})
    before, after = result["reviewed"]["before"], result["reviewed"]["after"]
    assert (before["true"], before["false"]) == (len(large), 2)
    assert before["precision"] == round(len(large) / len(by_size), 4)
    assert after["precision"] == 1.0
    assert 0 < before["precision_low"] < before["precision"] < before["precision_high"] < 1
    assert after["precision_low"] < 1
    assert before["false_a_day"] == round(2 / 12, 3)
    assert result["lost"]["decisions"]["false positive"] == 2
    assert result["both"]["decisions"]["true positive"] == len(large)


def test_what_was_acknowledged_has_no_verdict_and_is_counted_apart(month: None) -> None:
    first, second, third, *others = Anomaly.objects.filter(type="rate_spike", started_at__gte=SINCE)
    Anomaly.objects.filter(pk=first.pk).update(status="acknowledged", acknowledged_at=NOW)
    Anomaly.objects.filter(pk=second.pk).update(status="resolved", resolved_at=NOW, verdict="true_positive")
    Anomaly.objects.filter(pk=third.pk).update(status="resolved", resolved_at=NOW, verdict="test")
    result = _result()
    reviewed = result["reviewed"]["before"]
    assert (reviewed["verdicts"]["true_positive"], reviewed["verdicts"]["test"]) == (1, 1)
    assert (reviewed["without_verdict"], reviewed["undecided"]) == (1, len(others))
    assert sum(reviewed["verdicts"].values()) + 1 + len(others) == reviewed["are_anomalies"]
    assert (reviewed["true"], reviewed["false"], reviewed["precision"]) == (1, 0, 1.0)
    assert result["both"]["decisions"]["acknowledged, no verdict"] == 1


def test_what_became_a_part_of_another_has_the_decision_about_that(month: None) -> None:
    part, whole, *_ = Anomaly.objects.filter(type="rate_spike", started_at__gte=SINCE)
    merging.merge(part, into=whole, scan=make.scan())
    Anomaly.objects.filter(pk=whole.pk).update(status="resolved", resolved_at=NOW, verdict="duplicate")
    result = _result()
    assert result["reviewed"]["before"]["verdicts"]["duplicate"] == 2
    assert [one["anomaly"] for one in result["both"]["newest"]].count(whole.public_id) == 2


def test_wilson_gives_the_published_interval(month: None) -> None:
    """8 of 10: 0.490 to 0.943 (Wilson 1927; Newcombe 1998)."""
    found = [differences.Raised("agent", f"ag_{n}", "", 0.0, 1.0, 1, {}) for n in range(10)]

    class Decided:
        def of(self, raised: Any) -> Anomaly:
            return Anomaly(verdict="true_positive" if raised.entity < "ag_8" else "benign")

    reviewed = differences.reviewed(found, Decided(), 1.0)  # type: ignore[arg-type]
    assert (reviewed["precision_low"], reviewed["precision"], reviewed["precision_high"]) == (0.4902, 0.8, 0.9433)


def test_the_newest_are_shown_and_all_counted(month: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "NEWEST", 2)
    lost = _result(enabled=False)["lost"]
    assert lost["count"] > len(lost["newest"]) == 2
    assert sum(lost["by_severity"].values()) == lost["count"]
    assert next(one["entity"] for one in lost["newest"] if one["kind"] == "agent") == "ag_quiet"
    assert lost["newest"][0]["why"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"since": MONDAY - timedelta(days=1)}, "since: counts begin at 2026-10-05 00:00 UTC"),
        ({"until": NOW + timedelta(hours=1)}, "until: it is after 2026-10-27 00:00 UTC, which is now"),
        ({"until": SINCE}, "until: it is not after since"),
    ],
)
def test_days_without_counts_are_refused_by_their_field(month: None, given: dict[str, datetime], sentence: str) -> None:
    with pytest.raises(BacktestError, match=sentence) as error:
        _backtest(**given)
    assert error.value.field in given
    assert not Backtest.objects.exists()


def test_before_anything_was_counted_there_is_nothing_to_try() -> None:
    with pytest.raises(BacktestError, match="since: nothing was counted yet"):
        _backtest()


def test_what_cannot_be_set_is_refused(month: None) -> None:
    with pytest.raises(ParameterError, match="min_excess"):
        _backtest(parameters={"min_excess": -1.0})
    with pytest.raises(UnknownDetectorError, match="weather"):
        _backtest("weather")


def test_what_retention_dropped_is_told(month: None) -> None:
    BucketBlock.objects.filter(resolution_seconds=60, start__lt=MONDAY + timedelta(days=20)).delete()
    Event.objects.filter(time__lt=MONDAY + timedelta(days=14)).delete()
    assert _result()["notes"] == [
        "Counts of 1 minute before 2026-10-25 00:00 UTC are not kept: what only they show is missing.",
        "Events before 2026-10-19 00:00 UTC are not kept: guessed credentials and shared causes are not seen there.",
    ]


def test_one_that_was_killed_is_run_again(month: None, monkeypatch: pytest.MonkeyPatch) -> None:
    class KilledError(BaseException):
        pass

    def killed(*_: object, **__: object) -> None:
        raise KilledError

    backtest = backtests.start("rate_spike", parameters={}, since=SINCE, until=NOW, by=ANA, at=NOW)
    with monkeypatch.context() as patched:
        patched.setattr(histories, "load", killed)
        with pytest.raises(KilledError):
            backtests.run(backtest)
    backtest.refresh_from_db()
    assert backtest.status == Backtest.Status.RUNNING
    assert backtests.run_due() == backtest
    backtest.refresh_from_db()
    assert (backtest.status, backtest.done) == (Backtest.Status.DONE, backtest.total)
    assert backtest.finished_at is not None
    with pytest.raises(BacktestDoneError, match="is done already"):
        backtests.run(backtest)
    assert backtests.run_due() is None


def test_a_failure_is_kept_with_its_reason_and_stops_no_other(month: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no room")

    first = backtests.start("rate_spike", parameters={}, since=SINCE, until=NOW, by=ANA, at=NOW)
    second = backtests.start("new_principal", parameters={}, since=SINCE, until=NOW, by=ANA, at=NOW)
    with monkeypatch.context() as patched:
        patched.setattr(backtests, "_windows", broken)
        assert backtests.run_due() == first
    first.refresh_from_db()
    assert (first.status, first.result) == (Backtest.Status.FAILED, {"error": "RuntimeError: no room"})
    assert backtests.run_due() == second
    backtests.run(first)
    assert first.status == Backtest.Status.DONE


def test_what_cannot_be_judged_is_counted_and_stops_no_other(month: None) -> None:
    agent = make.agent("ag_quiet")
    agent.time_zone = "Mars/Olympus"
    agent.save()
    assert _result()["failed"] == 2  # the agent, and the address that keeps its hours


def test_one_at_a_time(month: None) -> None:
    backtest = backtests.start("rate_spike", parameters={}, since=SINCE, until=NOW, by=ANA, at=NOW)
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [Lock.BACKTEST])
        with pytest.raises(BacktestUnderWayError):
            backtests.run(backtest)
        assert backtests.run_due() is None
        backtest.refresh_from_db()
        assert backtest.status == Backtest.Status.WAITING
    finally:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_all()")  # it goes back to a pool, and would keep the lock there
        other.close()
