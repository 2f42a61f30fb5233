"""What this contract tells of an anomaly: each field once, as SQL, to be read, filtered and ordered by."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction
from ninja import Schema

from anomalies.api.cloudlock_v2.countries import country_name
from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, ReviewEntry, Series
from anomalies.models.anomaly import SUPPRESSED, WITHDRAWN
from anomalies.services.parts import ROWS_AT_ONCE

ACTIVE, DISMISSED = "ACTIVE", "DISMISSED"

# Dismiss reasons that are offered, and the verdict that each is; another one is kept in its own words.
VERDICTS = {
    "false_positive": Anomaly.Verdict.FALSE_POSITIVE,
    "expected_behavior": Anomaly.Verdict.BENIGN,
    "resolved": Anomaly.Verdict.TRUE_POSITIVE,
    "duplicate": Anomaly.Verdict.DUPLICATE,
}
OTHER = "other"

_RESOLVED = f"a.status = '{Anomaly.Status.RESOLVED}'"
_MERGED = "a.merged_into_id IS NOT NULL"
_WITHDRAWN = f"a.status = '{Anomaly.Status.OPEN}' AND a.state = '{Anomaly.State.WITHDRAWN}'"
_SUPPRESSED = f"a.status = '{Anomaly.Status.OPEN}' AND a.suppression_id IS NOT NULL"
IS_DISMISSED = f"({_RESOLVED} OR {_MERGED} OR {_WITHDRAWN} OR {_SUPPRESSED})"


def _case(column: str, told: Mapping[str, str], otherwise: str) -> str:
    """What each value of a column is told as."""
    cases = " ".join(f"WHEN {_literal(value)} THEN {_literal(word)}" for value, word in told.items())
    return f"CASE {column} {cases} ELSE {otherwise} END"


def _literal(word: str) -> str:
    """A text in a statement that takes values, of which each `%` begins one."""
    text = word.replace("'", "''").replace("%", "%%")
    return f"'{text}'"


_REASON = f"""CASE
    WHEN {_RESOLVED} AND a.reason <> '' THEN a.reason
    WHEN {_RESOLVED} THEN {_case("a.verdict", {verdict: reason for reason, verdict in VERDICTS.items()}, f"'{OTHER}'")}
    WHEN {_MERGED} THEN 'duplicate'
    WHEN {_WITHDRAWN} THEN '{WITHDRAWN}'
    WHEN {_SUPPRESSED} THEN '{SUPPRESSED}'
END"""
_WHO = _case("a.kind", {Series.Kind.PRINCIPAL: "user", Series.Kind.ADDRESS: "ip"}, "a.kind")
_RISK = _case("a.type", {type_: one.risk for type_, one in DETECTORS.items()}, "''")
_ENTITY = _case("a.type", {type_: one.entity for type_, one in DETECTORS.items() if one.entity}, _WHO)

# `created_at` is when the row was made, not the time at which a scan would have found it: that may lie in the past,
# where no poller looks any more.
SCALARS: Mapping[str, str] = {
    "id": "a.id",
    "status": f"CASE WHEN {IS_DISMISSED} THEN '{DISMISSED}' ELSE '{ACTIVE}' END",
    "dismissed_at": "a.resolved_at",
    "dismiss_reason": _REASON,
    "created_at": "a.created_at",
    "updated_at": "a.updated_at",
    "detected_at": "a.created_at",
    "start_time": "a.started_at",
    "end_time": "a.active_until",
    "short_description": "a.title",
    "description": "a.description",
    "threat_type": "a.type",
    "threat_risk": _RISK,
    "threat_entity": f"coalesce(a.evidence->>'entity', {_ENTITY})",
    "event_count": "coalesce((a.evidence->>'event_count')::numeric(20, 0)::bigint, 0)",
    "suspicious_ip": "a.ip",
}
_TIMES = ("dismissed_at", "created_at", "updated_at", "detected_at", "start_time", "end_time")
_BY_INDEX = ("a.id", "a.created_at")  # are not sorted, so that whole rows cost nothing more


def _spelled(name: str) -> str:
    """A field as it is told. Times are as Python's `isoformat` has them, which takes four times as long for a page."""
    if name not in _TIMES:
        return SCALARS[name]
    text = f"""to_char({SCALARS[name]} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US')"""
    return f"replace({text}, '.000000', '') || '+00:00'"


