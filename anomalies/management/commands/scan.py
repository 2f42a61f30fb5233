"""Run detection from the command line."""

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rich.console import Console
from rich.progress import Progress, TaskID

from anomalies.detection.lateness import LATE_SECONDS
from anomalies.models import Scan
from anomalies.services import judging, scans


class Command(BaseCommand):
    help = "Count what arrived and look for anomalies in it, as the schedule does every minute."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--now", help="as if it were that time (ISO 8601 with an offset); nothing later is judged")
        parser.add_argument(
            "--replay",
            action="store_true",
            help="judge all of the history, each anomaly dated by the scheduled scan that would have found it",
        )

    def handle(self, *_args: Any, now: str | None, replay: bool, **_options: Any) -> None:
        at = _time(now) if now else timezone.now()
        with _progress() as progress:
            if replay:
                scan = scans.replay(now=at, progress=progress)
            else:
                scan = scans.run(now=at, trigger=Scan.Trigger.COMMAND, progress=progress)
        counted = (
            f"{_number(scan.events_counted, 'event')} in {_number(scan.batches_counted, 'batch', 'batches')} counted"
        )
        self.stdout.write(
            f"{counted if scan.batches_counted else 'Nothing was waiting to be counted'}, "
            f"{_number(scan.series_judged, 'entity', 'entities')} judged; anomalies: {scan.anomalies_raised:,} raised, "
            f"{scan.anomalies_extended:,} extended, {scan.anomalies_closed:,} closed."
        )
        if scan.anomalies_of_the_past:
            self.stdout.write(
                f"{scan.anomalies_of_the_past:,} of those raised had ended long before they could be seen: "
                "they are dated by when a scan would have found them, and nobody was told."
            )
        if scan.series_late:
            self.stdout.write(
                f"{scan.series_late:,} series got events more than {_number(LATE_SECONDS // 3600, 'hour')} older than "
                "what was judged: they are counted; scan --replay judges them."
            )
        if scan.series_failed:
            raise CommandError(
                f"{_number(scan.series_failed, 'entity', 'entities')} could not be judged; the log above says why."
            )


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _time(text: str) -> datetime:
    try:
        time = parse_datetime(text)
    except ValueError:
        time = None
    if time is None or timezone.is_naive(time):
        raise CommandError(f"--now: {text!r} is not an ISO 8601 time with an offset, such as 2026-11-20T14:05:00Z.")
    return time


@contextmanager
def _progress() -> Iterator[judging.Progress]:
    """Show how far the scan is, on a terminal."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield show
