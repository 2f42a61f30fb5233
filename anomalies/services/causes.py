"""One cause, one anomaly: what an address or a user did may be all that another series tells already."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from django.db import connection
from django.db.models import QuerySet

from anomalies.detection.detectors import access_automation, high_failure_rate
from anomalies.detection.finding import Finding
from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Series

ITSELF = "itself"  # in `explained_by`: another type of anomaly of the same entity
_EXPLAINING = [type_ for type_, detector in DETECTORS.items() if detector.explains]

_COLUMNS = {Series.Kind.AGENT: "agent_id", Series.Kind.ADDRESS: "ip", Series.Kind.PRINCIPAL: "principal_id"}
# At least so much of the entity's events is the other's, and so much of the other's is the entity's. An agent's burst
# is the doing of a few users from a few addresses: each is told by the agent if it is a fifth of it, where a user of a
# busy agent is not. An address is judged by the same rules as the users it tries.
_LEAST = {Series.Kind.AGENT: (0.9, 0.2), Series.Kind.ADDRESS: (1.0, 0.9)}
# Of what explains others, a user or an address may be a small part; and an agent has its usual users besides those who
# are tried, in an hour that began or went on without the attack.
_LEAST_OF_AN_AGENT, _LEAST_OF_A_PART = (0.6, 0.9), (0.75, 0.0)
# Of what an entity did, what was in the time of its other anomaly, and of what was in that. A user has a life besides.
_LEAST_OF_THE_SAME, _LEAST_OF_ITS = 0.9, 0.5
# Who guesses at one user does nothing else.
_LEAST_OF_A_GUESSER = (1.0, 0.0)
_MOST = 0.6  # of an agent's events, or a user's own, that a user's guesser or code explains
GUESSING = "most_in_an_hour"  # in the evidence of whoever guesses credentials, or at whom they are guessed

_SHARES = """
WITH mine AS (
    SELECT {other} AS other, count(*) AS events FROM anomalies_event
    WHERE {column} = %(entity)s AND time >= %(start)s AND time < %(end)s {counted} GROUP BY {other}
), main AS (
    SELECT other, events, events / (SELECT sum(events) FROM mine) AS share
    FROM mine WHERE other IS NOT NULL ORDER BY events DESC, other LIMIT 1
)
SELECT {text}, main.share::float8, main.events::float8 / (
    SELECT count(*) FROM anomalies_event
    WHERE {other} = main.other AND time >= %(start)s AND time < %(end)s {counted}
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
_OF_USER = """
SELECT count(*) FILTER (
    WHERE principal_id = %(user)s AND time >= %(cause_start)s AND time < %(cause_end)s), count(*)
FROM anomalies_event WHERE agent_id = %(agent)s AND time >= %(start)s AND time < %(end)s
"""
_FAILED = "AND status <> 'success'"
_TEXT = {kind: "host(main.other)" if kind == Series.Kind.ADDRESS else "main.other" for kind in _COLUMNS}


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
    it, of an address that guesses credentials, with what it does to agents and users, or of a user at whom all others
    guess, or whose code asks for access, with what that does to the agent.
    """
    meanwhile = _meanwhile(deviating.start, deviating.end)
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
            guessing = raised if kind == Series.Kind.AGENT else raised.filter(evidence__has_key=GUESSING)
            least = _LEAST_OF_AN_AGENT if deviating.kind == Series.Kind.AGENT else _LEAST_OF_A_PART
            cause = _first_of(guessing, Series.Kind(kind), deviating, least)
            if cause is None and kind == Series.Kind.PRINCIPAL:
                automated = raised.filter(type=access_automation.DETECTOR.type)
                cause = next((one for one in automated if _is_most_of(one, deviating)), None)
        if cause:
            return _whole(cause)
    return None


def target_of(anomaly: Anomaly) -> Anomaly | None:
    """Return the anomaly of what others guess at, too: of the user that an address tries, or else of the agent.

    That of the target is the one anomaly of all who take part, unless it has a cause of its own: one of them who is
    most of it. Who succeeded stands alone, as long as the target's anomaly does not tell of the success.
    """
    if anomaly.type != high_failure_rate.DETECTOR.type or GUESSING not in anomaly.evidence:
        return None
    deviating = Deviating.of_anomaly(anomaly)
    targets = {Series.Kind.PRINCIPAL: _LEAST_OF_A_GUESSER} if anomaly.kind == Series.Kind.ADDRESS else {}
    for kind, least in {**targets, Series.Kind.AGENT: _LEAST_OF_A_PART}.items():
        raised = _meanwhile(deviating.start, deviating.end).filter(type=anomaly.type, kind=kind)
        target = _first_of(raised, kind, deviating, least)
        if target is None or (anomaly.evidence.get("success_at") and not target.evidence.get("success_at")):
            continue
        if cause_of(Deviating.of_anomaly(target)) is None:
            return _whole(target)
    return None


def _meanwhile(start: datetime, end: datetime) -> QuerySet[Anomaly]:
    return (
        Anomaly.objects.filter(started_at__lt=end, active_until__gt=start)
        .exclude(state=Anomaly.State.WITHDRAWN)
        .order_by("started_at", "id")
    )


def _whole(cause: Anomaly) -> Anomaly:
    return cause.merged_into or cause


def _first_of(
    raised: QuerySet[Anomaly], other: Series.Kind, deviating: Deviating, least: tuple[float, float]
) -> Anomaly | None:
    if not raised.exists():
        return None
    entity = _main(other, deviating, least)
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
    of_mine = _MOST if deviating.kind == Series.Kind.PRINCIPAL else _LEAST_OF_THE_SAME
    return bool(both and both >= of_mine * mine and both >= _LEAST_OF_ITS * its)


def _is_most_of(cause: Anomaly, deviating: Deviating) -> bool:
    """Return whether what a user did in the time of an anomaly is most of what the agent did in its own."""
    with connection.cursor() as cursor:
        cursor.execute(
            _OF_USER,
            {
                "agent": deviating.entity,
                "user": cause.entity,
                "start": deviating.start,
                "end": deviating.end,
                "cause_start": cause.started_at,
                "cause_end": cause.active_until,
            },
        )
        both, mine = cursor.fetchone()
    return bool(both and both >= _MOST * mine)


def main_of(other: Series.Kind, finding: Finding) -> str | None:
    """Return the entity of another kind whose doing the finding is, if there is one."""
    return _main(other, Deviating.of_finding(finding), _LEAST[other])


def _main(other: Series.Kind, deviating: Deviating, least: tuple[float, float]) -> str | None:
    """Return the other that most of the events are of or, where failures deviate, most of the failures."""
    column = _COLUMNS[Series.Kind(deviating.kind)]
    counted = _FAILED if deviating.type == high_failure_rate.DETECTOR.type else ""
    with connection.cursor() as cursor:
        cursor.execute(
            _SHARES.format(column=column, other=_COLUMNS[other], text=_TEXT[other], counted=counted),
            {"entity": deviating.entity, "start": deviating.start, "end": deviating.end},
        )
        shares = cursor.fetchone()
    if shares is None or shares[1] < least[0] or shares[2] < least[1]:
        return None
    return str(shares[0])
