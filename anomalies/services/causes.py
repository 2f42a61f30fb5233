"""One cause, one anomaly: what an address or a user did may be all that another series tells already."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from django.db import connection
from django.db.models import QuerySet

from anomalies.detection.finding import Finding
from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Series

ITSELF = "itself"  # in `explained_by`: another type of anomaly of the same entity
_EXPLAINING = [type_ for type_, detector in DETECTORS.items() if detector.explains]

_COLUMNS = {Series.Kind.AGENT: "agent_id", Series.Kind.ADDRESS: "ip", Series.Kind.PRINCIPAL: "principal_id"}
# At least so much of the entity's events is the other's, and so much of the other's is the entity's. An agent's own
# series knows its hours; an address is judged by the same rules as the users it tries.
_LEAST = {Series.Kind.AGENT: (0.9, 0.5), Series.Kind.ADDRESS: (1.0, 0.9)}
# Of what explains others, a user or an address may be a small part; and an agent has its usual users besides those who
# are tried, in an hour that began or went on without the attack.
_LEAST_OF_AN_AGENT, _LEAST_OF_A_PART = (0.6, 0.9), (0.75, 0.0)

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
_IN_BOTH = """
SELECT count(*) FILTER (WHERE time >= greatest(%(start)s, %(cause_start)s) AND time < least(%(end)s, %(cause_end)s)),
       count(*) FILTER (WHERE time >= %(start)s AND time < %(end)s),
       count(*) FILTER (WHERE time >= %(cause_start)s AND time < %(cause_end)s)
FROM anomalies_event
WHERE {column} = %(entity)s AND time >= least(%(start)s, %(cause_start)s) AND time < greatest(%(end)s, %(cause_end)s)
"""
_TEXT = {Series.Kind.AGENT: "main.other", Series.Kind.ADDRESS: "host(main.other)"}


@dataclass(frozen=True, slots=True)
class Deviating:
    """What a cause is looked for."""

    type: str
    kind: str
    entity: str
    start: datetime
    end: datetime
    told_by: Sequence[str]
    explained_by: Sequence[str]

    @classmethod
    def of_finding(cls, one: Finding) -> Self:
        start, end = datetime.fromtimestamp(one.start, UTC), datetime.fromtimestamp(one.end, UTC)
        return cls(one.type, one.kind, one.entity, start, end, one.told_by, one.explained_by)

    @classmethod
    def of_anomaly(cls, one: Anomaly) -> Self:
        return cls(one.type, one.kind, one.entity, one.started_at, one.active_until, one.told_by, one.explained_by)


def cause_of(deviating: Deviating) -> Anomaly | None:
    """Return the anomaly that has the same cause, if there is one.

    It is of the same type and of a kind in `told_by`, or of a type that explains others and of a kind in
    `explained_by`: of an agent that is refused, or acts by night, with all that its users and addresses do through
    it, or of an address that guesses credentials, with what it does to agents and users.
    """
    meanwhile = (
        Anomaly.objects.filter(started_at__lt=deviating.end, active_until__gt=deviating.start)
        .exclude(state=Anomaly.State.WITHDRAWN)
        .order_by("started_at", "id")
    )
    for kind in deviating.told_by:
        raised = meanwhile.filter(type=deviating.type, kind=kind)
        if cause := _first_of(raised, Series.Kind(kind), deviating, _LEAST[Series.Kind(kind)]):
            return _whole(cause)
    for kind in deviating.explained_by:
        raised = meanwhile.filter(type__in=_EXPLAINING)
        if kind == ITSELF:
            raised = raised.filter(kind=deviating.kind, entity=deviating.entity).exclude(type=deviating.type)
            cause = next((one for one in raised if _shares_events(one, deviating)), None)
        else:
            raised = raised.filter(kind=kind)
            if kind == Series.Kind.ADDRESS:
                raised = raised.filter(evidence__has_key="most_in_an_hour")  # guessing
            least = _LEAST_OF_AN_AGENT if deviating.kind == Series.Kind.AGENT else _LEAST_OF_A_PART
            cause = _first_of(raised, Series.Kind(kind), deviating, least)
        if cause:
            return _whole(cause)
    return None


def _whole(cause: Anomaly) -> Anomaly:
    return cause.merged_into or cause


def _first_of(
    raised: QuerySet[Anomaly], other: Series.Kind, deviating: Deviating, least: tuple[float, float]
) -> Anomaly | None:
    if not raised.exists():
        return None
    entity = _main(other, deviating.kind, deviating.entity, deviating.start, deviating.end, least)
    return raised.filter(entity=entity).first() if entity is not None else None


def _shares_events(cause: Anomaly, deviating: Deviating) -> bool:
    """Return whether what an entity did in both times is most of the one, and enough of the other."""
    with connection.cursor() as cursor:
        cursor.execute(
            _IN_BOTH.format(column=_COLUMNS[Series.Kind(deviating.kind)]),
            {
                "entity": deviating.entity,
                "start": deviating.start,
                "end": deviating.end,
                "cause_start": cause.started_at,
                "cause_end": cause.active_until,
            },
        )
        both, mine, its = cursor.fetchone()
    of_mine, of_its = _LEAST[Series.Kind.AGENT]
    return bool(both and both >= of_mine * mine and both >= of_its * its)


def main_of(other: Series.Kind, finding: Finding) -> str | None:
    """Return the entity of another kind whose doing the finding is, if there is one."""
    start, end = datetime.fromtimestamp(finding.start, UTC), datetime.fromtimestamp(finding.end, UTC)
    return _main(other, finding.kind, finding.entity, start, end, _LEAST[other])


def _main(
    other: Series.Kind, kind: str, entity: str, start: datetime, end: datetime, least: tuple[float, float]
) -> str | None:
    with connection.cursor() as cursor:
        cursor.execute(
            _SHARES.format(column=_COLUMNS[Series.Kind(kind)], other=_COLUMNS[other], text=_TEXT[other]),
            {"entity": entity, "start": start, "end": end},
        )
        shares = cursor.fetchone()
    if shares is None or shares[1] < least[0] or shares[2] < least[1]:
        return None
    return str(shares[0])
