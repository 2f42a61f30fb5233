"""Which anomalies access requests are part of."""

from collections.abc import Sequence

from django.db import connection

from anomalies.detection.registry import counting
from anomalies.models import AccessRequest, Anomaly, Series

_PARTS = """
SELECT asked.id, a.id
FROM unnest(%(ids)s::text[], %(requesters)s::text[]) AS asked (id, requester)
JOIN anomalies_anomaly a ON a.kind = %(kind)s AND a.entity = asked.requester
WHERE a.merged_into_id IS NULL AND a.type = ANY(%(types)s)
  AND (a.evidence->'request_ids' ? asked.id OR a.evidence->>'request_id' = asked.id
       OR a.evidence->>'rejected_request_id' = asked.id)
ORDER BY a.started_at, a.id
"""


def counts_of(requests: Sequence[AccessRequest]) -> dict[str, int]:
    """Return for each of these requests, by its id, how many anomalies it is part of; none is left out."""
    counts: dict[str, int] = {request.public_id: 0 for request in requests}
    for request_id, _ in _parts(requests):
        counts[request_id] += 1
    return counts


def anomalies_of(request: AccessRequest) -> list[Anomaly]:
    """Return the anomalies that it is part of, oldest first."""
    ids = [anomaly for _, anomaly in _parts([request])]
    return list(Anomaly.objects.filter(pk__in=ids).order_by("started_at", "id"))


def _parts(requests: Sequence[AccessRequest]) -> list[tuple[str, int]]:
    with connection.cursor() as cursor:
        cursor.execute(
            _PARTS,
            {
                "ids": [request.public_id for request in requests],
                "requesters": [request.requester_id for request in requests],
                "kind": Series.Kind.PRINCIPAL,
                "types": list(counting("access_requests")),
            },
        )
        return list(cursor.fetchall())
