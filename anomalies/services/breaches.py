"""How far anomalies are outside their bands, kept beside them: a million of them are sorted and found by it."""

from collections.abc import Collection

from django.db import connection

# Whoever changes an anomaly's metrics at the same time waits here, and counts what the other left.
_LOCK = "SELECT FROM anomalies_anomaly WHERE id = ANY(%(anomalies)s) ORDER BY id FOR NO KEY UPDATE"
_FORGET = """
DELETE FROM anomalies_breach WHERE anomaly_id = ANY(%(anomalies)s) AND NOT EXISTS (
    SELECT FROM anomalies_metric m JOIN anomalies_interval i ON i.metric_id = m.id AND i.main
    WHERE m.anomaly_id = anomalies_breach.anomaly_id)
"""
_KEEP = """
INSERT INTO anomalies_breach (anomaly_id, above, above_percent, below, below_percent)
SELECT m.anomaly_id, max(i.delta) FILTER (WHERE i.up), max(i.delta_percent) FILTER (WHERE i.up),
       max(i.delta) FILTER (WHERE NOT i.up), max(i.delta_percent) FILTER (WHERE NOT i.up)
FROM anomalies_metric m JOIN anomalies_interval i ON i.metric_id = m.id AND i.main
WHERE m.anomaly_id = ANY(%(anomalies)s)
GROUP BY m.anomaly_id
ON CONFLICT (anomaly_id) DO UPDATE
SET above = excluded.above, above_percent = excluded.above_percent,
    below = excluded.below, below_percent = excluded.below_percent
WHERE (anomalies_breach.above, anomalies_breach.above_percent, anomalies_breach.below, anomalies_breach.below_percent)
    IS DISTINCT FROM (excluded.above, excluded.above_percent, excluded.below, excluded.below_percent)
"""


def keep(anomalies: Collection[int]) -> None:
    """Bring what is kept of these anomalies, by their numbers, up to their metrics, in the caller's transaction."""
    if not anomalies:
        return
    with connection.cursor() as cursor:
        for statement in (_LOCK, _FORGET, _KEEP):
            cursor.execute(statement, {"anomalies": list(anomalies)})
