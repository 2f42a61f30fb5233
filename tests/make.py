"""Plain builders: each makes one valid row, of which a test names only what it is about."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from anomalies.detection.finding import series_name
from anomalies.models import (
    AccessRequest,
    Agent,
    Anomaly,
    ApiKey,
    Batch,
    Event,
    Grant,
    Interval,
    Metric,
    Principal,
    Scan,
    Severity,
    Source,
)
from anomalies.services import api_keys, breaches

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def agent(public_id: str = "ag_billing", **fields: Any) -> Agent:
    return Agent.objects.get_or_create(public_id=public_id, defaults=fields)[0]


def principal(public_id: str = "user_1", **fields: Any) -> Principal:
    return Principal.objects.get_or_create(public_id=public_id, defaults=fields)[0]


def source(name: str = "test", **fields: Any) -> Source:
    return Source.objects.get_or_create(name=name, defaults={"format": "native", **fields})[0]


def event(**fields: Any) -> Event:
    """An event in a batch of its own, as if it had just been ingested."""
    number = next(_numbers)
    fields.setdefault("source", None)
    fields["source"] = fields["source"] or source()
    agent(fields.setdefault("agent_id", "ag_billing"))
    if fields.get("principal_id"):
        principal(fields["principal_id"])
    fields.setdefault("batch", None)
    fields["batch"] = fields["batch"] or Batch.objects.create(source=fields["source"], accepted=1)
    return Event.objects.create(
        **{"external_id": f"e{number}", "time": NOW, "action": "token.issue", "status": "success", **fields}
    )


def scan(**fields: Any) -> Scan:
    return Scan.objects.create(
        **{"trigger": Scan.Trigger.COMMAND, "now": NOW, "started_at": NOW, "finished_at": NOW, **fields}
    )


EVIDENCE: dict[str, Any] = {
    "observed": 412,
    "expected": 38.0,
    "lower": 21.0,
    "upper": 61.0,
    "p": 1e-13,
    "unit": "requests",
    "resolution_seconds": 300,
    "start": (NOW - timedelta(minutes=5)).timestamp(),
    "end": NOW.timestamp(),
    "event_count": 412,
    "history_days": 28,
    "parameters": {"alpha": 1e-4, "min_excess": 3.0},
    "detector_version": 1,
    "why": "At this hour on a Friday ag_billing makes 38 requests in 5 minutes and stays under 61 in 9,999 of 10,000. "
    "It made 412, 10.8 times as many; the chance is less than 1 in a billion.",
}


def anomaly(**fields: Any) -> Anomaly:
    number = next(_numbers)
    fields.setdefault("agent", None)
    fields["agent"] = fields["agent"] or agent()
    return Anomaly.objects.create(
        **{
            "fingerprint": f"fingerprint-{number}",
            "type": "rate_spike",
            "severity": Severity.HIGH,
            "score": 0.94,
            "description": "412 requests in 5 minutes, 38 expected",
            "kind": "agent",
            "entity": fields["agent"].public_id,
            "started_at": NOW - timedelta(minutes=5),
            "active_until": NOW,
            "detected_at": NOW,
            "updated_at": NOW,
            "evidence": EVIDENCE,
            "scan": Scan.objects.first() or scan(),
            **fields,
        }
    )


def copies(of: Anomaly, times: list[datetime], *, first: int) -> None:
    """Copies of an anomaly with ids from the first on, one for each time at which it is created."""
    own = {"id": "n", "public_id": "'anom_' || n", "fingerprint": "'copy-' || n", "created_at": "at"}
    columns = [field.column for field in Anomaly._meta.concrete_fields if not field.generated]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO anomalies_anomaly ({', '.join(columns)}) "
            f"SELECT {', '.join(own.get(column, f'a.{column}') for column in columns)} FROM anomalies_anomaly a, "
            "unnest(%s::timestamptz[]) WITH ORDINALITY AS made (at, number), "
            "LATERAL (SELECT %s + number - 1 AS n) AS numbered WHERE a.id = %s",
            [times, first, of.pk],
        )


def metric(of: Anomaly, **fields: Any) -> Metric:
    values = {
        "what": "requests",
        **{name: getattr(of, name) for name in ("kind", "entity", "type", "severity", "score", "evidence")},
        **fields,
    }
    name = series_name(values["what"], values["kind"], values["entity"], values.get("action", ""))
    return Metric.objects.create(anomaly=of, name=name, **values)


def interval(of: Metric, **fields: Any) -> Interval:
    """The five minutes before now, in which a metric of 38 peaked at 412."""
    made = Interval.objects.create(
        **{
            "metric": of,
            "resolution_seconds": 300,
            "started_at": NOW - timedelta(minutes=5),
            "ended_at": NOW,
            "state": Anomaly.State.CLOSED,
            "peak": 412,
            "expected": 38,
            "lower": 21,
            "upper": 61,
            "score": of.score,
            **fields,
        }
    )
    breaches.keep([of.anomaly_id])
    return made


def api_key(*scopes: str, name: str = "ci", limit: int | None = None) -> str:
    """A key with these scopes (all of them by default), as its plain text."""
    return api_keys.create(name=name, scopes=scopes or ApiKey.Scope.values, requests_per_minute=limit)[1]


def grant(public_id: str = "grnt_1", agent_id: str = "ag_billing", **fields: Any) -> Grant:
    return Grant.objects.create(public_id=public_id, agent=agent(agent_id), issued_at=NOW, **fields)


def request_grant(public_id: str = "grnt_of_request", **fields: Any) -> Grant:
    """The grant of an access request of user_1."""
    request = AccessRequest.objects.create(
        public_id=f"req_{next(_numbers)}",
        source=source(),
        requester=principal(),
        status=AccessRequest.Status.ACTIVE,
        requested_at=NOW,
        known_at=NOW,
        updated_at=NOW,
    )
    return Grant.objects.create(public_id=public_id, request=request, principal=principal(), issued_at=NOW, **fields)
