"""What people set about detectors, and who is judged by what."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import numpy as np
from django.db import connection, transaction
from django.db.models import Min

from anomalies.detection.detector import Detector, Seen
from anomalies.detection.finding import Finding
from anomalies.detection.history import History
from anomalies.detection.parameter import ParameterError, build_config
from anomalies.detection.registry import DETECTORS
from anomalies.detection.screening import Glance, Mask, Outlook
from anomalies.models import Agent, Anomaly, DetectorOverride, DetectorSettings, Series
from anomalies.services import changes
from anomalies.services.access import AgentGoneError
from anomalies.services.actor import Actor

logger = logging.getLogger(__name__)


HISTORY_DAYS = 90  # that a detector may learn from

_BY_DAY = """
SELECT s.entity, b.start, (
    SELECT sum(count) FROM unnest(b.counts[:extract(epoch FROM %(at)s - b.start)::integer / 3600 + 1]) AS count)
FROM anomalies_bucketblock b JOIN anomalies_series s ON s.id = b.series_id
WHERE s.kind = 'agent' AND s.entity = ANY(%(agents)s) AND s.action = '' AND s.metric = 'requests'
  AND b.resolution_seconds = 3600 AND b.start > %(since)s AND b.start <= %(at)s
"""


class UnknownDetectorError(Exception):
    def __init__(self, type_: str) -> None:
        super().__init__(f"type: {type_!r} is no detector; there are {', '.join(DETECTORS)}.")


class NoOverrideError(Exception):
    def __init__(self, type_: str, agent: Agent) -> None:
        super().__init__(f"The agent {agent.public_id} is judged by the settings of {type_} already.")


class StaleOverrideError(Exception):
    def __init__(self, agent: Agent) -> None:
        super().__init__(f"Somebody changed how {agent.public_id} is judged since this page was made. Look at it anew.")


class StaleSettingsError(Exception):
    def __init__(self, detector: Detector) -> None:
        super().__init__(f"Somebody changed the settings of {detector.label} since: nothing of yours was saved.")


@dataclass(frozen=True, slots=True)
class Judges:
    """By which `Config` of each detector entities are judged; None where it is switched off."""

    settings: Mapping[str, Any]  # by type
    overrides: Mapping[str, Mapping[str, Any]]  # by type and agent

    @classmethod
    def load(cls, instead: DetectorSettings | DetectorOverride | None = None) -> Self:
        """Return those of the present, or as they would be with a row that is not saved instead of the one that is.

        What is stored and cannot be set any more is logged, left out, and stops nobody.
        """
        rows: list[DetectorSettings | DetectorOverride] = [
            *DetectorSettings.objects.all(),
            *DetectorOverride.objects.all(),
            *([instead] if instead else []),
        ]
        stored = {row.type: row for row in rows if isinstance(row, DetectorSettings)}
        own = {(row.type, row.agent_id): row for row in rows if isinstance(row, DetectorOverride)}
        settings: dict[str, Any] = {}
        overrides: dict[str, dict[str, Any]] = {}
        for type_, detector in DETECTORS.items():
            row = stored.get(type_, DetectorSettings(type=type_))
            settings[type_] = _config(detector, row.parameters) if row.enabled else None
            overrides[type_] = {
                agent_id: _config(detector, row.parameters, override.parameters) if override.enabled else None
                for (of, agent_id), override in own.items()
                if of == type_
            }
        return cls(settings, overrides)

    def only(self, type_: str) -> Self:
        """Those of that detector alone."""
        return replace(self, settings={type_: self.settings[type_]}, overrides={type_: self.overrides[type_]})

    def config_of(self, type_: str, kind: str, entity: str) -> Any | None:
        """Return by what a detector judges an entity, or None if it does not."""
        own = self.overrides.get(type_, {}) if kind == Series.Kind.AGENT else {}
        return own[entity] if entity in own else self.settings.get(type_)

    def has_own(self, kind: str, entity: str) -> bool:
        """Return whether anything is set for that entity alone."""
        return kind == Series.Kind.AGENT and any(entity in overrides for overrides in self.overrides.values())

    @property
    def outlooks(self) -> frozenset[Outlook]:
        """What the screens of all detectors hold entities against; not of those that have settings of their own."""
        on = {type_: config for type_, config in self.settings.items() if config is not None}
        made = {DETECTORS[type_].outlook(config) for type_, config in on.items()}
        return frozenset(outlook for outlook in made if outlook is not None)

    def screen(self, glance: Glance) -> Mask:
        """Return the rows that any detector may have something to say of, (n,), by the settings for all."""
        found = np.zeros(len(glance.history.entities), dtype=np.bool_)
        for type_, config in self.settings.items():
            if config is not None:
                found |= DETECTORS[type_].screen(glance, config)
        return found

    def detect(self, history: History) -> list[Finding]:
        """Return what all detectors find, each entity judged by its own configs."""
        found: list[Finding] = []
        for type_ in self.settings:
            by_config: dict[Any, list[str]] = defaultdict(list)
            for entity in dict.fromkeys(history.entities):
                by_config[self.config_of(type_, history.kind, entity)].append(entity)
            for config, entities in by_config.items():
                if config is not None:
                    some = history if len(by_config) == 1 else history.of(set(entities))
                    found += DETECTORS[type_].detect(some, config)
        return found


@dataclass(frozen=True, slots=True)
class Learns:
    """What a detector still lacks to judge an agent in full; `until` is None where only events are missing."""

    detector: Detector
    why: str
    until: datetime | None

    def __str__(self) -> str:
        then = f"until {self.until:%Y-%m-%d %H:%M} UTC at the earliest" if self.until else "until they have come"
        return f"{self.why}: {then}"


def _config(detector: Detector, *stored: Mapping[str, Any]) -> Any:
    """Return the config of stored parameters, the later ones above the earlier, without what cannot be set any more."""
    parameters: dict[str, Any] = {}
    for some in stored:
        for name, value in detector.known(some).items():
            try:
                build_config(detector.config, {name: value})
            except ParameterError as error:
                logger.warning("%s: a stored parameter is left out: %s", detector.type, error)
            else:
                parameters[name] = value
    return build_config(detector.config, parameters)


def add_missing_settings() -> None:
    """Give every detector of the registry a row; those that have one keep it."""
    DetectorSettings.objects.bulk_create((DetectorSettings(type=type_) for type_ in DETECTORS), ignore_conflicts=True)


def settings_of(type_: str) -> DetectorSettings:
    """Return the row of a detector of the registry, which is made if it is a new one."""
    if not DetectorSettings.objects.filter(type=type_).exists():
        add_missing_settings()
    return DetectorSettings.objects.get(type=type_)


@transaction.atomic
def configure(
    settings: DetectorSettings,
    *,
    enabled: bool,
    parameters: Mapping[str, Any],
    by: Actor,
    at: datetime,
    seen_at: datetime | None = None,
) -> None:
    """Switch a detector on or off and set its parameters, of which those that differ from the default are kept.

    With `seen_at`, when the settings that somebody saw were made, nothing that was changed since is overwritten.
    Raises ParameterError for an unknown name or a value out of bounds, or StaleSettingsError.
    """
    detector = DETECTORS[settings.type]
    wanted = _as_json(asdict(build_config(detector.config, parameters)))
    defaults = _as_json({parameter.name: parameter.default for parameter in detector.parameters})
    stored = DetectorSettings.objects.select_for_update().get(pk=settings.pk)
    if seen_at is not None and stored.updated_at != seen_at:
        raise StaleSettingsError(detector)
    before = {"enabled": stored.enabled, **_as_json(parameters_of(settings.type))}
    settings.enabled = enabled
    settings.parameters = {name: wanted[name] for name in parameters if wanted[name] != defaults[name]}
    settings.updated_at = at
    settings.save(update_fields=["enabled", "parameters", "updated_at"])
    after = {"enabled": enabled, **_as_json(parameters_of(settings.type))}
    if changed := changes.between(before, after):
        changes.record("detector", settings.type, "changed", by=by, at=at, name=detector.label, changes=changed)


@transaction.atomic
def switch(type_: str, *, on: bool, by: Actor, at: datetime) -> None:
    """Switch a detector on or off; its parameters stay. Raises UnknownDetectorError."""
    check(type_, {})
    stored = DetectorSettings.objects.select_for_update().get(pk=settings_of(type_).pk)
    if stored.enabled == on:
        return
    stored.enabled, stored.updated_at = on, at
    stored.save(update_fields=["enabled", "updated_at"])
    told = changes.between({"enabled": not on}, {"enabled": on})
    changes.record("detector", type_, "changed", by=by, at=at, name=DETECTORS[type_].label, changes=told)


def check(type_: str, parameters: Mapping[str, Any]) -> None:
    """Raise UnknownDetectorError or ParameterError if that detector cannot have these parameters."""
    if type_ not in DETECTORS:
        raise UnknownDetectorError(type_)
    build_config(DETECTORS[type_].config, parameters)


def parameters_of(type_: str, agent: Agent | None = None) -> dict[str, Any]:
    """Return all parameters by which a detector judges everybody, or one agent; whether or not it is switched on."""
    row = DetectorSettings.objects.filter(type=type_).first()
    own = DetectorOverride.objects.filter(type=type_, agent=agent).first() if agent else None
    stored = [found.parameters for found in (row, own) if found]
    return asdict(_config(DETECTORS[type_], *stored))


@dataclass(frozen=True, slots=True)
class Present:
    """By what a detector judges everybody, whether or not it is switched on."""

    enabled: bool
    parameters: Mapping[str, Any]


def present() -> dict[str, Present]:
    """Return that of each type, in the order in which types are shown."""
    stored = {row.type: row for row in DetectorSettings.objects.all()}
    found = {}
    for type_, detector in DETECTORS.items():
        row = stored.get(type_, DetectorSettings(type=type_))
        found[type_] = Present(row.enabled, asdict(_config(detector, row.parameters)))
    return found


def is_enabled(type_: str, agent: Agent | None = None) -> bool:
    """Return whether a detector judges everybody, or one agent."""
    return Judges.load().config_of(type_, Series.Kind.AGENT, agent.public_id if agent else "") is not None


@transaction.atomic
def override(
    type_: str,
    agent: Agent,
    *,
    enabled: bool,
    parameters: Mapping[str, Any],
    reason: str,
    by: Actor,
    at: datetime,
    seen_at: str | None = None,
) -> DetectorOverride:
    """Judge an agent by these instead of the detector's settings, on or off, and return the override.

    Of the parameters those that differ from the settings are kept: the others follow the settings. With `seen_at`, when
    the override that somebody saw was made, in ISO form, empty where there was none, nothing that was changed since is
    overwritten. Raises UnknownDetectorError, ParameterError, AgentGoneError, or StaleOverrideError.
    """
    check(type_, parameters)
    if not Agent.objects.select_for_update().filter(pk=agent.pk, deleted_at__isnull=True).exists():
        raise AgentGoneError(agent)
    wanted, usual = asdict(build_config(DETECTORS[type_].config, parameters)), parameters_of(type_)
    known = DetectorOverride.objects.filter(type=type_, agent=agent).first()
    if seen_at is not None and seen_at != (known.updated_at.isoformat() if known else ""):
        raise StaleOverrideError(agent)
    row = known or DetectorOverride(type=type_, agent=agent)
    before = _as_recorded(known) if known else {}
    row.enabled, row.reason, row.updated_at, row.updated_by = enabled, reason, at, by.name
    row.parameters = _as_json({name: wanted[name] for name in parameters if wanted[name] != usual[name]})
    row.save()
    if changed := changes.between(before, _as_recorded(row)):
        _record(type_, agent, "changed" if known else "created", by=by, at=at, changed=changed, reason=reason)
    return row


@transaction.atomic
def remove_override(type_: str, agent: Agent, *, by: Actor, at: datetime) -> None:
    """Judge an agent by the detector's settings again. Raises NoOverrideError."""
    known = DetectorOverride.objects.select_for_update().filter(type=type_, agent=agent).first()
    if known is None:
        raise NoOverrideError(type_, agent)
    known.delete()
    _record(type_, agent, "removed", by=by, at=at, changed={}, reason=known.reason)


