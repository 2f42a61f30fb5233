"""detection/detectors/high_failure_rate: improbable rates."""

import numpy as np
import pytest
from numpy.typing import NDArray

from anomalies.detection.detectors.high_failure_rate import Config, chart, detect
from anomalies.detection.finding import HIGH, MEDIUM, Finding
from anomalies.detection.history import HOUR
from tests.detection import build


def _month(failures: float, n: int = 1, seed: int = 2) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    requests = build.office(29, n=n, seed=seed)
    return requests, np.random.default_rng(seed).binomial(requests, failures)


def _last(requests: int, failures: int, usual: float = 0.04) -> list[Finding]:
    n, k = _month(usual)
    n[0, -14], k[0, -14] = requests, failures
    return detect(build.history(n, failures=k), Config())


@pytest.mark.parametrize(
    ("requests", "failures", "found"),
    [
        (50, 31, 1),
        (50, 3, 0),  # usual
        (9, 9, 0),  # too few requests to speak of a rate
        (40, 4, 0),  # too few failures
        (1000, 130, 0),  # improbable, and yet not surely 10 points above the usual
        (1000, 250, 1),
    ],
)
def test_rates(requests: int, failures: int, found: int) -> None:
    assert len(_last(requests, failures)) == found


def test_the_sentence_has_the_numbers() -> None:
    [finding] = _last(50, 31)
    assert finding.description.startswith("62 % refused (31 of 50 in 1 hour), usually ")
    assert finding.severity == HIGH
    assert finding.evidence["usual_ratio"] == pytest.approx(0.04, abs=0.02)


def test_an_entity_that_is_always_refused_is_usual() -> None:
    assert _last(50, 40, usual=0.8) == []


def test_ordinary_months_raise_nothing() -> None:
    n, k = _month(0.05, n=30, seed=5)
    assert detect(build.history(n, failures=k, judge_days=7), Config()) == []


def test_an_unsteady_rate_needs_more() -> None:
    rng = np.random.default_rng(8)
    n = build.office(29, n=1)
    unsteady = rng.binomial(n, rng.beta(0.3, 2.0, n.shape))
    steady = rng.binomial(n, 0.3 / 2.3)
    steady[0, -14], unsteady[0, -14], n[0, -14] = 20, 20, 40
    [of_steady] = detect(build.history(n, failures=steady), Config())
    assert [finding.score for finding in detect(build.history(n, failures=unsteady), Config())] < [of_steady.score]


def test_a_new_entity_is_held_against_the_tenant_and_medium_at_most() -> None:
    n, k = np.zeros((1, 24), dtype=int), np.zeros((1, 24), dtype=int)
    n[0, 10], k[0, 10] = 40, 38
    [finding] = detect(build.history(n, failures=k, first_time=build.START + 10 * HOUR), Config())
    assert finding.severity == MEDIUM


def test_its_chart_shows_failures_against_what_the_requests_let_expect() -> None:
    n, k = _month(0.05)
    n[0, -14], k[0, -14] = 50, 31
    shown = chart(build.history(n, failures=k), Config(), HOUR)
    assert shown.unit == "failures"
    assert shown.observed[10] == 31 > shown.upper[10]
