"""Hold what detection raised against what is known to have happened."""

import json
from argparse import ArgumentParser
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rich.console import Console
from rich.table import Table

from anomalies.models import Severity
from anomalies.services import evaluations
from anomalies.services.evaluations import Evaluation, Outcome


class Command(BaseCommand):
    help = "Say which known incidents were found, how late, and how many anomalies were raised beside them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--truth", required=True, metavar="FILE", help='known incidents: {"windows": [{"start", "end", ...}]}'
        )
        parser.add_argument(
            "--since", help="leave out what starts before (ISO 8601 with an offset; default: as the file says)"
        )
        parser.add_argument("--until", help="leave out what starts then or later")
        parser.add_argument("--json", action="store_true", dest="as_json", help="write all figures as JSON")

    def handle(
        self, *_args: Any, truth: str, since: str | None, until: str | None, as_json: bool, **_options: Any
    ) -> None:
        try:
            content = Path(truth).read_bytes()
            windows, known_since = evaluations.read_truth(content), evaluations.known_since(content)
        except OSError as error:
            raise CommandError(f"--truth: {truth} cannot be read: {error.strerror or error}.") from error
        except evaluations.TruthError as error:
            raise CommandError(f"--truth: {truth}: {error}") from error
        evaluation = evaluations.evaluate(
            windows, since=_time("--since", since) or known_since, until=_time("--until", until)
        )
        if as_json:
            self.stdout.write(json.dumps(_figures(evaluation), indent=2))
            return
        console = Console(highlight=False)
        if console.is_terminal:
            console.print(_table(evaluation))
        else:
            for outcome in evaluation.outcomes:
                self.stdout.write("  ".join(_cells(outcome)))
        self.stdout.write(_summary(evaluation))


def _time(name: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = parse_datetime(text)
    except ValueError:
        time = None
    if time is None or timezone.is_naive(time):
        raise CommandError(f"{name}: {text!r} is no ISO 8601 time with an offset, such as 2026-11-20T14:05:00Z.")
    return time


def _table(evaluation: Evaluation) -> Table:
    table = Table(box=None, header_style="bold")
    for column in ("Window", "Start (UTC)", "First alarm", "Severity", "Anomaly", "Delay", "Alarms"):
        table.add_column(column)
    for outcome in evaluation.outcomes:
        table.add_row(*_cells(outcome), style=None if outcome.first else "red")
    return table


def _cells(outcome: Outcome) -> tuple[str, ...]:
    window, first = outcome.window, outcome.first
    known = (window.name, f"{window.start:%Y-%m-%d %H:%M:%S}")
    if first is None or outcome.delay is None:
        return (*known, "not found", "", "", "", "0")
    severity = str(Severity(first.severity).label)
    return (*known, first.type, severity, first.public_id, _span(outcome.delay), str(outcome.alarms))


def _summary(evaluation: Evaluation) -> str:
    """Such as `6 of 6 windows, first alarm after 1 min 41 s (median) to 4 min, ...`."""
    found = f"{evaluation.found:,} of {len(evaluation.outcomes):,} windows"
    if evaluation.median_delay is not None and evaluation.longest_delay is not None:
        found += f", first alarm after {_span(evaluation.median_delay)} (median) to {_span(evaluation.longest_delay)}"
    ratios = {"recall": evaluation.recall, "precision": evaluation.precision, "F1": evaluation.f1}
    figures = ", ".join(f"{name} {ratio:.3f}" for name, ratio in ratios.items() if ratio is not None)
    types = ", ".join(f"{count:,} {type_}" for type_, count in evaluation.false_by_type.items())
    false = f"{len(evaluation.false):,} false anomalies{f' ({types})' if types else ''}"
    if evaluation.false_a_day is None:
        return f"{found}, no history."
    if evaluation.labelled:
        false = f"{evaluation.found_as_labelled:,} of {evaluation.labelled:,} found as the type they name; {false}"
    history = f"{len(evaluation.false):,} false in {_span(timedelta(days=evaluation.days))}"
    if evaluation.days >= 1:
        history = f"{evaluation.false_a_day:.2f} false anomalies a day over {evaluation.days:.1f} days"
    return (
        f"{false} of {evaluation.true + len(evaluation.false):,}{f'; {figures}' if figures else ''}; "
        f"{evaluation.false_a_day_and_1000_series or 0:.2f} false anomalies a day per 1,000 series.\n"
        f"{found}, {history}."
    )


def _span(delay: timedelta) -> str:
    """Such as `41 s`, `1 min 41 s`, `4 min`, `2 h 5 min`."""
    seconds = round(delay.total_seconds())
    if seconds >= 3600:
        parts = ((seconds // 3600, "h"), (seconds % 3600 // 60, "min"))
    else:
        parts = ((seconds // 60, "min"), (seconds % 60, "s"))
    return " ".join(f"{count:,} {unit}" for count, unit in parts if count) or "0 s"


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "windows": [
            {
                "name": outcome.window.name,
                "start": outcome.window.start.isoformat(),
                "end": outcome.window.end.isoformat(),
                "found": outcome.first is not None,
                "anomaly": outcome.first.public_id if outcome.first else None,
                "type": outcome.first.type if outcome.first else None,
                "severity": str(Severity(outcome.first.severity).label) if outcome.first else None,
                "delay_seconds": outcome.delay.total_seconds() if outcome.delay is not None else None,
                "alarms": outcome.alarms,
                "alarms_of_its_type": outcome.alarms_of_its_type,
            }
            for outcome in evaluation.outcomes
        ],
        "found": evaluation.found,
        "labelled": evaluation.labelled,
        "found_as_labelled": evaluation.found_as_labelled,
        "recall": evaluation.recall,
        "precision": evaluation.precision,
        "f1": evaluation.f1,
        "true_anomalies": evaluation.true,
        "false_anomalies": len(evaluation.false),
        "false_by_type": evaluation.false_by_type,
        "false_ids": [anomaly.public_id for anomaly in evaluation.false],
        "days": evaluation.days,
        "series_days": evaluation.series_days,
        "false_a_day": evaluation.false_a_day,
        "false_a_day_per_1000_series": evaluation.false_a_day_and_1000_series,
        "median_delay_seconds": evaluation.median_delay.total_seconds()
        if evaluation.median_delay is not None
        else None,
        "longest_delay_seconds": evaluation.longest_delay.total_seconds()
        if evaluation.longest_delay is not None
        else None,
    }
