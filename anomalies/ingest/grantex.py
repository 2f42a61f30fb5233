"""Grantex audit entries: one a line, a JSON array, or the answer of its API, {"entries": [...]}."""

from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any

from anomalies.ingest.fields import as_spelt, event_record
from anomalies.ingest.ids import Ids
from anomalies.ingest.json_records import json_records, object_with
from anomalies.ingest.record import EventRecord, FieldError, ReadOptions, Rejection

NAMES = {
    "entryId": "id",
    "timestamp": "time",
    "agentId": "agent_id",
    "principalId": "principal_id",
    "grantId": "grant_id",
    "action": "action",
    "status": "status",
    "metadata": "metadata",
}
THEIRS = {ours: theirs for theirs, ours in NAMES.items()}
CHAIN = ("hash", "prevHash")  # of the log the entry comes from; says nothing about the action


def read(stream: BufferedReader, options: ReadOptions) -> Iterator[EventRecord | Rejection]:
    """Yield an event or a rejection for each entry. Raises SourceError where the stream breaks off."""
    ids = Ids(options)
    for place, text in json_records(stream, key="entries"):
        if isinstance(text, Rejection):
            yield text
            continue
        try:
            yield ids.identified(to_record(object_with(text, *NAMES), options))
        except FieldError as error:
            yield place.rejection(error)


def to_record(entry: Mapping[str, Any], options: ReadOptions) -> EventRecord:
    """Return the entry as an event; keys that have no field of their own go to its metadata.

    Raises FieldError, which names the field as Grantex spells it.
    """
    fields = {NAMES.get(name, name): value for name, value in entry.items() if name not in CHAIN}
    if fields.get("status") is None:
        fields["status"] = "success"
    try:
        return event_record(fields, options)
    except FieldError as error:
        raise as_spelt(error, THEIRS) from None
