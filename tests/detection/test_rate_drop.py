"""detection/detectors/rate_drop."""

from dataclasses import replace

import numpy as np
import pytest

from anomalies.detection.detectors.rate_drop import Config, detect
from anomalies.detection.finding import MEDIUM, PATTERN_CHANGE
from anomalies.detection.history import HOUR
from tests.detection import build

TEN = 24 * 28 + 10  # 10:00 of the last day, a Monday


def test_three_requests_where_a_hundred_and_twenty_are_usual_are_a_drop() -> None:
    counts = build.office(29, level=120)
    counts[0, TEN] = 3
    [finding] = detect(build.history(counts), Config())
    assert finding.description.startswith("3 requests in 1 hour, 1")
    assert (finding.start, finding.end) == (build.START + HOUR * TEN, build.START + HOUR * (TEN + 1))
    assert not any(interval.up for metric in finding.metrics for interval in metric.intervals)
    assert finding.severity <= MEDIUM
    assert finding.evidence["lower"] > 3


@pytest.mark.parametrize(("minutes", "found"), [(59, 0), (61, 0), (65, 1)])
def test_an_hour_is_judged_when_all_that_is_late_has_come(minutes: int, found: int) -> None:
    counts = build.office(29, level=120)
    counts[0, TEN:] = 0
    history = build.history(counts, until=build.START + HOUR * TEN + 60.0 * minutes)
    assert len(detect(replace(history, lag=np.array([300.0])), Config())) == found


@pytest.mark.parametrize("level", [2.0, 40.0, 400.0])
def test_ordinary_weeks_and_weekends_have_no_drops(level: float) -> None:
    assert detect(build.history(build.office(36, level=level, dispersion=0.05, n=20), judge_days=7), Config()) == []


def test_users_and_addresses_may_go_as_they_like() -> None:
    counts = build.office(29, level=120)
    counts[0, TEN:] = 0
    assert detect(build.history(counts, kind="principal"), Config()) == []


def test_a_young_agent_has_no_drops() -> None:
    counts = build.office(13, level=120)
    counts[0, -24 + 10 :] = 0
    assert detect(build.history(counts), Config()) == []


def test_a_dead_agent_drops_once_until_silence_is_its_level() -> None:
    rng = np.random.default_rng(4)
    counts = rng.poisson(40, (1, 24 * 40))
    counts[0, 24 * 30 + 5 :] = 0
    [finding] = detect(build.history(counts, judge_days=12), Config())
    assert (finding.open, finding.deviation) == (False, PATTERN_CHANGE)
    assert finding.start == build.START + HOUR * (24 * 30 + 5)
    assert finding.end <= finding.start + 48 * HOUR


def test_falling_silent_for_good_is_one_change_however_late_in_the_day() -> None:
    for hour in (1, 7, 12, 17, 20):
        counts = np.random.default_rng(2).poisson(60, (1, 24 * 40))
        counts[0, 24 * 36 + hour :] = 0
        [change] = detect(build.history(counts, judge_days=5), Config())
        assert change.deviation == PATTERN_CHANGE
        assert not change.open
