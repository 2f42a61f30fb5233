"""From a tail probability to a score and a severity, the same for all detectors."""

import math

from anomalies.detection.finding import HIGH, LOW, MEDIUM

SMALLEST_P = 1e-300
LOW_AT, MEDIUM_AT, HIGH_AT = 4.0, 6.0, 9.0  # surprise, -log10 p


def surprise(p: float) -> float:
    """Return S = -log10 p, finite also where p underflowed."""
    return -math.log10(max(p, SMALLEST_P))


def score(s: float) -> float:
    """Return the score in 0..1 of a surprise: clip((S - 2) / 10, 0, 1)."""
    return min(max((s - 2.0) / 10.0, 0.0), 1.0)


def severity(s: float) -> int:
    """Return the severity of a surprise: medium from 6, high from 9."""
    return HIGH if s >= HIGH_AT else MEDIUM if s >= MEDIUM_AT else LOW


def floor_score(severity_: int) -> float:
    """Return the least score that a severity given by a rule stands for."""
    return score({LOW: LOW_AT, MEDIUM: MEDIUM_AT, HIGH: HIGH_AT}[severity_])
