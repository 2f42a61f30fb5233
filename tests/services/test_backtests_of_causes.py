"""services/backtests: what has one cause is counted once, and before anything was counted there is nothing."""

from datetime import timedelta

import pytest

from anomalies.models import Anomaly
from anomalies.services import scans
from anomalies.services.backtests import BacktestError
from tests.services.backtesting import NOW, compare_with_a_replay, result_of, run_one, shown, standing
from tests.services.days import MONDAY, burst, record, store

pytestmark = [pytest.mark.django_db, pytest.mark.once]


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
    result = result_of(type_)
    assert shown(result["both"]) == standing(type_)
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
    compare_with_a_replay(type_, parameters)


def test_before_anything_was_counted_there_is_nothing_to_try() -> None:
    with pytest.raises(BacktestError, match="since: nothing was counted yet"):
        run_one()