# While a scan runs, what it raises is not shown: it may be merged yet, and of workers that share it the later one may
# be the first to be done, so that a poller would look past what the other adds. What was merged in that scan never is
# an item; what a later one merges stays one.
_UNDER_WAY = """
SELECT id FROM (SELECT id, finished_at FROM anomalies_scan ORDER BY id DESC LIMIT 1) AS newest
WHERE finished_at IS NULL
"""
_MERGED_LATER = f"""EXISTS (
    SELECT FROM anomalies_reviewentry e JOIN anomalies_scan s ON s.id = a.scan_id
    WHERE e.anomaly_id = a.id AND e.action = '{ReviewEntry.Action.MERGED}' AND e.at > s.now
)"""
_NOT_MERGED_AT_ONCE = f"(NOT {_MERGED} OR {_MERGED_LATER})"

_COLUMNS = ", ".join([*map(_spelled, SCALARS), "a.platforms", "a.countries", "a.principal_ids"])
_NUMBER = "a.id"
_BY_NUMBER = f"SELECT {_COLUMNS} FROM anomalies_anomaly a WHERE {{where}} AND a.id = ANY(%s)"  # noqa: S608  of constants
_PAGE = f"""
FROM anomalies_anomaly a WHERE {{where}} AND {_NOT_MERGED_AT_ONCE} AND a.scan_id NOT IN ({_UNDER_WAY})
ORDER BY {{order}} LIMIT %s OFFSET %s
"""
# All that match but the few that are no items, each of which has an index. Of a scan that is not there, nothing is
# read to count what it raised. BETWEEN is for the planner, which takes what equals a number that it does not know for
# all rows where there was one scan, and spends a second on compiling what it then never runs.
_TOTAL = f"""
WITH under_way AS ({_UNDER_WAY})
SELECT (SELECT count(*) FROM anomalies_anomaly a WHERE {{where}})
    - (SELECT count(*) FROM anomalies_anomaly a WHERE {{where}} AND NOT {_NOT_MERGED_AT_ONCE})
    - (SELECT count(*) FROM anomalies_anomaly a WHERE {{where}} AND {_NOT_MERGED_AT_ONCE}
       AND EXISTS (SELECT FROM under_way)
       AND a.scan_id BETWEEN (SELECT id FROM under_way) AND (SELECT id FROM under_way))
"""  # noqa: S608  of constants
_USERS = "SELECT public_id, name, email FROM anomalies_principal WHERE public_id = ANY(%s)"

EXAMPLE: dict[str, Any] = {
    "id": 1003391,
    "status": "ACTIVE",
    "dismissed_at": None,
    "dismiss_reason": None,
    "created_at": "2020-09-19T03:16:50.016438+00:00",
    "updated_at": "2020-09-19T03:16:50.016448+00:00",
    "detected_at": "2020-09-19T03:16:50.016438+00:00",
    "start_time": "2020-09-18T00:03:27+00:00",
    "end_time": "2020-09-18T10:55:36+00:00",
    "short_description": "",
    "description": "lee@example.com has an abnormal frequency of suspicious login activity from India",
    "threat_type": "suspicious_login",
    "threat_risk": "Account Compromise",
    "threat_entity": "location",
    "platforms": ["office365"],
    "event_count": 13,
    "suspicious_ip": None,
    "locations": ["India"],
    "users": [{"display_name": "lee@example.com", "email": "lee@example.com"}],
}


class User(Schema):
    display_name: str
    email: str | None


class Threat(Schema):
    """One anomaly. `short_description` is what reviewers call it; `users` are at most 100, the busiest first;
    `event_count` are the events of the whole buckets by which it was judged, in which it may have begun later.

    ACTIVE: somebody may be asked to act on it. It is open, also if it is snoozed, which ends by itself, or was seen and
    not judged yet. DISMISSED: nobody is asked any more. It was resolved, with `dismissed_at` and a reason; or, at no
    time of anybody's, it is `suppressed`, `withdrawn` (events that came late explain it) or a `duplicate`, found to be
    a part of another. A threat is never taken off the list again: the places of those after it would shift, and a
    poller that pages by `offset` would miss one.
    """

    id: int
    status: str
    dismissed_at: datetime | None
    dismiss_reason: str | None
    created_at: datetime
    updated_at: datetime
    detected_at: datetime
    start_time: datetime
    end_time: datetime
    short_description: str
    description: str
    threat_type: str
    threat_risk: str
    threat_entity: str
    platforms: list[str]
    event_count: int
    suspicious_ip: str | None
    locations: list[str] | None
    users: list[User]

    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}


