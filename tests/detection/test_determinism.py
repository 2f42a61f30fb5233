"""What a series is said to do depends on its own counts alone; a new detector is tested here without a line."""

from dataclasses import replace

import numpy as np
import pytest

from anomalies.detection.detector import Detector
from anomalies.detection.finding import Finding
from anomalies.detection.history import DAY, HOUR, Calendar, Counts, History
from anomalies.detection.registry import DETECTORS
from tests.detection import build

DAYS = 32


@pytest.fixture(params=sorted(DETECTORS))
def detector(request: pytest.FixtureRequest) -> Detector:
    return DETECTORS[request.param]


def _month() -> History:
    """Agents of which some spike, one falls silent, one is refused and one is new."""
    counts = build.office(DAYS, n=6, level=60, dispersion=0.05)
    last = 24 * (DAYS - 4)  # a Friday
    counts[0, last + 10 : last + 12] *= 6
    counts[1, last + 3] = 90
    counts[2, last + 10 :] = 0
    counts[4, : last + 9] = 0
    counts[4, last + 9] = 4000
    failures = np.random.default_rng(1).binomial(counts, 0.03)
    failures[3, last + 11] = counts[3, last + 11]
    first = np.where(np.arange(6) == 4, build.START + HOUR * (last + 9), build.START)
    return replace(build.history(counts, failures=failures, judge_days=4), first_time=first)


def _rows(history: History, rows: list[int]) -> History:
    at = np.array(rows, dtype=np.intp)
    return replace(
        history,
        entities=tuple(history.entities[row] for row in rows),
        actions=tuple(history.actions[row] for row in rows),
        judge_from=history.judge_from[at],
        first_time=history.first_time[at],
        hours=history.hours.of(at),
        fives=history.fives.of(at),
        minutes=history.minutes.of(at),
        calendar=history.calendar.of(at),
    )


def _earlier(history: History, days: int) -> History:
    """The same counts in arrays that begin so many days earlier."""

    def longer(counts: Counts) -> Counts:
        empty = days * DAY // counts.width
        requests, failures = (np.pad(each, ((0, 0), (empty, 0))) for each in (counts.requests, counts.failures))
        return Counts(counts.start - days * DAY, counts.width, requests, failures)

    calendar = history.calendar
    before = (calendar.hour_of_week[:, :1] - np.arange(24 * days, 0, -1)[None, :]) % 168
    week = np.concatenate([before, calendar.hour_of_week], axis=1).astype(np.int16)
    return replace(
        history,
        hours=longer(history.hours),
        fives=longer(history.fives),
        minutes=longer(history.minutes),
        tenant=longer(history.tenant),
        calendar=Calendar(
            calendar.zones,
            week,
            week // 24 >= 5,
            calendar.configured,
            np.pad(calendar.at_work, ((0, 0), (24 * days, 0))),
        ),
    )


def _found(detector: Detector, history: History) -> list[Finding]:
    return sorted(detector.detect(history, detector.config()), key=lambda one: (one.entity, one.start, one.topic))


def test_the_month_has_something_to_find() -> None:
    types = {one.type for detector in DETECTORS.values() for one in _found(detector, _month())}
    assert types >= {"rate_spike", "rate_drop", "high_failure_rate"}


def test_the_order_of_rows_is_no_matter(detector: Detector) -> None:
    history = _month()
    assert _found(detector, _rows(history, [3, 1, 5, 0, 4, 2])) == _found(detector, history)


def test_what_else_is_judged_is_no_matter(detector: Detector) -> None:
    history = _month()
    some = [one for one in _found(detector, history) if one.entity in ("ag_0", "ag_2", "ag_4")]
    assert _found(detector, _rows(history, [0, 2, 4])) == some


def test_where_the_arrays_begin_is_no_matter(detector: Detector) -> None:
    history = _month()
    assert _found(detector, _earlier(history, 21)) == _found(detector, history)


def test_from_when_is_judged_is_no_matter_to_what_comes_later(detector: Detector) -> None:
    history = _month()
    later = replace(history, judge_from=history.judge_from + 2.5 * HOUR)
    assert _found(detector, later) == _found(detector, history)


def test_what_others_did_in_the_last_two_days_is_no_matter(detector: Detector) -> None:
    history = _month()
    day = 24 * (DAYS - 4)
    requests, failures = history.tenant.requests.copy(), history.tenant.failures.copy()
    requests[0, day - 47 :] += 5000
    failures[0, day - 47 :] += 4000
    changed = replace(history, tenant=replace(history.tenant, requests=requests, failures=failures))
    alone = replace(history, until=history.until - 3 * DAY)
    assert _found(detector, replace(changed, until=alone.until)) == _found(detector, alone)


def test_a_closed_anomaly_is_the_same_however_much_later_it_is_looked_at(detector: Detector) -> None:
    history = _month()
    for days in (1, 2):
        until = history.until - days * DAY
        early = [
            one for one in _found(detector, replace(history, until=until)) if not one.open and one.end < until - DAY
        ]
        assert [one for one in _found(detector, history) if one in early] == early
