"""How long the list of alerts takes beside its least: one query, read into rows that are written as JSON.

The bare reference is the query of that list as SQL by its index, for the same columns, as rows of the model; there is
no request, nobody's key is looked at, and nothing is spelled as others want it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
from django.test import Client

from anomalies.api.grantex_v1.alerts import COLUMNS
from anomalies.models import Anomaly, ApiKey
from anomalies.services import api_keys
from tests.benchmarks import rows
from tests.benchmarks.turns import Seconds, compared

_COLUMNS = (*COLUMNS, "evidence")
_NEWEST = (
    f"SELECT id, {', '.join(_COLUMNS)} FROM anomalies_anomaly WHERE merged_into_id IS NULL AND {{}} "
    "ORDER BY detected_at DESC, id DESC LIMIT 100"
)


class Filter(NamedTuple):
    """What the address says, and the same as a condition in SQL."""

    query: str
    where: str


FILTERS = {
    "no filter": Filter("", "true"),
    "open": Filter("status=open", "status = 'open'"),
    "high": Filter("severity=high", "severity = 3"),
    "one agent": Filter("agentId=ag_17", "agent_id = 'ag_17'"),
    "resolved and low": Filter("status=resolved&severity=low", "status = 'resolved' AND severity = 1"),
}


def list_of(client: Client, *, rounds: int = 9) -> Iterator[tuple[str, Seconds]]:
    """Yield how long each list of a hundred takes, by its filters."""
    for name, (query, where) in FILTERS.items():
        yield name, _beside_bare(client, query, _NEWEST.format(where), rounds)


@contextmanager
def asked_by_key(anomalies: int) -> Iterator[Client]:
    """So many anomalies, and a client that calls with a key."""
    rows.actors(1000, days=30)
    rows.anomalies(anomalies)
    key, plain = api_keys.create(name="benchmark", scopes=[ApiKey.Scope.READ], requests_per_minute=0)
    try:
        yield Client(headers={"host": "localhost", "authorization": f"Bearer {plain}"})
    finally:
        key.delete()
        rows.empty()


def _beside_bare(client: Client, query: str, sql: str, rounds: int) -> Seconds:
    shown: dict[str, int] = {}

    def ours() -> None:
        answer: Any = client.get(f"/v1/anomaly/alerts?{query}")
        assert answer.status_code == 200, query
        shown["ours"] = answer.content.count(b'"alertId"')

    def bare() -> None:
        found = [{name: getattr(one, name) for name in _COLUMNS} for one in Anomaly.objects.raw(sql)]
        msgspec.json.encode(found)
        shown["bare"] = len(found)

    taken = compared(ours, bare, rounds=rounds)
    assert shown["ours"] == shown["bare"], (query, shown)
    return taken
