"""Two detectors that agree on a principal within an hour: the anomalies of each are a level more severe."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import connection

from anomalies.detection.registry import counting
from anomalies.models import Scan

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
    WHERE a.merged_into_id IS NULL AND a.state <> 'withdrawn' AND a.type <> ALL(%(rules)s)
)
SELECT a.id, array_remove(array_agg(DISTINCT b.type ORDER BY b.type), NULL)
FROM around JOIN anomalies_anomaly a USING (id)
LEFT JOIN anomalies_anomaly b ON b.principal_id = a.principal_id AND b.type <> a.type
    AND b.started_at <= a.active_until + %(near)s AND b.active_until >= a.started_at - %(near)s
    AND b.merged_into_id IS NULL AND b.state <> 'withdrawn' AND b.type <> ALL(%(rules)s)
GROUP BY a.id ORDER BY a.id
"""


def agreeing(scan: Scan) -> dict[int, list[str]]:
    """Return which other types agree with each anomaly near those that the scan changed, by its number; none may."""
    parameters: dict[str, Any] = {
        "since": scan.finished_before,
        "near": NEAR,
        "moved": MOVED,
        "rules": list(counting("rule_events")),
    }
    with connection.cursor() as cursor:
        cursor.execute(_AGREEING, parameters)
        return dict(cursor.fetchall())


def why(types: Sequence[str]) -> str:
    """Say who agrees: `new_principal agrees`."""
    return f"{' and '.join(types)} {'agrees' if len(types) == 1 else 'agree'}"
