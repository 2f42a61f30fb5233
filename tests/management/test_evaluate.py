"""manage.py evaluate: a table, a closing line, or JSON."""

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests import make

pytestmark = pytest.mark.django_db

NOW, MINUTE, DAY = make.NOW, timedelta(minutes=1), timedelta(days=1)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Two windows: one found after 1 min 41 s, one missed; one false anomaly in ten days."""
    make.event(time=NOW)
    make.event(time=NOW + 10 * DAY)
    make.anomaly(started_at=NOW + DAY, active_until=NOW + DAY + MINUTE, detected_at=NOW + DAY + timedelta(seconds=101))
    make.anomaly(started_at=NOW + 2 * DAY, active_until=NOW + 2 * DAY + MINUTE, detected_at=NOW + 2 * DAY)
    windows = [
        {"name": name, "start": (NOW + start).isoformat(), "end": (NOW + start + MINUTE).isoformat()}
        for name, start in (("sweep", DAY), ("missed", 5 * DAY))
    ]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps({"windows": windows}))
    return path


def _evaluate(truth: Path, *arguments: str) -> str:
    told = io.StringIO()
    call_command("evaluate", "--truth", str(truth), *arguments, stdout=told)
    return told.getvalue()


def test_each_window_has_a_line_and_the_last_line_sums_up(truth: Path) -> None:
    lines = _evaluate(truth).splitlines()
    assert lines[0].startswith("sweep  2026-11-21 12:00:00  rate_spike  high  anom_")
    assert lines[0].endswith("  1 min 41 s  1")
    assert "not found" in lines[1]
    assert lines[-1] == (
        "1 of 2 windows, first alarm after 1 min 41 s (median) to 1 min 41 s, "
        "0.10 false anomalies a day over 10.0 days."
    )


def test_less_than_a_day_is_not_scaled_up(tmp_path: Path) -> None:
    make.event(time=NOW)
    make.event(time=NOW + 50 * MINUTE)
    make.anomaly(started_at=NOW + MINUTE, active_until=NOW + 2 * MINUTE)
    empty = tmp_path / "truth.json"
    empty.write_text('{"windows": []}')
    assert _evaluate(empty).splitlines()[-1] == "0 of 0 windows, 1 false in 50 min."


def test_json_has_all_figures(truth: Path) -> None:
    figures = json.loads(_evaluate(truth, "--json"))
    assert [window["found"] for window in figures["windows"]] == [True, False]
    assert (figures["recall"], figures["precision"], figures["f1"]) == (0.5, 0.5, 0.5)
    assert (figures["median_delay_seconds"], figures["false_by_type"]) == (101.0, {"rate_spike": 1})


def test_without_events_it_says_so(tmp_path: Path) -> None:
    empty = tmp_path / "truth.json"
    empty.write_text('{"windows": []}')
    assert _evaluate(empty).strip() == "0 of 0 windows, no history."


def test_a_bad_truth_file_is_one_sentence(tmp_path: Path) -> None:
    bad = tmp_path / "truth.json"
    bad.write_text('{"windows": [{"start": "2026-11-20T12:00Z"}]}')
    with pytest.raises(CommandError, match=r"--truth: .*truth\.json: window 1, end: it is missing\."):
        _evaluate(bad)
    with pytest.raises(CommandError, match=r"--truth: .* cannot be read: No such file or directory\."):
        _evaluate(tmp_path / "missing")


def test_a_bad_time_is_one_sentence(truth: Path) -> None:
    with pytest.raises(CommandError, match="--since: 'monday' is no ISO 8601 time"):
        _evaluate(truth, "--since", "monday")
