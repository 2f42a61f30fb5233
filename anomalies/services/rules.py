"""Reviewers' own rules: set by people, counted for detection."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, TypedDict, Unpack

import numpy as np
from django.db import IntegrityError, connection, transaction
from django.db.models import Min, Q

from anomalies.detection import history, wording
from anomalies.detection.registry import counting
from anomalies.models import Agent, Anomaly, Channel, Event, Grant, Rule, Series, Severity
from anomalies.services import changes
from anomalies.services.actor import Actor

WINDOWS = {"5m": 300, "10m": 600, "15m": 900, "1h": 3600, "6h": 21600, "24h": 86400}  # seconds
MOST_NAMED = 100  # agents or scopes of one rule
MAX_LENGTH = 200  # characters of a name, an id or a scope
MAX_DESCRIPTION_LENGTH = 10_000  # characters
MAX_THRESHOLD = 1_000_000
MICROSECOND = 1e-6  # seconds

_COUNTED = ("agents", "scopes", "window_seconds", "threshold")  # of which a change says what is counted
_DEFAULTS: dict[str, Any] = {
    "description": "",
    "severity": Severity.MEDIUM,
    "agents": (),
    "scopes": (),
    "channels": (),
    "enabled": True,
}

# The events of a rule are selected by Django; PostgreSQL hands them out as one array an agent.
_TIMES = """
SELECT agent_id, array_agg(extract(epoch FROM time)::float8 ORDER BY time)
FROM ({events}) AS events (agent_id, time) GROUP BY agent_id HAVING count(*) >= %s
"""


class Wanted(TypedDict, total=False):
    """What people set about a rule."""

    name: str
    description: str
    severity: int
    agents: Sequence[str]  # ids; none: all agents. Such as are not known yet may come with their events.
    scopes: Sequence[str]  # see `matching`; none: all events
    window_seconds: int  # one of WINDOWS
    threshold: int  # events within the window from which it is an anomaly
    channels: Sequence[str]  # ids; none: each is told that tells of what the rule raises
    enabled: bool


class RuleError(Exception):
    """A rule that cannot be; `field` is what is wrong with it."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}")


class RuleTakenError(Exception):
    def __init__(self, public_id: str) -> None:
        super().__init__(f"There is or was another rule {public_id}; an id is never used again.")


class StaleRuleError(Exception):
    def __init__(self, rule: Rule) -> None:
        super().__init__(f"{rule.updated_by} changed rule {rule.name} since: nothing of yours was saved.")


class RuleGoneError(Exception):
    def __init__(self, rule: Rule) -> None:
        super().__init__(f"Rule {rule.name} was deleted.")


def errors_of(wanted: Mapping[str, Any], *, of: Rule | None = None) -> dict[str, str]:
    """Return what is wrong with these fields, by field; `of` is the rule that is to be changed."""
    checks = {
        "name": lambda value: _text(value, MAX_LENGTH, empty=False),
        "description": lambda value: _text(value, MAX_DESCRIPTION_LENGTH, empty=True),
        "severity": _severity,
        "agents": _texts,
        "scopes": _texts,
        "window_seconds": _window,
        "threshold": _threshold,
        "channels": _channels,
    }
    found = {field: check(wanted[field]) for field, check in checks.items() if field in wanted}
    if "name" in wanted and not found["name"]:
        namesake = Rule.objects.living().filter(name=wanted["name"].strip()).first()
        found["name"] = _taken(wanted["name"]) if namesake and namesake != of else ""
    return {field: error for field, error in found.items() if error}


@transaction.atomic
def create(*, by: Actor, at: datetime, public_id: str = "", **wanted: Unpack[Wanted]) -> Rule:
    """Make a rule that judges what happens from now on, and return it. Its name, window and threshold are needed.

    `public_id` is the id that whoever makes it wants. Raises RuleError for what is wrong, or a name or an id taken.
    """
    for field in ("name", "window_seconds", "threshold"):
        if field not in wanted:
            raise RuleError(field, "it is missing.")
    values = _checked({**_DEFAULTS, **wanted})
    if public_id:
        if error := _text(public_id, MAX_LENGTH, empty=False):
            raise RuleError("public_id", error)
        values["public_id"] = public_id
    rule = Rule(**values, created_at=at, created_by=by.name, updated_at=at, updated_by=by.name, in_force_since=at)
    if Rule.objects.filter(public_id=rule.public_id).exists():
        raise RuleError("public_id", f"there is or was a rule {rule.public_id} already.")
    _save(rule)
    said = {name: value for name, value in values.items() if value not in ("", [], ())}
    changes.record("rule", rule.public_id, "created", by=by, at=at, name=rule.name, changes=changes.between({}, said))
    return rule


