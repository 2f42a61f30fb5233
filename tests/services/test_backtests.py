"""services/backtests: what a change would have raised and lost, without touching the present."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from anomalies.detection.parameter import ParameterError
from anomalies.models import Anomaly, Backtest, BucketBlock, DetectorOverride, DetectorSettings, Event
from anomalies.services import backtests, detectors, differences, histories, merging, scans
from anomalies.services.backtests import BacktestDoneError, BacktestError, BacktestUnderWayError
from anomalies.services.detectors import UnknownDetectorError
from anomalies.services.locks import Lock
from tests import make
from tests.services.backtesting import ANA, NOW, SINCE, compare_with_a_replay, result_of, run_one, shown, standing
from tests.services.days import MONDAY, burst, record, store, usual

pytestmark = [pytest.mark.django_db, pytest.mark.once]

ADDRESS = "192.0.2.9"


@pytest.fixture(scope="module", autouse=True)
def month(whole_file: None) -> None:
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
    connection.check_constraints()  # or those of each test would wait for its end


@pytest.mark.parametrize("type_", ["rate_spike", "high_failure_rate", "new_principal", "off_hours_activity"])
def test_no_change_makes_no_difference_and_gives_what_was_raised(type_: str) -> None:
    result = result_of(type_)
    assert result["gained"]["count"] == result["lost"]["count"] == 0
    assert shown(result["both"]) == standing(type_)
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
def test_a_change_gives_what_a_replay_with_it_raises(type_: str, parameters: dict[str, float]) -> None:
    compare_with_a_replay(type_, parameters)


def test_some_changes_lose_and_others_gain() -> None:
    """The table above compares something."""
    assert result_of(parameters={"min_excess": 70.0})["lost"]["count"] > 0
    loose = {"false_alarms_per_day": 1000, "min_ratio": 1.0, "min_excess": 1.0}
    assert result_of(parameters=loose)["gained"]["count"] > 0
    assert result_of("high_failure_rate", parameters={"brute_force_failures": 100})["lost"]["count"] > 0


def test_switched_off_loses_all_and_told_of_all_of_them() -> None:
    result = result_of(enabled=False)
    assert result["both"]["count"] == result["gained"]["count"] == 0
    assert shown(result["lost"]) == standing("rate_spike")
    assert result["after"] == {"enabled": False, "parameters": {}}


def test_what_is_switched_off_now_would_be_raised() -> None:
    DetectorSettings.objects.create(type="rate_spike", enabled=False)
    assert shown(result_of()["gained"]) == standing("rate_spike")


def test_an_override_is_tried_on_its_agent_alone() -> None:
    result = result_of(agent=make.agent("ag_quiet"), enabled=False)
    assert {one["entity"] for one in result["lost"]["newest"]} == {"ag_quiet"}
    assert result["both"]["count"] == result["gained"]["count"] == 0
    assert result["entities"] == 1
    assert "Addresses and users are not judged" in result["notes"][0]


def test_an_override_is_tried_with_the_settings_below_it() -> None:
    DetectorSettings.objects.create(type="rate_spike", parameters={"min_excess": 9.0})
    after = result_of(agent=make.agent("ag_quiet"), parameters={"min_ratio": 4.0})["after"]["parameters"]
    assert (after["min_excess"], after["min_ratio"]) == (9.0, 4.0)


def test_overrides_stay_when_settings_are_tried() -> None:
    detectors.override("rate_spike", make.agent("ag_quiet"), enabled=False, parameters={}, reason="", by=ANA, at=NOW)
    result = result_of(parameters={"min_excess": 4.0})
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


def test_the_present_stays_as_it_is() -> None:
    before = _tables()
    run_one(parameters={"min_excess": 70.0})
    run_one("high_failure_rate", enabled=False)
    assert _tables() == before


def test_nothing_can_be_written_while_days_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    load = histories.load

    def writing(*given: Any, **named: Any) -> Any:
        DetectorOverride.objects.create(type="rate_spike", agent=make.agent())
        return load(*given, **named)

    monkeypatch.setattr(histories, "load", writing)
    result = result_of()
    assert result["failed"] == result["entities"] > 0
    assert not DetectorOverride.objects.exists()


def test_reviewers_verdicts_tell_precision_before_and_after() -> None:
    spikes = Anomaly.objects.filter(type="rate_spike", kind="agent", started_at__gte=SINCE)
    by_size = sorted(spikes, key=lambda spike: spike.evidence["event_count"])
    small, large = by_size[:2], by_size[2:]
    Anomaly.objects.filter(pk__in=[one.pk for one in small]).update(
        status="resolved", verdict="false_positive", resolved_at=NOW
    )
    Anomaly.objects.filter(pk__in=[one.pk for one in large]).update(
        status="resolved", verdict="true_positive", resolved_at=NOW
    )
    result = result_of(parameters={"min_excess": 70.0})
    before, after = result["reviewed"]["before"], result["reviewed"]["after"]
    assert (before["true"], before["false"]) == (len(large), 2)
    assert before["precision"] == round(len(large) / len(by_size), 4)
    assert after["precision"] == 1.0
    assert 0 < before["precision_low"] < before["precision"] < before["precision_high"] < 1
    assert after["precision_low"] < 1
    assert before["false_a_day"] == round(2 / 12, 3)
    assert result["lost"]["decisions"]["false positive"] == 2
    assert result["both"]["decisions"]["true positive"] == len(large)


def test_what_was_acknowledged_has_no_verdict_and_is_counted_apart() -> None:
    first, second, third, *others = Anomaly.objects.filter(type="rate_spike", started_at__gte=SINCE)
    Anomaly.objects.filter(pk=first.pk).update(status="acknowledged", acknowledged_at=NOW)
    Anomaly.objects.filter(pk=second.pk).update(status="resolved", resolved_at=NOW, verdict="true_positive")
    Anomaly.objects.filter(pk=third.pk).update(status="resolved", resolved_at=NOW, verdict="test")
    result = result_of()
    reviewed = result["reviewed"]["before"]
    assert (reviewed["verdicts"]["true_positive"], reviewed["verdicts"]["test"]) == (1, 1)
    assert (reviewed["without_verdict"], reviewed["undecided"]) == (1, len(others))
    assert sum(reviewed["verdicts"].values()) + 1 + len(others) == reviewed["are_anomalies"]
    assert (reviewed["true"], reviewed["false"], reviewed["precision"]) == (1, 0, 1.0)
    assert result["both"]["decisions"]["acknowledged, no verdict"] == 1


def test_what_became_a_part_of_another_has_the_decision_about_that() -> None:
    part, whole, *_ = Anomaly.objects.filter(type="rate_spike", started_at__gte=SINCE)
    merging.merge(part, into=whole, scan=make.scan())
    Anomaly.objects.filter(pk=whole.pk).update(status="resolved", resolved_at=NOW, verdict="duplicate")
    result = result_of()
    assert result["reviewed"]["before"]["verdicts"]["duplicate"] == 2
    assert [one["anomaly"] for one in result["both"]["newest"]].count(whole.public_id) == 2


def test_wilson_gives_the_published_interval() -> None:
    """8 of 10: 0.490 to 0.943 (Wilson 1927; Newcombe 1998)."""
    found = [differences.Raised("agent", f"ag_{n}", "", 0.0, 1.0, 1, {}) for n in range(10)]

    class Decided:
        def of(self, raised: Any) -> Anomaly:
            return Anomaly(verdict="true_positive" if raised.entity < "ag_8" else "benign")

    reviewed = differences.reviewed(found, Decided(), 1.0)  # type: ignore[arg-type]
    assert (reviewed["precision_low"], reviewed["precision"], reviewed["precision_high"]) == (0.4902, 0.8, 0.9433)


def test_the_newest_are_shown_and_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "NEWEST", 2)
    lost = result_of(enabled=False)["lost"]
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
def test_days_without_counts_are_refused_by_their_field(given: dict[str, datetime], sentence: str) -> None:
    with pytest.raises(BacktestError, match=sentence) as error:
        run_one(**given)
    assert error.value.field in given
    assert not Backtest.objects.exists()


def test_what_cannot_be_set_is_refused() -> None:
    with pytest.raises(ParameterError, match="min_excess"):
        run_one(parameters={"min_excess": -1.0})
    with pytest.raises(UnknownDetectorError, match="weather"):
        run_one("weather")


def test_what_retention_dropped_is_told() -> None:
    BucketBlock.objects.filter(resolution_seconds=60, start__lt=MONDAY + timedelta(days=20)).delete()
    Event.objects.filter(time__lt=MONDAY + timedelta(days=14)).delete()
    assert result_of()["notes"] == [
        "Counts of 1 minute before 2026-10-25 00:00 UTC are not kept: what only they show is missing.",
        "Events before 2026-10-19 00:00 UTC are not kept: guessed credentials and shared causes are not seen there.",
    ]


def test_one_that_was_killed_is_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_failure_is_kept_with_its_reason_and_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_cannot_be_judged_is_counted_and_stops_no_other() -> None:
    agent = make.agent("ag_quiet")
    agent.time_zone = "Mars/Olympus"
    agent.save()
    assert result_of()["failed"] == 2  # the agent, and the address that keeps its hours


def test_one_at_a_time() -> None:
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
