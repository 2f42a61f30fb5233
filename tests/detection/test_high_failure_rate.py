"""detection/detectors/high_failure_rate: improbable rates."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from anomalies.detection.detectors.high_failure_rate import Config, chart, detect, screen
from anomalies.detection.finding import HIGH, MEDIUM, Finding
from anomalies.detection.history import DAY, HOUR, Counts, History
from anomalies.detection.screening import Glance, News
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


def _rare(*refused_days: int, days: int = 60) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Three requests a day, all of them refused on these days, else one in 7 days."""
    n, k = (np.zeros((1, 24 * days), dtype=int) for _ in range(2))
    for day in range(days):
        n[0, [24 * day + 9, 24 * day + 12, 24 * day + 15]] = 1
        k[0, 24 * day + 9] = day % 7 == 0
        if day in refused_days:
            k[0, 24 * day : 24 * day + 24] = n[0, 24 * day : 24 * day + 24]
    return n, k


def test_who_acts_rarely_is_judged_by_its_last_attempts() -> None:
    n, k = _rare(55, 56, 57, 58, 59)
    [finding] = detect(build.history(n, failures=k), Config())
    assert finding.description == "75 % refused (15 of 20 in 6 days), usually 4.7 %"
    assert finding.evidence["event_count"] == 15
    assert finding.end == build.START + 59 * DAY + 16 * HOUR
    assert finding.open


def test_last_attempts_are_one_spell_from_whichever_day_they_are_judged() -> None:
    n, k = _rare(50, 51, 52, 53, 54, 55)
    [whole] = detect(build.history(n, failures=k, judge_days=20), Config())
    assert not whole.open
    told = []
    for days in range(52, 61):
        history = build.history(n[:, : 24 * days], failures=k[:, : 24 * days], judge_days=1)
        told += [finding.start for finding in detect(history, Config())]
    assert set(told) == {whole.start}


def test_spells_that_share_no_attempts_are_told_apart() -> None:
    n, k = _rare(16, 17, 18, 19, 20, 53, 54, 55, 56, 57)
    first, second = detect(build.history(n, failures=k, judge_days=45), Config())
    assert first.end < second.start


def test_refusals_of_an_hour_that_is_hot_by_itself_are_not_told_again() -> None:
    n, k = _rare()
    n[0, 24 * 57 + 9], k[0, 24 * 57 + 9] = 30, 25
    k[0, 24 * 59 + 9] = 1
    assert len(detect(build.history(n, failures=k, judge_days=4), Config())) == 1
    assert detect(build.history(n, failures=k, judge_days=1), Config()) == []


@pytest.mark.parametrize("requests", [30_000, 32_768, 46_341, 393_216])
def test_refusals_of_any_number_of_requests_are_found(requests: int) -> None:
    n = np.full((1, 24 * 29), requests)
    k = np.random.default_rng(3).binomial(n, 0.02)
    k[0, -3:] = requests
    history = build.history(n, failures=k)
    assert len(detect(history, Config())) == 1
    assert screen(_glance(history), Config()).all()


def _glance(history: History) -> Glance:
    """The last day, with three days before it."""
    start = history.hours.end - 4 * DAY
    first = history.hours.index(start)
    counts = history.hours.requests[:, first:], history.hours.failures[:, first:]
    return Glance(replace(history, hours=Counts(start, HOUR, *counts)), {}, News())


def test_its_screen_names_all_whose_last_attempts_it_may_find() -> None:
    rng = np.random.default_rng(11)
    rate = np.exp(rng.uniform(np.log(0.05), np.log(20), (150, 1)))
    n = rng.poisson(rate * np.ones((1, 24 * 60)))
    refused = np.where(np.arange(24 * 60) < 24 * 60 - rng.integers(1, 24 * 10, (150, 1)), 0.05, 0.6)
    history = build.history(n, failures=rng.binomial(n, refused))
    history = replace(history, judge_from=np.full(150, history.until - 2 * HOUR))
    found = {finding.entity for finding in detect(history, Config())}
    named = {history.entities[row] for row in np.flatnonzero(screen(_glance(history), Config()))}
    assert found
    assert found <= named


def test_its_screen_spares_who_is_refused_as_usual() -> None:
    n, k = _month(0.03, n=40)
    spared = ~screen(_glance(build.history(n, failures=k)), Config())
    assert spared.mean() > 0.5