def create_once(public_id: str, *, by: Actor, at: datetime, **wanted: Unpack[Wanted]) -> Rule:
    """Make a rule of that id, or return the one that the same call has made before: callers repeat what got lost.

    Raises RuleError, or RuleTakenError where that id is or was another rule's.
    """
    if error := _text(public_id, MAX_LENGTH, empty=False):
        raise RuleError("public_id", error)
    known = Rule.objects.filter(public_id=public_id).first()
    if known is None:
        try:
            return create(by=by, at=at, public_id=public_id, **wanted)
        except RuleError:
            known = Rule.objects.filter(public_id=public_id).first()
            if known is None:  # nobody was faster
                raise
    values = _checked({**_DEFAULTS, **wanted, "enabled": known.enabled}, of=known)
    if known.deleted_at or any(getattr(known, field) != value for field, value in values.items()):
        raise RuleTakenError(public_id)
    return known


@transaction.atomic
def change(rule: Rule, *, by: Actor, at: datetime, seen_at: datetime | None = None, **wanted: Unpack[Wanted]) -> None:
    """Set some fields. With another window, threshold, agents or scopes, or switched on, it is in force from then on.

    What the rule raised stays; what of it goes on closes where the rule does not hold any more.
    With `seen_at`, when the rule that somebody saw was changed last, nothing that was changed since is overwritten.
    Raises RuleError, RuleGoneError, or StaleRuleError.
    """
    values = _checked(wanted, of=rule)
    stored = Rule.objects.living().select_for_update().filter(pk=rule.pk).first()
    if stored is None:
        raise RuleGoneError(rule)
    if seen_at is not None and stored.updated_at != seen_at:
        raise StaleRuleError(stored)
    changed = {field for field, value in values.items() if getattr(stored, field) != value}
    if not changed:
        return
    before = {field: getattr(stored, field) for field in values}
    for field in changed:
        setattr(stored, field, values[field])
    stored.updated_at, stored.updated_by = at, by.name
    if changed & set(_COUNTED) or ("enabled" in changed and stored.enabled):
        stored.in_force_since = at
    _save(stored)
    told = changes.between(before, values)
    changes.record("rule", rule.public_id, "changed", by=by, at=at, name=stored.name, changes=told)
    rule.refresh_from_db()


@transaction.atomic
def delete(rule: Rule, *, by: Actor, at: datetime) -> None:
    """End a rule for good; its name is free again, its anomalies stay. Raises RuleGoneError if it was deleted."""
    if not Rule.objects.living().filter(pk=rule.pk).update(deleted_at=at, updated_at=at, updated_by=by.name):
        raise RuleGoneError(rule)
    rule.refresh_from_db()
    changes.record("rule", rule.public_id, "deleted", by=by, at=at, name=rule.name)


def channels_called(named: Sequence[str]) -> list[str]:
    """Return the ids of channels that are called by id or name; what no channel is called stays as it is."""
    wanted = [one for one in named if "\x00" not in one]
    by_name = dict(Channel.objects.kept().filter(name__in=wanted).values_list("name", "public_id"))
    return [by_name.get(one, one) for one in named]


def unknown_agents(agents: Iterable[str]) -> list[str]:
    """Return those of which there is no event and no registration yet."""
    wanted = list(agents)
    known = set(Agent.objects.filter(public_id__in=wanted).values_list("public_id", flat=True))
    return [agent for agent in wanted if agent not in known]


def matching(scopes: Sequence[str]) -> Q:
    """Return the condition by which an event is about one of these scopes; of none, each event is.

    A scope is the event's permission, its action, or one of the scopes of the grant that it names.
    """
    if not scopes:
        return Q()
    granted = Grant.objects.filter(scopes__has_any_keys=list(scopes)).values("public_id")
    return Q(permission__in=scopes) | Q(action__in=scopes) | Q(grant_id__in=granted)