def _as_json(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as the database will give them back: words in a list."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in parameters.items()}


def _as_recorded(row: DetectorOverride) -> dict[str, Any]:
    return {"enabled": row.enabled, "reason": row.reason, **row.parameters}


def _record(
    type_: str, agent: Agent, action: str, *, by: Actor, at: datetime, changed: Mapping[str, Any], reason: str
) -> None:
    name = f"{DETECTORS[type_].label} of {agent.public_id}"
    subject = f"{type_} {agent.public_id}"[:200]
    changes.record("detector_override", subject, action, by=by, at=at, name=name, changes=changed, note=reason)


def learning_of(agent: Agent, *, at: datetime) -> list[Learns]:
    """Return which detectors were still learning what is usual for an agent; those switched off for it are left out."""
    return learning_of_each([agent], at=at)[agent.public_id]


def learning_of_each(agents: Sequence[Agent], *, at: datetime) -> dict[str, list[Learns]]:
    """Return the same of several agents, by their ids."""
    judges, seen = Judges.load(), _seen_of(agents, at)
    return {
        agent.public_id: [
            state
            for type_, detector in DETECTORS.items()
            if (config := judges.config_of(type_, Series.Kind.AGENT, agent.public_id)) is not None
            and (state := _learns(detector, seen[agent.public_id], config, at))
        ]
        for agent in agents
    }


def learning_behind(anomaly: Anomaly) -> Learns | None:
    """Return what an anomaly's detector was still learning of its agent, by the parameters it was judged by."""
    detector = DETECTORS.get(anomaly.type)
    if detector is None or anomaly.kind != Series.Kind.AGENT or anomaly.agent is None:
        return None
    config = _config(detector, anomaly.evidence.get("parameters", {}))
    return _learns(
        detector, _seen_of([anomaly.agent], anomaly.started_at)[anomaly.agent.public_id], config, anomaly.started_at
    )


def _learns(detector: Detector, seen: Seen, config: Any, at: datetime) -> Learns | None:
    learning = detector.learning(seen, config)
    if learning is None:
        return None
    return Learns(detector, learning.why, at + timedelta(days=learning.days) if learning.days else None)


def _seen_of(agents: Sequence[Agent], at: datetime) -> dict[str, Seen]:
    ids = [agent.public_id for agent in agents]
    known = Series.objects.filter(kind=Series.Kind.AGENT, entity__in=ids)
    first = dict(known.order_by().values_list("entity").annotate(Min("first_time")))
    today = at.astimezone(UTC).date()
    by_day = {public_id: np.zeros(HISTORY_DAYS, dtype=np.int64) for public_id in ids}
    with connection.cursor() as cursor:
        since = at - timedelta(days=HISTORY_DAYS)
        cursor.execute(_BY_DAY, {"agents": ids, "at": at, "since": since})
        for entity, start, events in cursor.fetchall():
            by_day[entity][HISTORY_DAYS - 1 - (today - start.astimezone(UTC).date()).days] = events
    return {
        agent.public_id: Seen(
            max((at - first.get(agent.public_id, at)) / timedelta(days=1), 0.0),
            by_day[agent.public_id],
            agent.working_hours is not None,
        )
        for agent in agents
    }
