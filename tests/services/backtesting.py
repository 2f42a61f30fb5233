"""Backtests in tests: run, and held beside what stands and what a replay raises."""

from datetime import timedelta
from typing import Any

from anomalies.models import Anomaly, Backtest, DetectorSettings
from anomalies.services import backtests, scans
from anomalies.services.actor import Actor
from tests.services.days import MONDAY, forget

ANA = Actor(name="ana")
NOW = MONDAY + timedelta(days=22)
SINCE = MONDAY + timedelta(days=10)


def run_one(type_: str = "rate_spike", **given: Any) -> Backtest:
    fields = {"parameters": {}, "since": SINCE, "until": NOW, "by": ANA, "at": NOW, **given}
    backtest = backtests.start(type_, **fields)
    backtests.run(backtest)
    assert backtest.status == Backtest.Status.DONE, backtest.result
    return backtest


def result_of(type_: str = "rate_spike", **given: Any) -> dict[str, Any]:
    result = run_one(type_, **given).result
    assert result is not None
    return result


Rows = set[tuple[str, str, str, str, str]]


def standing(type_: str) -> Rows:
    return {
        (one.kind, one.entity, one.started_at.isoformat(), one.active_until.isoformat(), one.get_severity_display())
        for one in Anomaly.objects.standing().filter(type=type_, started_at__gte=SINCE)
    }


def shown(*groups: dict[str, Any]) -> Rows:
    assert all(len(group["newest"]) == group["count"] for group in groups)
    return {
        (one["kind"], one["entity"], one["started_at"], one["ended_at"], one["severity"])
        for group in groups
        for one in group["newest"]
    }


def compare_with_a_replay(type_: str, parameters: dict[str, float]) -> None:
    was = standing(type_)
    result = result_of(type_, parameters=parameters)
    DetectorSettings.objects.update_or_create(type=type_, defaults={"parameters": parameters})
    forget("anomaly")
    scans.replay(now=NOW)
    assert shown(result["both"], result["gained"]) == standing(type_)
    assert result["both"]["count"] + result["lost"]["count"] == len(was)
