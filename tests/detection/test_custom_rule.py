"""detection/detectors/custom_rule."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalies.detection.detectors.custom_rule import Config, detect
from anomalies.detection.finding import HIGH, MEDIUM, Finding
from anomalies.detection.history import DAY, Rule
from tests.detection import build

TODAY = build.START + DAY
WINDOW = 300.0
A_SECOND_AFTER = 1.0


def _rule(times: Sequence[float], *, threshold: int = 3, window: float = WINDOW, **fields: object) -> Rule:
    """A rule whose events are at those seconds of the day that is judged."""
    return Rule(
        **{  # type: ignore[arg-type]
            "id": "rule_1",
            "name": "Night exports",
            "severity": MEDIUM,
            "window_seconds": window,
            "threshold": threshold,
            "scopes": (),
            "matches": {"ag_0": TODAY + np.array(sorted(times), dtype=float)},
            **fields,
        }
    )


def _found(*rules: Rule, until: float = DAY) -> list[Finding]:
    history = build.history(np.zeros((2, 48)), until=TODAY + until)
    return detect(replace(history, rules=rules), Config())


def _spans(*rules: Rule, until: float = DAY) -> list[tuple[float, float]]:
    return [(found.start - TODAY, found.end - TODAY) for found in _found(*rules, until=until)]


def test_the_threshold_reached_within_the_window_is_raised_and_names_the_rule() -> None:
    [finding] = _found(_rule([100, 200, 300], severity=HIGH, scopes=("exports.read",)))
    assert (finding.entity, finding.severity, finding.topic) == ("ag_0", HIGH, "rule_1")
    assert finding.description == "3 events in 5 minutes, rule “Night exports” allows fewer than 3"
    assert (finding.start, finding.end, finding.raised_at) == (TODAY + 100, TODAY + 301, TODAY + 300)
    said = finding.evidence
    assert (said["rule"], said["rule_name"], said["scopes"]) == ("rule_1", "Night exports", ["exports.read"])
    assert said["parameters"] == {"window_seconds": 300, "threshold": 3}
    assert (said["observed"], said["upper"], said["event_count"]) == (3, 2, 3)
    assert said["why"].startswith("Rule “Night exports” calls 3 events or more within 5 minutes an anomaly, if")


def test_one_event_less_is_none() -> None:
    assert _found(_rule([100, 200])) == []


def test_a_window_ends_before_its_whole_length_has_passed() -> None:
    assert _spans(_rule([0, 100, 299.999999])) == [(0, pytest.approx(300.999999))]
    assert _spans(_rule([0, 100, 300])) == []


def test_the_window_slides_and_no_edge_of_a_clock_parts_it() -> None:
    assert _spans(_rule([290, 299, 301])) == [(290, 302)]


def test_it_goes_on_while_windows_hold() -> None:
    busy = list(range(0, 3000, 100))
    assert _spans(_rule([*busy, 5000])) == [(0, 2901)]


def test_two_runs_are_two_findings() -> None:
    assert _spans(_rule([0, 1, 2, 1000, 1001, 1002])) == [(0, 3), (1000, 1003)]


def test_a_threshold_of_one_joins_what_is_within_a_window() -> None:
    assert _spans(_rule([0, 299, 599, 600], threshold=1)) == [(0, 300), (599, 601)]


def test_the_busiest_window_is_what_was_observed() -> None:
    [finding] = _found(_rule([0, 100, 200, 210, 220, 230, 900, 901, 902, 903]), until=400)
    assert finding.evidence["observed"] == 6
    assert (finding.evidence["start"], finding.evidence["end"]) == (TODAY, TODAY + 231)


@pytest.mark.parametrize(("until", "is_open"), [(3, True), (302.9, True), (303, False)])
def test_it_is_open_while_a_further_event_could_belong_to_it(until: float, *, is_open: bool) -> None:
    [finding] = _found(_rule([0, 1, 2]), until=until)
    assert finding.open is is_open


def test_rules_broken_at_once_are_several_findings() -> None:
    found = _found(_rule([0, 1, 2]), _rule([0, 1, 2], id="rule_2", name="Any export", threshold=2))
    assert {(finding.topic, finding.start) for finding in found} == {("rule_1", TODAY), ("rule_2", TODAY)}


def test_agents_are_counted_apart() -> None:
    matches = {"ag_0": TODAY + np.array([0.0, 1.0]), "ag_1": TODAY + np.array([2.0, 3.0, 4.0])}
    assert [finding.entity for finding in _found(_rule([], matches=matches))] == ["ag_1"]


def test_a_window_that_ends_before_the_rule_was_in_force_is_not_judged() -> None:
    times = [0, 1, 2, 1000, 1001, 1002]
    assert _spans(_rule(times, since=TODAY + 1002)) == [(1000, 1003)]
    assert _spans(_rule(times, since=TODAY + 1003)) == []


def test_a_window_may_have_begun_before_the_rule_was_in_force() -> None:
    assert _spans(_rule([0, 1, 2], since=TODAY + 2)) == [(0, 3)]


def test_fewer_in_all_than_a_window_holds_are_not_told() -> None:
    [new] = _found(_rule(range(10), since=TODAY + 9))
    assert (new.evidence["observed"], new.evidence["event_count"]) == (10, 3)
    assert "ag_0 had 10 within 5 minutes. A person" in new.evidence["why"]
    [old] = _found(_rule(range(10)))
    assert "ag_0 had 10 within 5 minutes, 10 in all. A person" in old.evidence["why"]


def test_what_ended_before_it_is_to_be_judged_is_left() -> None:
    assert _spans(_rule([-10, -9, -8, 1000, 1001, 1002])) == [(1000, 1003)]
    assert _spans(_rule([-2, -1, 0])) == [(-2, 1)]


@given(
    # Multiples of a quarter second, many of them at the very edges of windows.
    times=st.lists(st.integers(0, 160), max_size=40).map(sorted),
    threshold=st.integers(1, 6),
    window=st.integers(1, 30),
    since=st.integers(0, 160),
)
def test_it_finds_what_looking_at_every_window_finds(times: list[int], threshold: int, window: int, since: int) -> None:
    quarters = [time / 4 for time in times]
    rule = _rule(quarters, threshold=threshold, window=window / 4, since=TODAY + since / 4)
    found = [
        (finding.start - TODAY, finding.end - TODAY, finding.evidence["observed"], finding.evidence["event_count"])
        for finding in _found(rule)
    ]
    assert found == _by_looking_at_every_window(quarters, threshold, window / 4, since / 4)


def _by_looking_at_every_window(
    times: list[float], threshold: int, window: float, since: float
) -> list[tuple[float, float, int, int]]:
    """Each event's own window, and the runs of those that hold: without an array or a search."""
    runs: list[list[int]] = []
    for last, time in enumerate(times):
        if last + 1 < threshold or time < since or not time - times[last + 1 - threshold] < window:
            continue
        first = times[last + 1 - threshold]
        if runs:
            before = runs[-1][-1]
            unbroken = time < times[before + 1 - threshold] + window
            shared = first <= times[before] + A_SECOND_AFTER
            if unbroken or shared:
                runs[-1].append(last)
                continue
        runs.append([last])
    return [
        (
            times[run[0] + 1 - threshold],
            times[run[-1]] + A_SECOND_AFTER,
            max(sum(times[last] - window < time for time in times[: last + 1]) for last in run),
            run[-1] - (run[0] + 1 - threshold) + 1,
        )
        for run in runs
    ]
