"""What people set about detectors."""

from collections.abc import Mapping
from datetime import datetime

from anomalies.detection.parameter import build_config
from anomalies.detection.registry import DETECTORS
from anomalies.models import DetectorSettings


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
