"""Read files of events, or standard input, into the database."""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Any, BinaryIO, TextIO
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress

from anomalies.ingest import reading
from anomalies.ingest.record import ReadOptions, SourceError
from anomalies.ingest.registry import FORMATS, Format
from anomalies.services import events

STANDARD_INPUT = "-"
REJECTIONS_SHOWN = 20


@dataclass(slots=True)
class _Figures:
    accepted: int = 0
    duplicate: int = 0
    rejected: int = 0
    skipped: int = 0  # files of folders
    shown: list[str] = field(default_factory=list)  # the first rejections
    failures: list[str] = field(default_factory=list)
    years: set[int] = field(default_factory=set)  # assumed

    def add(self, name: str, stored: events.Stored, rejects: TextIO | None) -> None:
        self.accepted += stored.accepted
        self.duplicate += stored.duplicate
        self.rejected += stored.rejected
        for rejection in stored.rejections:
            sentence = f"{name}, line {rejection.line:,}: {rejection.reason}"
            if len(self.shown) < REJECTIONS_SHOWN:
                self.shown.append(sentence)
            if rejects:
                rejects.write(sentence + "\n")


class Command(BaseCommand):
    help = "Read events from files, folders or standard input, gzip or not. What was read before is not added again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="a file, a folder of them, or - (standard input)")
        parser.add_argument("--format", default="native", dest="form", help=f"one of {', '.join(FORMATS)}")
        parser.add_argument("--source", required=True, help="where the events come from; ids are unique within it")
        parser.add_argument("--year", help="of the first line, where lines lack the year")
        parser.add_argument("--time-zone", default="UTC", help="of times that lack one, such as Europe/Berlin")
        parser.add_argument("--rejects", metavar="FILE", help="write all rejected lines there, with the reasons")

    def handle(
        self,
        *_args: Any,
        files: list[str],
        form: str,
        source: str,
        year: str | None,
        time_zone: str,
        rejects: str | None,
        **_options: Any,
    ) -> None:
        if form not in FORMATS:
            raise CommandError(f"--format: {form} is unknown; it is one of {', '.join(FORMATS)}.")
        figures = _Figures()
        options = ReadOptions(
            now=timezone.now(),
            year=_year(year),
            assumed_year=figures.years.add,
            time_zone=_zone(time_zone),
            source=source,
        )
        with ExitStack() as stack:
            rejects_file = stack.enter_context(_rejects_file(rejects)) if rejects else None
            console = Console(stderr=True)
            progress = stack.enter_context(Progress(console=console, disable=not console.is_terminal, transient=True))
            for path in _files(files, FORMATS[form], figures):
                try:
                    with _stream(path, progress) as stream:
                        for stored in events.store_in_batches(
                            reading.read(FORMATS[form], stream, options),
                            source_name=source,
                            format=form,
                            received_at=timezone.now(),
                        ):
                            figures.add(path, stored, rejects_file)
                except reading.NothingAcceptedError:
                    figures.failures.append(f"{path}: No record was accepted.")  # its reasons are shown
                except (SourceError, OSError) as error:
                    figures.failures.append(f"{path}: {_sentence(error)}")
                except events.SourceNameError as error:
                    raise CommandError(f"--{error}") from error
        self._close(figures, rejects)

    def _close(self, figures: _Figures, rejects: str | None) -> None:
        for sentence in figures.shown:
            self.stderr.write(sentence)
        if figures.rejected > len(figures.shown):
            where = f"all are in {rejects}" if rejects else "--rejects FILE writes all"
            self.stderr.write(f"... and {figures.rejected - len(figures.shown):,} more rejected; {where}.")
        if figures.skipped:
            self.stderr.write(f"Other files of the folders, skipped: {figures.skipped:,}.")
        read = figures.accepted + figures.duplicate + figures.rejected
        self.stdout.write(
            f"{read:,} read: {figures.accepted:,} accepted, {figures.duplicate:,} duplicate, "
            f"{figures.rejected:,} rejected." + _assumed(figures.years)
        )
        if figures.failures:
            raise CommandError("\n".join(figures.failures))


def _assumed(years: set[int]) -> str:
    if not years:
        return ""
    named = " and ".join(map(str, sorted(years)))
    return f" The year {named} was assumed for lines without one; --year says otherwise."


def _files(given: list[str], form: Format, figures: _Figures) -> Iterator[str]:
    """Yield the files, those of folders sorted; note what is missing and what is skipped."""
    for name in given:
        path = Path(name)
        if name == STANDARD_INPUT or path.is_file():
            yield name
        elif path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file())
            ours = [file for file in inside if file.name.lower().endswith(form.suffixes)]
            figures.skipped += len(inside) - len(ours)
            if not ours:
                figures.failures.append(f"{name}: the folder holds no file that ends in {', '.join(form.suffixes)}.")
            yield from map(str, ours)
        elif path.exists():
            yield name  # a pipe
        else:
            figures.failures.append(f"{name}: there is no such file.")


@contextmanager
def _stream(name: str, progress: Progress) -> Iterator[BinaryIO]:
    if name == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    path = Path(name)
    with path.open("rb") as file:
        task = progress.add_task(path.name, total=path.stat().st_size)
        yield progress.wrap_file(file, task_id=task)
        progress.remove_task(task)


@contextmanager
def _rejects_file(name: str) -> Iterator[TextIO]:
    try:
        file = Path(name).open("w", encoding="utf-8")  # noqa: SIM115  closed below
    except OSError as error:
        raise CommandError(f"--rejects: {_sentence(error)}") from error
    with file:
        yield file


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"It cannot be opened or read: {error.strerror or error}."
    return str(error)


def _year(text: str | None) -> int | None:
    if text is None:
        return None
    latest = timezone.now().year + 1
    if not (text.isdecimal() and len(text) == 4 and 2000 <= int(text) <= latest):
        raise CommandError(f"--year: {text} is not a year from 2000 to {latest}.")
    return int(text)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:  # a wrong name raises any of them
        raise CommandError(f"--time-zone: {name} is unknown; it is a name such as Europe/Berlin.") from error