def changes_since(anomaly: Anomaly) -> list[str]:
    """Say in what the rule that raised an anomaly is not what it was then; nothing if it is."""
    rule = Rule.objects.filter(public_id=anomaly.evidence["rule"]).first()
    if rule is None or rule.deleted_at:
        return ["it was deleted"]
    said: dict[str, tuple[str, Callable[[Any], str]]] = {
        "name": ("name", str),
        "window_seconds": ("window", wording.span),
        "threshold": ("threshold", wording.number),
        "scopes": ("scopes", lambda scopes: wording.listing(scopes) if scopes else "all"),
        "severity": ("severity", lambda severity: str(Severity(severity).label)),
    }
    differs = [
        f"its {said[field][0]} was {said[field][1](was)} and is {said[field][1](getattr(rule, field))}"
        for field, was in _as_told(anomaly).items()
        if was != getattr(rule, field)
    ]
    if rule.agents and anomaly.entity not in rule.agents:
        differs.append(f"{anomaly.entity} is none of its agents")
    if not rule.enabled:
        differs.append("it was switched off")
    elif rule.in_force_since > anomaly.active_until and not differs:
        differs.append(f"it was switched on anew at {rule.in_force_since:%Y-%m-%d %H:%M} UTC")
    return differs


def as_judged(anomaly: Anomaly, *, until: datetime, replayed: bool) -> tuple[history.Rule, ...]:
    """Return the rule that raised an anomaly as it was then, with the times of the matching events of its agent."""
    rule = Rule(public_id=anomaly.evidence["rule"], **_as_told(anomaly))
    matches = _matches(rule, {anomaly.entity: anomaly.started_at}, until)
    # What a window that ended before the rule was in force may have held does not belong to it.
    times = matches.get(anomaly.entity, np.zeros(0))
    firsts = times[times >= anomaly.started_at.timestamp() - MICROSECOND / 2]
    since = 0.0 if replayed or len(firsts) < rule.threshold else float(firsts[rule.threshold - 1])
    return (_fact(rule, matches, since),) if matches else ()


def _as_told(anomaly: Anomaly) -> dict[str, Any]:
    """Return the fields of the rule that raised an anomaly, as they were then."""
    told = anomaly.evidence
    return {"name": told["rule_name"], **told["parameters"], "scopes": told["scopes"], "severity": anomaly.severity}


def facts(judge_from: Mapping[str, datetime], *, until: datetime, replayed: bool) -> tuple[history.Rule, ...]:
    """Return the rules in force, with the times of the matching events of those agents that have enough of them.

    `judge_from` is the earliest time to judge of each agent that is looked at. Of each, what a window that ends then
    may hold is read, and all of what a new event may turn out to go on with. `replayed`: as if each rule had always
    been in force.
    """
    found = []
    for rule in Rule.objects.in_force().order_by("id"):
        since = None if replayed else rule.in_force_since
        wanted = [agent for agent in judge_from if not rule.agents or agent in rule.agents]
        matches = _matches(rule, {agent: max(judge_from[agent], since or judge_from[agent]) for agent in wanted}, until)
        if matches:
            found.append(_fact(rule, matches, since.timestamp() if since else 0.0))
    return tuple(found)


def as_if(wanted: Mapping[str, Any], judge_from: Mapping[str, datetime], *, until: datetime) -> history.Rule | None:
    """Return a rule that is not saved, with the times of the matching events of those agents that have enough of them.

    None where none has. Raises RuleError for fields that cannot be.
    """
    values = _checked({name: value for name, value in wanted.items() if name != "name"})
    rule = Rule(**{**_DEFAULTS, **values, "name": str(wanted.get("name", ""))[:MAX_LENGTH] or "this rule"})
    matches = _matches(rule, judge_from, until)
    return _fact(rule, matches, 0.0) if matches else None


def limits() -> list[tuple[frozenset[str], float, int]]:
    """Return of each rule in force its agents (none: all), its window in seconds and its threshold."""
    rows = Rule.objects.in_force().order_by("id").values_list("agents", "window_seconds", "threshold")
    return [(frozenset(agents), window_seconds, threshold) for agents, window_seconds, threshold in rows]


