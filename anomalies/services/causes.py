"""One cause, one anomaly: what an address or a user did may be all that another series tells already."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, Self, TypeVar

from django.db import connection
from django.db.models import QuerySet

from anomalies.detection.finding import Finding
from anomalies.detection.registry import DETECTORS, counting
from anomalies.models import Anomaly, Series

ITSELF = "itself"  # in `explained_by`: another type of anomaly of the same entity
EXPLAINING = tuple(type_ for type_, detector in DETECTORS.items() if detector.explains)
FAILING = counting("failures")
AUTOMATED = tuple(type_ for type_ in counting("access_requests") if DETECTORS[type_].window)  # many within a time

_COLUMNS = {Series.Kind.AGENT: "agent_id", Series.Kind.ADDRESS: "ip", Series.Kind.PRINCIPAL: "principal_id"}
# At least so much of the entity's events is the other's, and so much of the other's is the entity's. An agent's burst
# is the doing of a few users from a few addresses: each is told by the agent if it is a tenth of it, where a user of a
# busy agent is not. An address is judged by the same rules as the users it tries.
_LEAST = {Series.Kind.AGENT: (0.9, 0.1), Series.Kind.ADDRESS: (1.0, 0.9)}
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


class Raised(Protocol):
    """An anomaly, or what would be one."""

    @property
    def type(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def entity(self) -> str: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def active_until(self) -> datetime: ...
    @property
    def evidence(self) -> Mapping[str, Any]: ...
    @property
    def told_by(self) -> Sequence[str]: ...
    @property
    def explained_by(self) -> Sequence[str]: ...


One = TypeVar("One", bound=Raised)
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Deviating:
    """What a cause is looked for."""

    type: str
    kind: str
    entity: str
    start: datetime
    end: datetime
    told_by: tuple[str, ...]
    explained_by: tuple[str, ...]

    @classmethod
    def of_finding(cls, one: Finding) -> Self:
        start, end = datetime.fromtimestamp(one.start, UTC), datetime.fromtimestamp(one.end, UTC)
        return cls(one.type, one.kind, one.entity, start, end, tuple(one.told_by), tuple(one.explained_by))

    @classmethod
    def of_anomaly(cls, one: Raised) -> Self:
        told = (tuple(one.told_by), tuple(one.explained_by))
        return cls(one.type, one.kind, one.entity, one.started_at, one.active_until, *told)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Anomalies of some types and a kind in a stretch of time; `guessing`: at which credentials are guessed alone."""

    types: tuple[str, ...]
    kind: str
    start: datetime
    end: datetime
    entity: str = ""  # of all
    guessing: bool = False


class Known(Protocol[One]):
    """Anomalies among which causes are looked for."""

    def some(self, wanted: Wanted) -> bool: ...

    def find(self, wanted: Wanted) -> Iterable[One]:
        """Return them by start, without those that were withdrawn."""

    def whole_of(self, one: One) -> One:
        """Return the anomaly that it was merged into, or itself."""

    def ask(self, question: Callable[..., Answer], *about: Any) -> Answer:
        """Return what the events answer."""


class Stored:
    """The anomalies that there are."""

    def some(self, wanted: Wanted) -> bool:
        return self.find(wanted).exists()

    def find(self, wanted: Wanted) -> QuerySet[Anomaly]:
        found = Anomaly.objects.filter(
            type__in=wanted.types, kind=wanted.kind, started_at__lt=wanted.end, active_until__gt=wanted.start
        ).exclude(state=Anomaly.State.WITHDRAWN)
        if wanted.entity:
            found = found.filter(entity=wanted.entity)
        if wanted.guessing:
            found = found.filter(evidence__has_key=GUESSING)
        return found.order_by("started_at", "id")

    def whole_of(self, one: Anomaly) -> Anomaly:
        return one.merged_into or one

    def ask(self, question: Callable[..., Answer], *about: Any) -> Answer:
        return question(*about)


def cause_of(deviating: Deviating) -> Anomaly | None:
    """Return the anomaly that has the same cause, if there is one."""
    return cause_among(Stored(), deviating)


def target_of(anomaly: Anomaly) -> Anomaly | None:
    """Return the anomaly of what others guess at, too, if there is one."""
    return target_among(Stored(), anomaly)


