"""All anomaly types. A new one: its file in `detectors/`, and one line here."""

from anomalies.detection.detector import Detector
from anomalies.detection.detectors import custom_rule, high_failure_rate, new_principal, off_hours_activity, rate_spike

DETECTORS: dict[str, Detector] = {
    detector.type: detector
    for detector in (
        rate_spike.DETECTOR,
        high_failure_rate.DETECTOR,
        new_principal.DETECTOR,
        off_hours_activity.DETECTOR,
        custom_rule.DETECTOR,
    )
}
