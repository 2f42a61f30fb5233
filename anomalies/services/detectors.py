"""What people set about detectors, and who is judged by what."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from anomalies.detection.detector import Detector
from anomalies.detection.finding import Finding
from anomalies.detection.history import History
from anomalies.detection.parameter import ParameterError, build_config
from anomalies.detection.registry import DETECTORS
from anomalies.models import DetectorOverride, DetectorSettings, Series

logger = logging.getLogger(__name__)


class UnknownDetectorError(Exception):
    def __init__(self, type_: str) -> None:
        super().__init__(f"type: {type_!r} is no detector; there are {', '.join(DETECTORS)}.")


@dataclass(frozen=True, slots=True)
class Judges:
    """By which `Config` of each detector entities are judged; None where it is switched off."""

    settings: Mapping[str, Any]  # by type
    overrides: Mapping[str, Mapping[str, Any]]  # by type and agent

    @classmethod
    def load(cls) -> Self:
        """Return those of the present. What no longer can be set is logged and stops nobody."""
        stored = {row.type: row for row in DetectorSettings.objects.all()}
        settings, overrides = {}, {}
        for type_, detector in DETECTORS.items():
            row = stored.get(type_)
            parameters = row.parameters if row else {}
            settings[type_] = _config(detector, parameters) if row is None or row.enabled else None
            overrides[type_] = {
                own.agent_id: _config(detector, parameters, own.parameters) if own.enabled else None
                for own in DetectorOverride.objects.filter(type=type_)
            }
        return cls(settings, overrides)

    def changed(self, type_: str, *, enabled: bool, parameters: Mapping[str, Any], agent_id: str | None = None) -> Self:
        """Return those of that detector alone as they would be with other settings, or with an agent's other override.

        Raises UnknownDetectorError or ParameterError.
        """
        detector = _known(type_)
        stored = DetectorSettings.objects.filter(type=type_).first()
        settings = detector.known(stored.parameters) if stored else {}
        overridden = {own.agent_id: own for own in DetectorOverride.objects.filter(type=type_)}
        now = Judges.load().settings[type_]
        if agent_id is None:
            build_config(detector.config, parameters)
            settings, now = dict(parameters), _config(detector, parameters) if enabled else None
        else:
            build_config(detector.config, {**settings, **parameters})
            overridden[agent_id] = DetectorOverride(type=type_, enabled=enabled, parameters=dict(parameters))
        own = {
            agent: _config(detector, settings, one.parameters) if one.enabled else None
            for agent, one in overridden.items()
        }
        return type(self)({type_: now}, {type_: own})

    def only(self, type_: str) -> Self:
        """Those of that detector alone."""
        return replace(self, settings={type_: self.settings[type_]}, overrides={type_: self.overrides[type_]})

    def config_of(self, type_: str, kind: str, entity: str) -> Any | None:
        """Return by what a detector judges an entity, or None if it does not."""
        own = self.overrides.get(type_, {}) if kind == Series.Kind.AGENT else {}
        return own[entity] if entity in own else self.settings.get(type_)

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


def _known(type_: str) -> Detector:
    if type_ not in DETECTORS:
        raise UnknownDetectorError(type_)
    return DETECTORS[type_]


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


def configure(settings: DetectorSettings, *, enabled: bool, parameters: Mapping[str, float], at: datetime) -> None:
    """Switch a detector on or off and set its parameters, of which those that differ from the default are kept.

    Raises ParameterError for an unknown name or a value out of bounds.
    """
    detector = DETECTORS[settings.type]
    build_config(detector.config, parameters)
    defaults = {parameter.name: parameter.default for parameter in detector.parameters}
    settings.enabled = enabled
    settings.parameters = {name: value for name, value in parameters.items() if value != defaults[name]}
    settings.updated_at = at
    settings.save(update_fields=["enabled", "parameters", "updated_at"])
