"""Write a simulated month to a file, and what is wrong in it to another."""

import gzip
import itertools
import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rich.console import Console
from rich.progress import Progress

from anomalies.ingest.record import EventRecord
from anomalies.ingest.simulated import Organisation

STANDARD_OUTPUT = "-"
MOST_DAYS = 3650
HOUR = timedelta(hours=1)


class _Writable(Protocol):
    def write(self, content: bytes, /) -> int: ...


class Command(BaseCommand):
    help = "Write events of a simulated organisation in the native format, and its known incidents beside them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=30, help="of events, up to --until (default: 30)")
        parser.add_argument("--agents", type=int, default=30, help="that act (default: 30)")
        parser.add_argument("--seed", type=int, default=1, help="another one, another month (default: 1)")
        parser.add_argument("--volume", type=float, default=1.0, help="times the usual 180,000 events a month")
        parser.add_argument(
            "--dispersion", type=float, default=0.1, help="how much hours differ beyond chance; 0 is Poisson"
        )
        parser.add_argument(
            "--utc", action="store_true", help="let all agents work in UTC: events do not tell the zones of agents"
        )
        parser.add_argument("--until", help="end of the events, ISO 8601 (default: the start of this hour)")
        parser.add_argument(
            "--out", required=True, metavar="FILE", help="to write; compressed if it ends in .gz, - is standard output"
        )

    def handle(self, *_args: Any, days: int, until: str | None, out: str, **options: Any) -> None:
        if not 1 <= days <= MOST_DAYS:
            raise CommandError(f"--days: 1 to {MOST_DAYS:,}, not {days:,}.")
        for name in ("volume", "dispersion"):
            if not 0 <= options[name] <= 1000:
                raise CommandError(f"--{name}: 0 to 1,000, not {options[name]}.")
        try:
            organisation = Organisation(
                **{name: options[name] for name in ("agents", "seed", "volume", "dispersion")},
                zone="UTC" if options["utc"] else "",
            )
        except ValueError as error:
            raise CommandError(f"--{error}") from error
        end = _time(until) if until else timezone.now().replace(minute=0, second=0, microsecond=0)
        start = end - timedelta(days=days)
        incidents = organisation.incidents(start, end)
        try:
            with _output(out) as file:
                written = _write(organisation, start, end, file)
            if out != STANDARD_OUTPUT:
                truth = {"since": start.isoformat(), "windows": [incident.window() for incident in incidents]}
                Path(f"{out}.truth.json").write_text(json.dumps(truth, indent=2) + "\n")
        except OSError as error:
            raise CommandError(f"--out: {out} cannot be written: {error.strerror or error}.") from error
        figures = (
            f"{written:,} events of {len(organisation.agents):,} agents from {start:%Y-%m-%d %H:%M} to "
            f"{end:%Y-%m-%d %H:%M} UTC, {len(incidents):,} incidents."
        )
        (self.stderr if out == STANDARD_OUTPUT else self.stdout).write(figures)


def _write(organisation: Organisation, start: datetime, end: datetime, file: _Writable) -> int:
    encode, written = msgspec.json.Encoder().encode, 0
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task("Simulating", total=(end - start) / HOUR)
        for event in itertools.chain(organisation.before(start, end), organisation.events(start, end)):
            file.write(encode(_native(event)) + b"\n")
            written += 1
            if written % 1000 == 0:
                progress.update(bar, completed=max(event.time - start, timedelta()) / HOUR)
    return written


def _native(event: EventRecord) -> dict[str, Any]:
    """The event in the native format, without what it does not say."""
    said = {name: value for name, value in msgspec.structs.asdict(event).items() if value not in ("", None, {})}
    return {"id": said.pop("external_id"), **said}


@contextmanager
def _output(out: str) -> Iterator[_Writable]:
    if out == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with open(out, "wb") as file:
        if not out.endswith(".gz"):
            yield file
            return
        # Without name and time of its making, the same month is the same file.
        with gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6) as compressed:
            yield compressed


def _time(text: str) -> datetime:
    try:
        time = parse_datetime(text)
    except ValueError:
        time = None
    if time is None or timezone.is_naive(time):
        raise CommandError(f"--until: {text!r} is no ISO 8601 time with an offset, such as 2026-11-20T14:00:00Z.")
    return time.astimezone(UTC)
