"""CSV: a header row with the native field names or common other names for them; other columns go to metadata."""

import csv
from collections.abc import Iterator
from io import BufferedReader
from typing import Any

from anomalies.ingest.fields import NAMES, REQUIRED, event_record
from anomalies.ingest.ids import Ids
from anomalies.ingest.json_records import parsed_object
from anomalies.ingest.lines import numbered_lines
from anomalies.ingest.record import EventRecord, FieldError, ReadOptions, Rejection, SourceError
from anomalies.ingest.wording import printable, shown

DELIMITERS = ",;\t"
ALIASES = {
    "event_id": "id",
    "external_id": "id",
    "timestamp": "time",
    "datetime": "time",
    "date": "time",
    "agent": "agent_id",
    "principal": "principal_id",
    "user": "principal_id",
    "user_id": "principal_id",
    "username": "principal_id",
    "event": "action",
    "operation": "action",
    "outcome": "status",
    "result": "status",
    "grant": "grant_id",
    "request": "request_id",
    "source_ip": "ip",
    "client_ip": "ip",
    "ip_address": "ip",
    "country_code": "country",
    "lat": "latitude",
    "lon": "longitude",
    "lng": "longitude",
    "useragent": "user_agent",
}


def read(stream: BufferedReader, options: ReadOptions) -> Iterator[EventRecord | Rejection]:
    """Yield an event or a rejection for each row, with the line on which the row starts.

    Raises SourceError if the header names no column for a required field, or where the stream breaks off.
    """
    ids = Ids(options)
    lines = _Lines(stream)
    header = next(lines, "")
    if lines.rejected:
        raise SourceError("The header row cannot be read: it is not UTF-8, or too long.")
    delimiter = max(DELIMITERS, key=header.count)
    try:
        columns = _columns(next(csv.reader([header], delimiter=delimiter), []))
    except csv.Error as error:
        raise SourceError(f"The header row cannot be read: {error}.") from error
    rows = csv.reader(lines, delimiter=delimiter)
    while True:
        start = lines.number + 1
        try:
            row = next(rows)
        except StopIteration:
            yield from lines.rejected
            return
        except csv.Error as error:
            hint = " (is a quote left open?)" if lines.number > start else ""
            yield Rejection(start, f"It is not CSV, up to line {lines.number:,}: {error}{hint}.")
            continue
        yield from lines.rejected
        lines.rejected.clear()
        if not any(row):
            continue
        try:
            yield ids.identified(event_record(_fields(columns, row), options))
        except FieldError as error:
            yield Rejection(start, str(error))


class _Lines:
    """The lines as text, as csv.reader wants them; those that cannot be text are put aside."""

    def __init__(self, stream: BufferedReader) -> None:
        self._lines = numbered_lines(stream)
        self.number = 0
        self.rejected: list[Rejection] = []

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        for number, line in self._lines:
            self.number = number
            if isinstance(line, Rejection):
                self.rejected.append(line)
                continue
            try:
                return line.decode() + "\n"
            except UnicodeDecodeError as error:
                reason = f"It is not UTF-8: byte 0x{error.object[error.start]:02x}."
                self.rejected.append(Rejection(number, reason))
        raise StopIteration


def _columns(header: list[str]) -> list[str]:
    """Return the field of each column. Raises SourceError if one is missing or there twice."""
    columns = []
    for name in header:
        plain = name.strip().lower().replace(" ", "_").replace("-", "_")
        field = ALIASES.get(plain, plain)
        columns.append(field if field in NAMES else name.strip())
    for field in REQUIRED:
        if field not in columns:
            seen = ", ".join(map(printable, columns[:20]))
            raise SourceError(f'The header row has no column "{field}"; its columns are: {seen or "none"}.')
    for field in columns:
        if columns.count(field) > 1:
            raise SourceError(f"The header row has more than one column {shown(field)}.")
    return columns


def _fields(columns: list[str], row: list[str]) -> dict[str, Any]:
    if len(row) != len(columns):
        raise FieldError(f"The row has {len(row)} columns, but the header row has {len(columns)}.")
    fields: dict[str, Any] = {name: text for name, text in zip(columns, row, strict=True) if text.strip() and name}
    if "status" in fields:
        fields["status"] = fields["status"].strip().lower()
    for name in ("latitude", "longitude"):
        if name in fields:
            try:
                fields[name] = float(fields[name])
            except ValueError:
                continue  # event_record says what is wrong
    if "metadata" in fields:
        fields["metadata"] = _metadata(fields["metadata"])
    return fields


def _metadata(text: str) -> dict[str, Any]:
    try:
        return parsed_object(text.encode())
    except FieldError as error:
        raise FieldError(f"metadata: {error}") from None
