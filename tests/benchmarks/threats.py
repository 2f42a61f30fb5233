"""How long the lists of threats take beside their least: the rows of the answer, and how many there are, as plain SQL.

The bare reference knows no key, no caller and no JSON, and which anomalies are none of the list's own.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

import msgspec
from django.db import connection
from django.test import Client

from tests.benchmarks import rows
from tests.benchmarks.alerts import asked_by_key
from tests.benchmarks.turns import Seconds, compared

_THREAT = (
    "SELECT id, status, resolved_at, reason, verdict, state, merged_into_id, suppression_id, created_at, updated_at, "
    "started_at, active_until, title, description, type, kind, evidence->>'entity', evidence->>'event_count', ip, "
    "platforms, countries, principal_ids FROM anomalies_anomaly WHERE {} ORDER BY {} LIMIT 100 OFFSET {}"
)
_DISMISSED = (
    "(status = 'resolved' OR merged_into_id IS NOT NULL OR status = 'open' AND state = 'withdrawn' "
    "OR status = 'open' AND suppression_id IS NOT NULL)"
)
_EVENTS = "coalesce((evidence->>'event_count')::numeric::bigint, 0)"


class Listed(NamedTuple):
    """What the address says, and the same in SQL."""

    url: str
    where: str
    sql: str


def _threats(query: str, where: str = "true", order: str = "created_at DESC, id DESC", offset: int = 0) -> Listed:
    return Listed(f"/api/v2/threats?limit=100&{query}", where, _THREAT.format(where, order, offset))


def lists(anomalies: int) -> dict[str, Listed]:
    """The calls that are measured, by what they ask for of so many."""
    deep, yesterday = anomalies * 9 // 10, rows.TODAY - timedelta(days=1)
    return {
        "threats": _threats(""),
        "threats, deep": _threats(f"offset={deep}", offset=deep),
        "threats, as a poller asks": _threats(
            f"order=created_at&created_after={yesterday:%Y-%m-%d}", f"created_at >= '{yesterday}'", "created_at, id"
        ),
        "threats, dismissed": _threats("status=dismissed", _DISMISSED),
        "threats, active": _threats("status=active", f"NOT {_DISMISSED}"),
        "threats, dismissed, deep": _threats(f"status=dismissed&offset={deep // 2}", _DISMISSED, offset=deep // 2),
        "threats by start_time": _threats("order=-start_time", order="started_at DESC, id DESC"),
        "threats by description": _threats("order=description", order="description, id"),
        "threats by event_count": _threats("order=-event_count", order=f"{_EVENTS} DESC, id DESC"),
    }


def listed(anomalies: int, *, rounds: int = 9) -> Iterator[tuple[str, Seconds]]:
    """Yield how long each list takes with so many anomalies."""
    with asked_by_key(anomalies) as client:
        for name, call in lists(anomalies).items():
            yield name, _beside_bare(client, call, rounds)


def _beside_bare(client: Client, call: Listed, rounds: int) -> Seconds:
    shown: dict[str, int] = {}
    answered: list[bytes] = []

    def ours() -> None:
        answer = client.get(call.url)
        assert answer.status_code == 200, (call.url, answer.content)
        answered[:] = [answer.content]  # what a client makes of it is the client's time

    def bare() -> None:
        with connection.cursor() as cursor:
            cursor.execute(call.sql)
            shown["bare"] = len(cursor.fetchall())
            cursor.execute(f"SELECT count(*) FROM anomalies_anomaly WHERE {call.where}")
            cursor.fetchone()

    taken = compared(ours, bare, rounds=rounds)
    assert msgspec.json.decode(answered[0])["results"] == shown["bare"], (call.url, shown)
    return taken
