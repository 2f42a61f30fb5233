"""detection/brute_force and what detectors/high_failure_rate makes of it."""

import pytest

from anomalies.detection import brute_force
from anomalies.detection.detectors.high_failure_rate import Config, detect
from anomalies.detection.finding import HIGH, MEDIUM
from anomalies.detection.history import Attempts
from tests.detection import build

RULES = Config().rules


def _failures(count: int, *, every: float = 10.0, start: float = 0.0, users: int = 1) -> list[tuple[float, bool, str]]:
    return [(start + every * number, True, f"user_{number % users}") for number in range(count)]


def _spells(*rows: tuple[float, bool, str]) -> list[brute_force.Spell]:
    return brute_force.spells(build.attempts(*sorted(rows)), RULES, count_users=True)


@pytest.mark.parametrize(
    ("rows", "spells"),
    [
        ([], 0),
        (_failures(19), 0),
        (_failures(20), 1),
        (_failures(20, every=200), 0),  # spread over more than an hour
        (_failures(10, users=10), 1),  # spraying
        (_failures(10, users=10, every=70), 0),  # too slow for it
        (_failures(9, users=9), 0),
        ([*_failures(10), (200, False, "user_0")], 1),  # success after ten
        ([*_failures(9), (200, False, "user_0")], 0),
        ([*_failures(5), (60, False, "user_0"), *_failures(5, start=70), (200, False, "user_0")], 0),  # not in a row
        ([*_failures(20), *[(4 + 5 * n, False, "other") for n in range(60)]], 0),  # a busy gateway
        ([*_failures(20), *_failures(20, start=4000)], 2),
    ],
)
def test_rules(rows: list[tuple[float, bool, str]], spells: int) -> None:
    assert len(_spells(*rows)) == spells


def test_a_long_row_of_failures_and_successes_is_judged_in_one_pass() -> None:
    rows = build.attempts(*[(number / 2, number % 3 < 1, "user_0") for number in range(200_000)])
    assert brute_force.spells(rows, RULES, count_users=True) == []


def test_guessing_does_not_lower_what_the_rate_says() -> None:
    n, k = build.office(29), build.office(29) * 0
    n[0, -14], k[0, -14] = 1000, 1000
    guesses = build.attempts(*_failures(30, start=28 * 86400 + 10 * 3600))
    history = build.history(n, failures=k, kind="address", entities=["192.0.2.7"], attempts={"192.0.2.7": guesses})
    assert [finding.severity for finding in detect(history, Config())] == [HIGH]


def test_it_is_raised_at_the_failure_that_broke_the_rule() -> None:
    [spell] = _spells(*_failures(40))
    assert spell.raised_at == build.START + 190
    assert (spell.start, spell.end, spell.failures) == (build.START, build.START + 390, 40)


def test_a_success_names_the_user() -> None:
    [spell] = _spells(*_failures(30), (400, False, "user_7"))
    assert (spell.success_at, spell.success_for) == (build.START + 400, "user_7")


def _found(attempts: Attempts, kind: str = "address") -> list[tuple[int, str]]:
    hourly = [[40] + [0] * 23]
    history = build.history(hourly, kind=kind, entities=["192.0.2.7"], attempts={"192.0.2.7": attempts})
    return [(finding.severity, finding.description) for finding in detect(history, Config())]


def test_guessing_is_medium_and_guessing_with_success_is_high() -> None:
    assert _found(build.attempts(*_failures(30))) == [(MEDIUM, "30 failures from 192.0.2.7 in 5 minutes")]
    assert _found(build.attempts(*_failures(30), (300, False, "user_0"))) == [
        (HIGH, "Success for user_0 after 30 failures from 192.0.2.7 in 5 minutes")
    ]


def test_spraying_names_how_many_users() -> None:
    assert _found(build.attempts(*_failures(12, users=12))) == [
        (MEDIUM, "12 failures from 192.0.2.7 over 12 users in 2 minutes")
    ]


def test_a_spray_is_as_severe_as_so_many_failures_are_improbable() -> None:
    assert _found(build.attempts(*_failures(90, every=3, users=36))) == [
        (HIGH, "90 failures from 192.0.2.7 over 36 users in 4 minutes")
    ]
    assert _found(build.attempts(*_failures(90, every=3))) == [(MEDIUM, "90 failures from 192.0.2.7 in 4 minutes")]


def test_the_most_within_an_hour_is_told_of_an_hour() -> None:
    hourly = [[40] + [0] * 23]
    history = build.history(hourly, kind="address", entities=["a"], attempts={"a": build.attempts(*_failures(30))})
    [finding] = detect(history, Config())
    [interval] = finding.metrics[0].intervals
    assert (interval.resolution_seconds, interval.peak) == (3600, 30)


def test_addresses_that_tried_a_user_are_called_addresses() -> None:
    history = build.history(
        [[40] + [0] * 23],
        kind="principal",
        entities=["root"],
        attempts={"root": build.attempts(*_failures(30, users=3))},
    )
    [finding] = detect(history, Config())
    assert finding.evidence["partner_count"] == 3
    assert "from user_0, user_1 and user_2" in finding.evidence["why"]
