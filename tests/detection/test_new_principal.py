"""detection/detectors/new_principal."""

from dataclasses import replace

import numpy as np
import pytest

from anomalies.detection.detectors.new_principal import Config, detect
from anomalies.detection.finding import HIGH, LOW, MEDIUM, Finding
from anomalies.detection.history import DAY, HOUR, Meeting
from tests.detection import build

DAYS = 29
TODAY = build.START + (DAYS - 1) * DAY + 9 * HOUR


def _meeting(principal: str = "user_9", time: float = TODAY, **signs: object) -> Meeting:
    return Meeting(
        **{  # type: ignore[arg-type]
            "agent": "ag_0",
            "principal": principal,
            "time": time,
            "failed": False,
            "new_address": False,
            "new_country": False,
            "known_share": 0.0,
            **signs,
        }
    )


def _found(*meetings: Meeting, a_day: int = 100, days: int = DAYS) -> list[Finding]:
    counts = np.zeros((1, 24 * days), dtype=int)
    counts[0, 9::24] = a_day
    return detect(build.history(counts, meetings=meetings), Config())


def test_a_settled_agent_with_a_new_user_is_raised() -> None:
    [finding] = _found(_meeting())
    assert finding.principal_id == "user_9"
    assert finding.severity == LOW
    assert finding.description == "user_9 for the first time, no new principal in 2,800 events before"
    assert finding.raised_at == TODAY


@pytest.mark.parametrize("sign", ["failed", "new_address", "new_country"])
def test_signs_raise_it_by_a_level(sign: str) -> None:
    [finding] = _found(_meeting(**{sign: True}))
    assert finding.severity == MEDIUM


def test_a_busier_agent_makes_it_rarer() -> None:
    [finding] = _found(_meeting(new_address=True), a_day=2000)
    assert finding.severity == HIGH


def test_a_user_whom_most_agents_know_counts_less() -> None:
    [finding] = _found(_meeting(known_share=0.8), a_day=2000)
    assert finding.severity == LOW


def test_an_agent_that_meets_new_users_daily_is_not_raised() -> None:
    daily = [_meeting(f"user_{day}", build.START + day * DAY + 9 * HOUR) for day in range(DAYS)]
    assert _found(*daily) == []


@pytest.mark.parametrize(("days", "a_day"), [(7, 100), (DAYS, 1)])
def test_a_young_or_rare_agent_is_warming_up(days: int, a_day: int) -> None:
    assert _found(_meeting(time=build.START + (days - 1) * DAY + 9 * HOUR), days=days, a_day=a_day) == []


def test_five_new_users_in_an_hour_are_one_anomaly() -> None:
    [finding] = _found(*[_meeting(f"user_{n}", TODAY + 60 * n) for n in range(5)])
    assert finding.severity == MEDIUM
    assert finding.description.startswith("5 new principals in 4 minutes")


def test_new_users_an_hour_apart_are_two() -> None:
    assert len(_found(_meeting("user_1"), _meeting("user_2", TODAY + HOUR))) == 2


def test_yesterdays_are_not_raised_again() -> None:
    assert _found(_meeting(time=TODAY - 2 * DAY)) == []


def test_rows_of_single_actions_are_not_taken_for_the_agent() -> None:
    counts = np.zeros((2, 24 * DAYS), dtype=int)
    counts[0, 9::24] = 100  # and hardly any of one action
    whole = build.history(counts[:1], meetings=[_meeting()])
    parted = replace(build.history(counts, entities=["ag_0", "ag_0"], meetings=[_meeting()]), actions=("", "a"))
    assert detect(parted, Config()) == detect(whole, Config())
