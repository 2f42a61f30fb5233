"""One cause, one anomaly: what an address or a user did may be all that another series tells already."""

from datetime import UTC, datetime

from django.db import connection

from anomalies.detection.finding import Finding
from anomalies.models import Anomaly, Series

_COLUMNS = {Series.Kind.AGENT: "agent_id", Series.Kind.ADDRESS: "ip", Series.Kind.PRINCIPAL: "principal_id"}
# At least so much of the entity's events is the other's, and so much of the other's is the entity's. An agent's own
# series knows its hours; an address is judged by the same rules as the users it tries.
_LEAST = {Series.Kind.AGENT: (0.9, 0.5), Series.Kind.ADDRESS: (1.0, 0.9)}

_SHARES = """
WITH mine AS (
    SELECT {other} AS other, count(*) AS events FROM anomalies_event
    WHERE {column} = %(entity)s AND time >= %(start)s AND time < %(end)s GROUP BY {other}
), main AS (
    SELECT other, events, events / (SELECT sum(events) FROM mine) AS share
    FROM mine WHERE other IS NOT NULL ORDER BY events DESC, other LIMIT 1
)
SELECT {text}, main.share::float8, main.events::float8 / (
    SELECT count(*) FROM anomalies_event e WHERE e.{other} = main.other AND e.time >= %(start)s AND e.time < %(end)s
)
FROM main
"""
_TEXT = {Series.Kind.AGENT: "main.other", Series.Kind.ADDRESS: "host(main.other)"}


def cause_of(finding: Finding) -> Anomaly | None:
    """Return the anomaly of another series that has the same cause, if there is one, locked.

    Agents are to be judged before addresses, and these before principals.
    """
    for kind in finding.told_by:
        if (cause := _cause(Series.Kind(kind), finding)) is not None:
            return cause
    return None


def _cause(other: Series.Kind, finding: Finding) -> Anomaly | None:
    start, end = datetime.fromtimestamp(finding.start, UTC), datetime.fromtimestamp(finding.end, UTC)
    raised = Anomaly.objects.filter(type=finding.type, kind=other, started_at__lt=end, active_until__gt=start)
    raised = raised.exclude(state=Anomaly.State.WITHDRAWN)
    if not raised.exists() or (entity := main_of(other, finding)) is None:
        return None
    cause = raised.filter(entity=entity).order_by("started_at", "id").first()
    if cause is None:
        return None
    return Anomaly.objects.select_for_update().get(pk=cause.merged_into_id or cause.pk)


def main_of(other: Series.Kind, finding: Finding) -> str | None:
    """Return the entity of another kind whose doing the finding is, if there is one."""
    start, end = datetime.fromtimestamp(finding.start, UTC), datetime.fromtimestamp(finding.end, UTC)
    with connection.cursor() as cursor:
        cursor.execute(
            _SHARES.format(column=_COLUMNS[Series.Kind(finding.kind)], other=_COLUMNS[other], text=_TEXT[other]),
            {"entity": finding.entity, "start": start, "end": end},
        )
        shares = cursor.fetchone()
    of_the_entity, of_the_other = _LEAST[other]
    if shares is None or shares[1] < of_the_entity or shares[2] < of_the_other:
        return None
    return str(shares[0])
