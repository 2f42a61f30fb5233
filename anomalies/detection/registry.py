"""All anomaly types, in the order in which they are shown. A new one: its file in `detectors/`, and one line here."""

from importlib import import_module

from anomalies.detection.detector import Detector

_TYPES = (
    "rate_spike",
    "rate_drop",
    "high_failure_rate",
    "new_principal",
    "off_hours_activity",
    "suspicious_login",
    "request_high_risk_access",
    "approved_after_rejected",
    "inactive_user",
    "access_automation",
    "custom_rule",
)

DETECTORS: dict[str, Detector] = {
    type_: import_module(f"anomalies.detection.detectors.{type_}").DETECTOR for type_ in _TYPES
}


def counting(what: str) -> tuple[str, ...]:
    """Return the types that count this."""
    return tuple(type_ for type_, detector in DETECTORS.items() if detector.counts == what)
