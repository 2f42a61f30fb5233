"""One cause, one anomaly: what an address or a user did may be all that its agent did."""

from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import connection

from anomalies.detection.finding import Finding
from anomalies.models import Series

OF_THE_ENTITY = 0.9  # of its events that one agent made
OF_THE_AGENT = 0.5  # of that agent's events that are the entity's

_SHARES = """
WITH mine AS (
    SELECT agent_id, count(*) AS events FROM anomalies_event
    WHERE {column} = %(entity)s AND time >= %(start)s AND time < %(end)s GROUP BY agent_id
), agent AS (
    SELECT agent_id, events, events / (SELECT sum(events) FROM mine) AS share FROM mine ORDER BY events DESC LIMIT 1
)
SELECT agent.share::float8, agent.events::float8 / (
    SELECT count(*) FROM anomalies_event e
    WHERE e.agent_id = agent.agent_id AND e.time >= %(start)s AND e.time < %(end)s
)
FROM agent
"""
_COLUMNS = {Series.Kind.ADDRESS: "ip", Series.Kind.PRINCIPAL: "principal_id"}


def own(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings without those that their agent's own series tells, and tells better: it knows its hours."""
    return [finding for finding in findings if not _told_by_agent(finding)]


def _told_by_agent(finding: Finding) -> bool:
    if not finding.told_by_agent or finding.kind not in _COLUMNS:
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            _SHARES.format(column=_COLUMNS[Series.Kind(finding.kind)]),
            {
                "entity": finding.entity,
                "start": datetime.fromtimestamp(finding.start, UTC),
                "end": datetime.fromtimestamp(finding.end, UTC),
            },
        )
        shares = cursor.fetchone()
    return shares is not None and shares[0] >= OF_THE_ENTITY and shares[1] >= OF_THE_AGENT