def _fact(rule: Rule, matches: Mapping[str, Any], since: float) -> history.Rule:
    return history.Rule(
        id=rule.public_id,
        name=rule.name,
        severity=rule.severity,
        window_seconds=rule.window_seconds,
        threshold=rule.threshold,
        scopes=tuple(rule.scopes),
        matches=matches,
        since=since,
    )


def _matches(rule: Rule, judge_from: Mapping[str, datetime], until: datetime) -> dict[str, Any]:
    if not judge_from:
        return {}
    window = timedelta(seconds=rule.window_seconds)
    reachable = Anomaly.objects.filter(
        type__in=counting("rule_events"),
        topic=rule.public_id,
        kind=Series.Kind.AGENT,
        entity__in=list(judge_from),
        active_until__gte=min(judge_from.values()) - window,
    )
    started = dict(reachable.values_list("entity").annotate(Min("started_at")).order_by())
    # Agents are read together by the day from which they are: one that is new is no reason to read all of the others'.
    days: dict[date, list[str]] = defaultdict(list)
    floors = {}
    for agent, earliest in judge_from.items():
        floors[agent] = min(earliest, started.get(agent, earliest)) - window
        days[floors[agent].date()].append(agent)
    matches = {}
    for agents in days.values():
        events = Event.objects.filter(
            matching(rule.scopes),
            agent_id__in=agents,
            time__gte=min(floors[agent] for agent in agents),
            time__lt=until,
        ).values_list("agent_id", "time")
        sql, parameters = events.query.sql_with_params()
        with connection.cursor() as cursor:
            cursor.execute(_TIMES.format(events=sql), [*parameters, rule.threshold])
            matches.update({agent: np.array(times) for agent, times in cursor.fetchall()})
    return matches


def _checked(wanted: Mapping[str, Any], *, of: Rule | None = None) -> dict[str, Any]:
    for field, reason in errors_of(wanted, of=of).items():
        raise RuleError(field, reason)
    values = dict(wanted)
    for field in ("agents", "scopes", "channels"):
        if field in values:
            values[field] = list(dict.fromkeys(values[field]))
    for field in ("name", "description"):
        if field in values:
            values[field] = values[field].strip()
    return values


def _save(rule: Rule) -> None:
    try:
        with transaction.atomic():
            rule.save()
    except IntegrityError as error:  # somebody was faster
        raise RuleError("name", _taken(rule.name)) from error


def _taken(name: str) -> str:
    return f"there is a rule named {name.strip()} already."


def _text(value: object, most: int, *, empty: bool) -> str:
    if not isinstance(value, str) or "\x00" in value:
        return "it is no text."
    if not value.strip() and not empty:
        return "it is empty."
    return f"{len(value):,} characters, at most {most:,} are kept." if len(value) > most else ""


def _texts(value: object) -> str:
    if isinstance(value, str) or not isinstance(value, Sequence):
        return "it is no list of texts."
    if len(value) > MOST_NAMED:
        return f"{len(value):,} of them, at most {MOST_NAMED} are kept."
    return next((f"{one!r:.80}: {error}" for one in value if (error := _text(one, MAX_LENGTH, empty=False))), "")


def _channels(value: object) -> str:
    if error := _texts(value):
        return error
    assert isinstance(value, Sequence)
    known = set(Channel.objects.kept().filter(public_id__in=value).values_list("public_id", flat=True))
    return next((f"there is no channel {one}." for one in value if one not in known), "")


def _severity(value: object) -> str:
    known = ", ".join(f"{severity.value} ({severity.label})" for severity in Severity)
    return "" if value in Severity.values and not isinstance(value, bool) else f"{value!r:.80} is none of {known}."


def _window(value: object) -> str:
    if value in WINDOWS.values() and not isinstance(value, bool):
        return ""
    known = ", ".join(f"{seconds} ({word})" for word, seconds in WINDOWS.items())
    return f"{value!r:.80} seconds is a window that nobody counts; there are {known}."


def _threshold(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        return f"{value!r:.80} is no whole number."
    return "" if 1 <= value <= MAX_THRESHOLD else f"{value} events; it must be from 1 to {MAX_THRESHOLD:,}."
