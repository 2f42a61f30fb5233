"""How many anomalies were detected lately: by status, severity, type and day, counted by PostgreSQL."""

from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection

from anomalies.models import Severity

# Each row is counted once, in one pass, for all groups; days on which nothing was detected are there as well.
_COUNT = """
WITH counted AS (
    SELECT status, severity, type, day, count(*) AS n, grouping(status, severity, type, day) AS absent
    FROM (
        SELECT status, severity, type, (detected_at AT TIME ZONE 'UTC')::date AS day FROM anomalies_anomaly
        WHERE merged_into_id IS NULL AND detected_at > %(since)s AND detected_at <= %(until)s
          AND (%(agent)s::text IS NULL OR agent_id = %(agent)s)
    ) AS lately
    GROUP BY GROUPING SETS ((status), (severity), (type), (day))
)
SELECT 'status', status, n FROM counted WHERE absent = 7
UNION ALL SELECT 'severity', severity::text, n FROM counted WHERE absent = 11
UNION ALL SELECT 'type', type, n FROM counted WHERE absent = 13
UNION ALL
SELECT 'day', at::date::text, coalesce(n, 0)
FROM generate_series((%(since)s AT TIME ZONE 'UTC')::date, (%(until)s AT TIME ZONE 'UTC')::date, interval '1 day') AS at
LEFT JOIN counted ON absent = 14 AND day = at::date
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Totals:
    """Of each only what there is, but for days: these are all there, the oldest first."""

    by_status: dict[str, int] = field(default_factory=dict)
    by_severity: dict[str, int] = field(default_factory=dict)  # by label
    by_type: dict[str, int] = field(default_factory=dict)
    by_day: dict[str, int] = field(default_factory=dict)  # of UTC, such as 2026-11-20

    @property
    def total(self) -> int:
        return sum(self.by_day.values())


def count(*, since: datetime, until: datetime, agent_id: str | None = None) -> Totals:
    """Count what was detected after `since` and up to `until`, of one agent or of all; no parts of others."""
    totals = Totals()
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"since": since, "until": until, "agent": agent_id})
        for group, name, count in cursor.fetchall():
            if group == "severity":
                totals.by_severity[Severity(int(name)).label] = count
            else:
                {"status": totals.by_status, "type": totals.by_type, "day": totals.by_day}[group][name] = count
    return totals
