"""services/evaluations: what was found, how late, and what was raised beside it."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from anomalies.models import Anomaly, Series
from anomalies.services import evaluations
from anomalies.services.evaluations import TruthError, Window
from tests import make

NOW, MINUTE, HOUR, DAY = make.NOW, timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TRUTH = Path(__file__).parent.parent / "truth"


def _window(start: timedelta, minutes: int = 10, **named: str) -> Window:
    return Window(name="w", start=NOW + start, end=NOW + start + minutes * MINUTE, **named)


def _anomaly(start: timedelta, minutes: int = 5, *, late: timedelta = MINUTE, **fields: Any) -> Anomaly:
    begin = NOW + start
    return make.anomaly(started_at=begin, active_until=begin + minutes * MINUTE, detected_at=begin + late, **fields)


def _history(days: int = 10) -> None:
    make.event(time=NOW)
    make.event(time=NOW + days * DAY)


def _of_address(address: str) -> dict[str, Any]:
    return {"kind": "address", "entity": address, "ip": address}


class TestReadTruth:
    def test_names_types_and_times_are_read_and_other_keys_ignored(self) -> None:
        content = b"""{"year": 2017, "windows": [{"source_ip": "192.0.2.1", "start": "2017-03-30 15:54:19Z",
            "end": "2017-03-30T18:01:35+02:00", "failures": 147}]}"""
        (window,) = evaluations.read_truth(content)
        assert (window.name, window.named) == ("192.0.2.1", {"address": "192.0.2.1"})
        assert window.start.isoformat() == "2017-03-30T15:54:19+00:00"
        assert window.end.isoformat() == "2017-03-30T16:01:35+00:00"

    def test_our_own_labels_are_read(self) -> None:
        assert len(evaluations.read_truth((TRUTH / "cloudtrail.json").read_bytes())) == 3

    @pytest.mark.parametrize(
        ("truth", "sentence"),
        [
            ("{", "It is no JSON"),
            ("[]", "windows: a truth file is an object with this key"),
            ({"window": []}, "windows: a truth file"),
            ({"windows": [7]}, "window 1: it is no object"),
            ({"windows": [{"end": "2026-11-20T12:00Z"}]}, "window 1, start: it is missing"),
            ({"windows": [{"start": "2026-11-20T12:00Z"}]}, "window 1, end: it is missing"),
            ({"windows": [{"start": "noon"}]}, "window 1, start: 'noon' is no ISO 8601 time"),
            ({"windows": [{"start": "2026-13-40T12:00Z"}]}, "window 1, start: '2026-13-40T12:00Z' is no"),
            ({"windows": [{"start": "2026-11-20T12:00"}]}, "window 1, start: '2026-11-20T12:00' is no .* offset"),
            ({"windows": [{"start": 5}]}, "window 1, start: 5 is no ISO 8601"),
            ({"windows": [{"start": "2026-11-20T12:00Z", "end": "2026-11-20T11:00Z"}]}, "window 1, end: it is before"),
            ({"windows": [{"agent_id": 3}]}, "window 1, agent_id: it is no text"),
        ],
    )
    def test_what_is_wrong_is_named_with_its_window(self, truth: object, sentence: str) -> None:
        with pytest.raises(TruthError, match=sentence):
            evaluations.read_truth((truth if isinstance(truth, str) else json.dumps(truth)).encode())


@pytest.mark.django_db
class TestEvaluate:
    def test_recall_precision_delay_and_false_anomalies(self) -> None:
        _history(days=10)
        _anomaly(HOUR, late=4 * MINUTE)
        first = _anomaly(DAY, late=2 * MINUTE)
        _anomaly(DAY + MINUTE, late=9 * MINUTE)
        false = _anomaly(3 * DAY, type="high_failure_rate")
        evaluation = evaluations.evaluate([_window(HOUR), _window(DAY), _window(2 * DAY)])
        assert (evaluation.found, evaluation.recall) == (2, 2 / 3)
        assert (evaluation.true, evaluation.false, evaluation.precision) == (3, (false,), 3 / 4)
        assert evaluation.f1 == pytest.approx(2 * (2 / 3) * (3 / 4) / (2 / 3 + 3 / 4))
        assert (evaluation.outcomes[1].first, evaluation.outcomes[1].alarms) == (first, 2)
        assert (evaluation.median_delay, evaluation.longest_delay) == (3 * MINUTE, 4 * MINUTE)
        assert evaluation.false_by_type == {"high_failure_rate": 1}
        assert evaluation.false_a_day == pytest.approx(0.1)

    @pytest.mark.parametrize(("minutes", "found"), [(-16, False), (-14, True), (19, True), (21, False)])
    def test_ten_minutes_before_and_after_a_window_count_as_overlap(self, minutes: int, found: bool) -> None:
        _history()
        _anomaly(HOUR + minutes * MINUTE, minutes=5)
        assert evaluations.evaluate([_window(HOUR, 10)]).found == found

    def test_an_alarm_of_another_type_finds_a_window_but_not_as_labelled(self) -> None:
        _history()
        _anomaly(HOUR, type="high_failure_rate")
        _anomaly(DAY)
        windows = [_window(HOUR, type="rate_spike"), _window(DAY, type="rate_spike"), _window(2 * DAY)]
        evaluation = evaluations.evaluate(windows)
        assert (evaluation.found, evaluation.labelled, evaluation.found_as_labelled) == (2, 2, 1)

    def test_an_alarm_before_the_window_was_not_late(self) -> None:
        _history()
        _anomaly(HOUR - 5 * MINUTE, late=MINUTE)
        assert evaluations.evaluate([_window(HOUR)]).median_delay == timedelta()

    def test_an_anomaly_of_somebody_else_does_not_count(self) -> None:
        _history()
        _anomaly(HOUR, **_of_address("192.0.2.9"))
        evaluation = evaluations.evaluate([_window(HOUR, source_ip="192.0.2.1")])
        assert (evaluation.found, len(evaluation.false)) == (0, 1)

    def test_an_anomaly_of_the_named_address_counts(self) -> None:
        _history()
        _anomaly(HOUR, **_of_address("192.0.2.1"))
        assert evaluations.evaluate([_window(HOUR, source_ip="192.0.2.1")]).found == 1

    def test_an_anomaly_of_one_that_took_part_counts(self) -> None:
        _history()
        make.event(time=NOW + HOUR + MINUTE, agent_id="ag_sso", ip="192.0.2.1")
        _anomaly(HOUR, agent=make.agent("ag_sso"))
        assert evaluations.evaluate([_window(HOUR, source_ip="192.0.2.1")]).found == 1

    def test_one_that_took_part_at_another_time_does_not_count(self) -> None:
        _history()
        make.event(time=NOW + 2 * HOUR, agent_id="ag_sso", ip="192.0.2.1")
        _anomaly(HOUR, agent=make.agent("ag_sso"))
        assert evaluations.evaluate([_window(HOUR, source_ip="192.0.2.1")]).found == 0

    def test_since_and_until_leave_out_windows_anomalies_and_days(self) -> None:
        _history(days=10)
        for day in (1, 4, 8):
            _anomaly(day * DAY)
        windows = [_window(day * DAY) for day in (1, 4, 8)]
        evaluation = evaluations.evaluate(windows, since=NOW + 3 * DAY, until=NOW + 5 * DAY)
        assert [outcome.window for outcome in evaluation.outcomes] == [windows[1]]
        assert (evaluation.found, evaluation.false, evaluation.days) == (1, (), 2.0)

    def test_series_days_are_of_entities_from_first_to_last_event_a_day_at_least(self) -> None:
        _history(days=10)
        for entity, kind, metric, days in (
            ("a", "agent", "requests", 6),
            ("a", "agent", "failures", 6),
            ("192.0.2.1", "address", "requests", 0),
            ("all", "tenant", "requests", 10),
        ):
            Series.objects.create(entity=entity, kind=kind, metric=metric, first_time=NOW, last_time=NOW + days * DAY)
        _anomaly(3 * DAY)
        evaluation = evaluations.evaluate([])
        assert evaluation.series_days == pytest.approx(7.0)
        assert evaluation.false_a_day_and_1000_series == pytest.approx(1000 / 7)

    def test_without_events_all_windows_are_missed_and_nothing_is_divided_by_zero(self) -> None:
        evaluation = evaluations.evaluate([_window(HOUR)])
        assert (evaluation.found, evaluation.recall, evaluation.precision, evaluation.f1) == (0, 0.0, None, None)
        assert (evaluation.false_a_day, evaluation.median_delay) == (None, None)
