"""detection/detectors/off_hours_activity."""

import numpy as np
import pytest
from numpy.typing import NDArray

from anomalies.detection.detectors.off_hours_activity import Config, detect
from anomalies.detection.finding import Finding
from anomalies.detection.history import HOUR
from tests.detection import build


def _days(days: int = 30, level: float = 30.0) -> NDArray[np.int64]:
    """Weekdays from 9 to 17 only."""
    rng = np.random.default_rng(4)
    hour = np.arange(24 * days)
    busy = (hour % 24 >= 9) & (hour % 24 < 17) & (hour // 24 % 7 < 5)
    return np.where(busy, rng.poisson(level, hour.shape), 0)[None, :]


def _found(counts: NDArray[np.int64], **options: object) -> list[Finding]:
    return detect(build.history(counts, **options), Config())  # type: ignore[arg-type]


def test_a_night_shift_of_an_office_agent_is_raised() -> None:
    counts = _days()
    counts[0, -22:-20] = 20  # 02:00 to 04:00 of a Tuesday
    [finding] = _found(counts)
    assert finding.description == "40 actions between 02:00 and 04:00 on Tuesday (UTC), usually hardly any"
    assert finding.end - finding.start == 2 * HOUR
    assert finding.raised_at == finding.start + HOUR


def test_its_usual_hours_are_not() -> None:
    assert _found(_days(), judge_days=10) == []


def test_one_burst_is_not_a_shift() -> None:
    counts = _days()
    counts[0, -22] = 2
    assert _found(counts) == []


def test_an_agent_that_never_sleeps_has_no_off_hours() -> None:
    assert _found(np.full((1, 24 * 30), 10)) == []


@pytest.mark.parametrize("days", [5, 12])
def test_a_young_agent_has_no_learned_hours(days: int) -> None:
    counts = _days(days)
    counts[0, -22:-20] = 20
    assert _found(counts) == []


def test_configured_hours_need_no_history() -> None:
    counts = _days(2)
    counts[0, -22:-20] = 20
    [finding] = _found(counts, working_hours=(9, 17))
    assert finding.evidence["configured_hours"] is True
    assert "outside its working hours" in finding.description


def test_a_past_night_shift_does_not_become_usual() -> None:
    counts = _days()
    counts[0, -7 * 24 - 22 : -7 * 24 - 20] = 200
    counts[0, -22:-20] = 20
    assert len(_found(counts)) == 1


def test_only_agents_have_working_hours() -> None:
    counts = _days()
    counts[0, -22:-20] = 20
    assert _found(counts, kind="principal") == []
