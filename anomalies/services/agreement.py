"""Two detectors that agree on a principal within an hour: the anomalies of each are a level more severe."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db import connection

from anomalies.detection.detectors import custom_rule
from anomalies.models import Anomaly, Scan, Severity

NEAR = timedelta(hours=1)
# By which late events move an anomaly's ends at most: one that was near may be so no longer.
MOVED = timedelta(hours=72)

# A rule's severity is what its author said; it neither rises nor makes others rise.
_AGREEING = """
WITH changed AS (
    SELECT principal_id, started_at, active_until FROM anomalies_anomaly
    WHERE last_scan_id > %(since)s AND principal_id IS NOT NULL
), around AS (
    SELECT DISTINCT a.id FROM changed c
    JOIN anomalies_anomaly a ON a.principal_id = c.principal_id
        AND a.started_at <= c.active_until + %(moved)s AND a.active_until >= c.started_at - %(moved)s
        AND (a.evidence ? 'agreement'
             OR (a.started_at <= c.active_until + %(near)s AND a.active_until >= c.started_at - %(near)s))
    WHERE a.merged_into_id IS NULL AND a.state <> 'withdrawn' AND a.type <> %(rule)s
)
SELECT a.id, array_remove(array_agg(DISTINCT b.type ORDER BY b.type), NULL)
FROM around JOIN anomalies_anomaly a USING (id)
LEFT JOIN anomalies_anomaly b ON b.principal_id = a.principal_id AND b.type <> a.type
    AND b.started_at <= a.active_until + %(near)s AND b.active_until >= a.started_at - %(near)s
    AND b.merged_into_id IS NULL AND b.state <> 'withdrawn' AND b.type <> %(rule)s
GROUP BY a.id ORDER BY a.id
"""


def keep(before: Anomaly, anomaly: Anomaly) -> None:
    """Leave an anomaly that was judged anew as much more severe as agreement had made it, until all are judged."""
    if agreed := before.evidence.get("agreement"):
        _raise(anomaly, agreed["with"], own=anomaly.severity)


def due(scan: Scan) -> Iterator[Anomaly]:
    """Yield anomalies near those that the scan changed, locked, with their evidence and severity by agreement.

    A function of the anomalies that stand: in whatever order they were raised, and however often it is asked.
    """
    with connection.cursor() as cursor:
        parameters: dict[str, Any] = {
            "since": scan.finished_before,
            "near": NEAR,
            "moved": MOVED,
            "rule": custom_rule.DETECTOR.type,
        }
        cursor.execute(_AGREEING, parameters)
        agreeing: dict[int, list[str]] = dict(cursor.fetchall())
    if not agreeing:
        return
    for anomaly in Anomaly.objects.filter(pk__in=list(agreeing)).select_for_update(of=("self",)).order_by("id"):
        evidence: dict[str, Any] = dict(anomaly.evidence)
        agreed = evidence.pop("agreement", None)
        own = agreed["own_severity"] if agreed else anomaly.severity
        anomaly.evidence, anomaly.severity = evidence, own
        if agreeing[anomaly.pk]:
            _raise(anomaly, agreeing[anomaly.pk], own=own)
        yield anomaly


def why(anomaly: Anomaly, before: Anomaly) -> str:
    """Say which detectors agree, or no longer do: `new_principal agrees`."""
    if agreed := anomaly.evidence.get("agreement"):
        return _agree(agreed["with"])
    return f"{_agree(before.evidence['agreement']['with'])} no longer"


def _raise(anomaly: Anomaly, types: list[str], *, own: int) -> None:
    anomaly.severity = min(own + 1, Severity.HIGH)
    rise = f"raised from {Severity(own).label} to {Severity(anomaly.severity).label}: " if own < Severity.HIGH else ""
    anomaly.evidence = {
        **anomaly.evidence,
        "agreement": {"with": types, "own_severity": own, "why": f"{rise}{_agree(types)}"},
    }


def _agree(types: list[str]) -> str:
    return f"{' and '.join(types)} {'agrees' if len(types) == 1 else 'agree'}"
