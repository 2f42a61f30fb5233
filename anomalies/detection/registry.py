"""All anomaly types. A new one: its file in `detectors/`, and one line here."""

from anomalies.detection.detector import Detector
from anomalies.detection.detectors import (
    access_automation,
    approved_after_rejected,
    custom_rule,
    high_failure_rate,
    inactive_user,
    new_principal,
    off_hours_activity,
    rate_drop,
    rate_spike,
    request_high_risk_access,
    suspicious_login,
)

DETECTORS: dict[str, Detector] = {
    detector.type: detector
    for detector in (
        rate_spike.DETECTOR,
        rate_drop.DETECTOR,
        high_failure_rate.DETECTOR,
        new_principal.DETECTOR,
        off_hours_activity.DETECTOR,
        suspicious_login.DETECTOR,
        request_high_risk_access.DETECTOR,
        approved_after_rejected.DETECTOR,
        inactive_user.DETECTOR,
        access_automation.DETECTOR,
        custom_rule.DETECTOR,
    )
}