class Where(NamedTuple):
    """Conditions on anomalies in SQL that all have to hold, and their values."""

    sql: str = "true"
    values: Sequence[Any] = ()

    def total(self) -> int:
        """Return how many of the anomalies are items."""
        with connection.cursor() as cursor:
            cursor.execute(_TOTAL.format(where=self.sql), [*self.values] * 3)
            return int(cursor.fetchone()[0])


@dataclass(frozen=True, slots=True)
class Page:
    """Which items are meant: those of the anomalies that pass, in the order of a field, those that are the same by id.

    Without a limit all of them.
    """

    where: Where
    order: str = "id"  # descending after `-`
    offset: int = 0
    limit: int | None = None

    @property
    def is_short(self) -> bool:
        return self.limit is not None and self.limit <= ROWS_AT_ONCE

    def statement(self, columns: str) -> tuple[str, Sequence[Any]]:
        """The rows as SQL, with their values: what is told of each, or its number alone."""
        field, direction = self.order.removeprefix("-"), "DESC" if self.order.startswith("-") else "ASC"
        order = f"{SCALARS[field]} {direction}, a.id {direction}"
        rows = _PAGE.format(where=self.where.sql, order=order)
        # What is told is not read of those before the page, nor sorted with them.
        if columns == _NUMBER:
            sql = f"SELECT {columns} {rows}"
        elif SCALARS[field] in _BY_INDEX:
            sql = f"SELECT {columns} FROM (SELECT a.* {rows}) AS a ORDER BY {order}"  # noqa: S608  of constants
        else:
            found = f"SELECT a.id {rows}"
            sql = f"SELECT {columns} FROM anomalies_anomaly a WHERE a.id IN ({found}) ORDER BY {order}"  # noqa: S608
        return sql, [*self.where.values, self.limit, self.offset]

    def numbers(self) -> "array[int]":
        """The numbers of the anomalies that are the items, 8 bytes each."""
        found = array("q")
        with transaction.atomic(), connection.chunked_cursor() as cursor:
            cursor.execute(*self.statement(_NUMBER))
            while some := cursor.fetchmany(ROWS_AT_ONCE):
                found.extend(number for (number,) in some)
        return found


def told(page: Page) -> Iterator[dict[str, Any]]:
    """Yield each item. More than 2,000 are those that match when the first is asked for, and still when they are read.

    No statement is open for as long as somebody takes to read them.
    """
    if page.is_short:
        yield from _items(*page.statement(_COLUMNS))
        return
    numbers = page.numbers()
    for start in range(0, len(numbers), ROWS_AT_ONCE):
        some = numbers[start : start + ROWS_AT_ONCE].tolist()
        sql, values = _BY_NUMBER.format(where=page.where.sql), [*page.where.values, some]
        found = {item["id"]: item for item in _items(sql, values)}
        yield from (found[number] for number in some if number in found)


def _items(sql: str, values: Sequence[Any]) -> Iterator[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        rows = cursor.fetchall()
    users = _users({principal_id for row in rows for principal_id in row[-1]})
    return (_item(row, users) for row in rows)


def _users(ids: set[str]) -> dict[str, dict[str, str | None]]:
    if not ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_USERS, [[*ids]])
        return {public_id: _user(public_id, name, email) for public_id, name, email in cursor}


def _user(public_id: str, name: str = "", email: str = "") -> dict[str, str | None]:
    address = email or (public_id if "@" in public_id else None)
    return {"display_name": name or email or public_id, "email": address}


def _item(row: Sequence[Any], users: Mapping[str, dict[str, str | None]]) -> dict[str, Any]:
    *scalars, platforms, countries, principal_ids = row
    return {
        **dict(zip(SCALARS, scalars, strict=True)),
        "platforms": platforms,
        "locations": [country_name(code) for code in countries] or None,
        "users": [users.get(principal_id) or _user(principal_id) for principal_id in principal_ids],
    }
