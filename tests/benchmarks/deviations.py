"""How long the lists of the Anodot API take beside their least: groups, metrics, intervals and their number, as SQL.

The bare reference is the query of each table as SQL by its index, one that counts, and the product's own spelling of a
group in JSON; there is no request, no key, no caller, and no parameter to understand.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec
from django.db import connection
from django.test import Client

from anomalies.api.anodot_v2.group import Group
from anomalies.api.anodot_v2.metric import Deviating
from anomalies.models import Interval
from tests.benchmarks import rows
from tests.benchmarks.alerts import asked_by_key
from tests.benchmarks.turns import Seconds, compared

_DEVIATION = "a.merged_into_id IS NULL AND a.state <> 'withdrawn'"
_PAGE = (
    "SELECT a.id, public_id, state, title, description, resolution_seconds, started_at, ended_at, score, principal_id, "
    "(SELECT s.now FROM anomalies_scan s WHERE s.id = coalesce(last_scan_id, scan_id)) "
    "FROM anomalies_anomaly a {} WHERE {} ORDER BY {} LIMIT 100"
)
_METRICS = (
    "SELECT id, anomaly_id, name, what, kind, entity, action, type, score, evidence->'observed', true "
    "FROM anomalies_metric WHERE anomaly_id = ANY(%s) ORDER BY score DESC, name"
)
_INTERVALS = "SELECT * FROM anomalies_interval WHERE metric_id = ANY(%s) AND main ORDER BY started_at, id"
_BREACHES = "JOIN anomalies_breach b ON b.anomaly_id = a.id"


class Listed(NamedTuple):
    """What the address says, and the same in SQL."""

    query: dict[str, object]
    where: str = "true"
    order: str = "a.started_at DESC, a.id DESC"
    join: str = ""


def lists() -> dict[str, Listed]:
    """The calls that are measured, by what they ask for."""
    week = rows.TODAY - timedelta(days=7)
    return {
        "no filter": Listed({}),
        "7 days": Listed({"startDate": int(week.timestamp())}, f"a.started_at >= '{week}'"),
        "score": Listed({"score": 95}, "a.score >= 0.95"),
        "resolution": Listed({"resolution": "short"}, "a.resolution_seconds < 300"),
        "open": Listed({"state": "open"}, "a.state = 'open'"),
        "as Grafana asks": Listed(
            {"score": 0.05, "durationUnit": "minutes", "durationValue": 1, "resolution": "short,medium", "delta": 5,
             "deltaType": "absolute", "order": "desc", "sort": "delta", "state": "both", "valueDirection": "both"},
            "a.score >= 0.05 AND (a.state = 'open' OR a.ended_at - a.started_at >= interval '1 minute') "
            "AND a.resolution_seconds < 3600 AND b.delta >= 5",
            "b.delta DESC, b.anomaly_id DESC",
            _BREACHES,
        ),
        "rare delta": Listed({"delta": 1999, "deltaType": "absolute"}, "b.delta >= 1999", join=_BREACHES),
        "one agent": Listed(
            {"q": "agent=ag_17"}, "a.id IN (SELECT anomaly_id FROM anomalies_metric WHERE entity = 'ag_17')"
        ),
        "by endDate": Listed({"sort": "endDate"}, order="a.ended_at DESC, a.id DESC"),
        "by duration": Listed(
            {"sort": "duration", "state": "closed"}, "a.state = 'closed'",
            "a.ended_at - a.started_at DESC, a.id DESC",
        ),
        "by score": Listed({"sort": "score"}, order="a.score DESC, a.id DESC"),
        "by delta": Listed({"sort": "delta"}, order="b.delta_percent DESC, b.anomaly_id DESC", join=_BREACHES),
    }  # fmt: skip


def listed(anomalies: int, *, rounds: int = 9) -> Iterator[tuple[str, Seconds]]:
    """Yield how long each list takes with so many anomalies, each of one metric."""
    with asked_by_key(anomalies) as client:
        rows.deviations()
        for name, call in lists().items():
            yield name, _beside_bare(client, call, rounds)


def _beside_bare(client: Client, call: Listed, rounds: int) -> Seconds:
    shown: dict[str, tuple[int, int]] = {}
    answered: list[bytes] = []
    url = f"/api/v2/anomalies?{urlencode({'size': 100, **call.query})}"
    where = f"{_DEVIATION} AND {call.where}"

    def ours() -> None:
        answer = client.get(url)
        assert answer.status_code == 200, (url, answer.content)
        answered[:] = [answer.content]  # what a client makes of it is the client's time

    def bare() -> None:
        with connection.cursor() as cursor:
            cursor.execute(_PAGE.format(call.join, where, call.order))
            groups = {row[0]: Group(*row, [], []) for row in cursor.fetchall()}
            cursor.execute(_METRICS, [list(groups)])
            metrics = {row[0]: Deviating(*row) for row in cursor.fetchall()}
            for metric in metrics.values():
                groups[metric.anomaly].metrics.append(metric)
            for interval in Interval.objects.raw(_INTERVALS, [list(metrics)]):
                metrics[interval.metric_id].intervals.append(interval)
            for group in groups.values():
                msgspec.json.encode(group.told([group.metric(one) for one in group.metrics], at=rows.TODAY))
            cursor.execute(f"SELECT count(*) FROM anomalies_anomaly a {call.join} WHERE {where}")
            shown["bare"] = cursor.fetchone()[0], len(groups)

    taken = compared(ours, bare, rounds=rounds)
    body = msgspec.json.decode(answered[0])
    assert (body["total"], len(body["anomalies"])) == shown["bare"], (url, shown)
    return taken