def cause_among(known: Known[One], deviating: Deviating) -> One | None:
    """Return which of these anomalies has the same cause, if there is one.

    It is of the same type and of a kind in `told_by`, or of a type that explains others and of a kind in
    `explained_by`: of an agent that is refused, or acts by night, with all that its users and addresses do through
    it, of an address that guesses credentials, with what it does to agents and users, or of a user at whom all others
    guess, or whose code asks for access, with what that does to the agent.
    """
    for kind in deviating.told_by:
        raised = Wanted((deviating.type,), kind, deviating.start, deviating.end)
        if cause := _first_of(known, raised, deviating, _LEAST[Series.Kind(kind)]):
            return known.whole_of(cause)
    for kind in deviating.explained_by:
        raised = Wanted(EXPLAINING, kind, deviating.start, deviating.end)
        if kind == ITSELF:
            others = tuple(type_ for type_ in EXPLAINING if type_ != deviating.type)
            its = replace(raised, types=others, kind=deviating.kind, entity=deviating.entity)
            cause = next((one for one in known.find(its) if _shares_events(known, one, deviating)), None)
        else:
            guessing = replace(raised, guessing=kind != Series.Kind.AGENT)
            least = _LEAST_OF_AN_AGENT if deviating.kind == Series.Kind.AGENT else _LEAST_OF_A_PART
            cause = _first_of(known, guessing, deviating, least)
            if cause is None and kind == Series.Kind.PRINCIPAL:
                automated = known.find(replace(raised, types=AUTOMATED))
                cause = next((one for one in automated if _is_most_of(known, one, deviating)), None)
        if cause:
            return known.whole_of(cause)
    return None


def target_among(known: Known[One], anomaly: One) -> One | None:
    """Return which of these anomalies is of what others guess at, too: of the user that an address tries, or else of
    the agent.

    That of the target is the one anomaly of all who take part, unless it has a cause of its own: one of them who is
    most of it. Who succeeded stands alone, as long as the target's anomaly does not tell of the success.
    """
    if anomaly.type not in FAILING or GUESSING not in anomaly.evidence:
        return None
    deviating = Deviating.of_anomaly(anomaly)
    targets = {Series.Kind.PRINCIPAL: _LEAST_OF_A_GUESSER} if anomaly.kind == Series.Kind.ADDRESS else {}
    for kind, least in {**targets, Series.Kind.AGENT: _LEAST_OF_A_PART}.items():
        raised = Wanted((anomaly.type,), kind, deviating.start, deviating.end)
        target = _first_of(known, raised, deviating, least)
        if target is None or (anomaly.evidence.get("success_at") and not target.evidence.get("success_at")):
            continue
        if cause_among(known, Deviating.of_anomaly(target)) is None:
            return known.whole_of(target)
    return None


def _first_of(known: Known[One], raised: Wanted, deviating: Deviating, least: tuple[float, float]) -> One | None:
    if not known.some(raised):
        return None
    other = Series.Kind(raised.kind)
    entity = known.ask(_main, other, deviating, least)
    return next(iter(known.find(replace(raised, entity=entity))), None) if entity is not None else None


def _shares_events(known: Known[One], cause: One, deviating: Deviating) -> bool:
    """Return whether what an entity did in both times is most of the one, and enough of the other."""
    both, mine, its = known.ask(
        _in_both,
        deviating.kind,
        deviating.entity,
        deviating.start,
        deviating.end,
        cause.started_at,
        cause.active_until,
    )
    of_mine = _MOST if deviating.kind == Series.Kind.PRINCIPAL else _LEAST_OF_THE_SAME
    return bool(both and both >= of_mine * mine and both >= _LEAST_OF_ITS * its)


def _is_most_of(known: Known[One], cause: One, deviating: Deviating) -> bool:
    """Return whether what a user did in the time of an anomaly is most of what the agent did in its own."""
    both, mine = known.ask(
        _of_user,
        deviating.entity,
        cause.entity,
        deviating.start,
        deviating.end,
        cause.started_at,
        cause.active_until,
    )
    return bool(both and both >= _MOST * mine)


def _in_both(
    kind: str, entity: str, start: datetime, end: datetime, cause_start: datetime, cause_end: datetime
) -> tuple[int, int, int]:
    given: dict[str, Any] = {"start": start, "end": end, "cause_start": cause_start, "cause_end": cause_end}
    with connection.cursor() as cursor:
        cursor.execute(_IN_BOTH.format(column=_COLUMNS[Series.Kind(kind)]), {**given, "entity": entity})
        both, mine, its = cursor.fetchone()
    return both, mine, its


def _of_user(
    agent: str, user: str, start: datetime, end: datetime, cause_start: datetime, cause_end: datetime
) -> tuple[int, int]:
    given: dict[str, Any] = {"start": start, "end": end, "cause_start": cause_start, "cause_end": cause_end}
    with connection.cursor() as cursor:
        cursor.execute(_OF_USER, {**given, "agent": agent, "user": user})
        both, mine = cursor.fetchone()
    return both, mine


def _main(other: Series.Kind, deviating: Deviating, least: tuple[float, float]) -> str | None:
    """Return the other that most of the events are of or, where failures deviate, most of the failures."""
    column = _COLUMNS[Series.Kind(deviating.kind)]
    counted = _FAILED if deviating.type in FAILING else ""
    with connection.cursor() as cursor:
        cursor.execute(
            _SHARES.format(column=column, other=_COLUMNS[other], text=_TEXT[other], counted=counted),
            {"entity": deviating.entity, "start": deviating.start, "end": deviating.end},
        )
        shares = cursor.fetchone()
    if shares is None or shares[1] < least[0] or shares[2] < least[1]:
        return None
    return str(shares[0])
