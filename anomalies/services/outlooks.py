"""Outlooks: what the days before say of a UTC day, kept from the first look of the day for all later ones."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from anomalies.detection.history import History
from anomalies.detection.screening import Outlook, Records
from anomalies.models import Agent, Series
from anomalies.models import Outlook as Kept
from anomalies.services import histories
from anomalies.services.copying import copying
from anomalies.services.detectors import Judges

_KNOWN = """
COPY (
    SELECT string_agg(int8send(series_id) || int8send(calendar) || content, '') FROM anomalies_outlook
    WHERE series_id = ANY(%s) AND name = %s AND day = %s
    GROUP BY series_id %% 16
) TO STDOUT (FORMAT BINARY)
"""

_KEEP = """
INSERT INTO anomalies_outlook (series_id, name, day, calendar, content)
SELECT series_id, %(name)s, %(day)s, calendar, content
FROM unnest(%(series)s::bigint[], %(calendars)s::bigint[], %(contents)s::bytea[]) AS made (series_id, calendar, content)
ORDER BY series_id
ON CONFLICT (series_id, name) DO UPDATE
SET day = excluded.day, calendar = excluded.calendar, content = excluded.content
"""


def known(
    rows: histories.Rows, judges: Judges, calendars: Mapping[int, int], day: date
) -> tuple[dict[Outlook, Records], NDArray[np.bool_]]:
    """Return what was kept for that day of each row, (n,), and for which rows all of it was, (n,).

    `calendars` are the hashes by which entities' hours go now, by their number: made by others, it is out of date.
    """
    row_of = _row_of(rows)
    calendar = np.array([calendars[entity] for entity in rows.entity], dtype=np.int64)
    found, complete = {}, np.ones(len(rows.entity), dtype=np.bool_)
    for outlook in judges.outlooks:
        record = np.dtype([("id", ">i8"), ("calendar", ">i8"), ("content", outlook.dtype)])
        with copying(_KNOWN, [list(row_of), _name(outlook, judges), day]) as copy:
            copy.set_types(["bytea"])
            kept = np.frombuffer(b"".join(content for (content,) in copy.rows()), dtype=record)
        place = np.array([row_of[series_id] for series_id in kept["id"].tolist()], dtype=np.intp)
        of_rows, mine = np.zeros(len(complete), dtype=outlook.dtype), np.zeros(len(complete), dtype=np.bool_)
        of_rows[place], mine[place] = kept["content"], kept["calendar"] == calendar[place]
        found[outlook] = of_rows
        complete &= mine
    return found, complete


def keep(
    history: History,
    rows: histories.Rows,
    judges: Judges,
    calendars: Mapping[int, int],
    wanted: Collection[int],
    day: date,
) -> None:
    """Keep what the days before that day say of the wanted entities, by their number in `rows`, in a transaction."""
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    chosen = {series_id: row for series_id, row in _row_of(rows).items() if rows.entity[row] in wanted}
    for outlook in judges.outlooks:
        made = outlook.of(history, begin)
        with connection.cursor() as cursor:
            cursor.execute(
                _KEEP,
                {
                    "name": _name(outlook, judges),
                    "day": day,
                    "series": list(chosen),
                    "calendars": [calendars[rows.entity[row]] for row in chosen.values()],
                    "contents": [made[row].tobytes() for row in chosen.values()],
                },
            )


def drop(kind: str, entities: Collection[str]) -> None:
    """Drop what was kept of all series of these entities."""
    if entities:
        Kept.objects.filter(series__in=Series.objects.filter(kind=kind, entity__in=entities)).delete()


def calendars(kind: str, windows: Sequence[histories.Window]) -> dict[int, int]:
    """Return a hash of all that tells each entity's hours, by its number: time zone, holidays, working hours."""
    names = [window.entity for window in windows]
    if kind == Series.Kind.AGENT:
        agents = Agent.objects.filter(public_id__in=names)
        told: dict[str, Any] = {
            entity: rest for entity, *rest in agents.values_list("public_id", "time_zone", "holidays", "working_hours")
        }
    else:
        told = dict(histories.zones_of(kind, names, [window.first_time for window in windows]))
    hashes: dict[str, int] = {}
    found = {}
    for number, name in enumerate(names):
        text = json.dumps(told.get(name), sort_keys=True)
        if text not in hashes:
            digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
            hashes[text] = int.from_bytes(digest, signed=True)
        found[number] = hashes[text]
    return found


def _row_of(rows: histories.Rows) -> dict[int, int]:
    """Return the row of each series; what is kept of a row is kept with its requests."""
    return {series_id: row for series_id, (row, metric) in rows.row_of.items() if metric == Series.Metric.REQUESTS}


def _name(outlook: Outlook, judges: Judges) -> str:
    """Each change of any setting makes another: whoever was calm by the old ones is looked at closely once."""
    return hashlib.blake2b(f"{outlook.name} {judges.settings}".encode(), digest_size=12).hexdigest()
