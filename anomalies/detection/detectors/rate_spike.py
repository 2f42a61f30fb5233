"""Rate spike: an agent, user or address did far more than its own history explains."""

from dataclasses import dataclass

from anomalies.detection.detector import Detector
from anomalies.detection.finding import Finding
from anomalies.detection.history import History
from anomalies.detection.parameter import parameter


@dataclass(frozen=True, slots=True)
class Config:
    alpha: float = parameter(1e-4, unit="tail probability", low=1e-12, high=0.01, help="At which an interval opens")


def detect(history: History, config: Config) -> list[Finding]:
    return []


DETECTOR = Detector(
    type="rate_spike",
    label="Rate spike",
    meaning="An agent, user or address did far more than its own history explains.",
    may_indicate=(
        "A job looping on a failed call.",
        "A leaked token used elsewhere.",
        "A bulk export or an enumeration of resources.",
    ),
    recommended_actions=(
        "Compare the addresses and actions below with the usual ones.",
        "If it is not a known job, suspend the agent or revoke its grants.",
        "If it is a known job, acknowledge it with a note for the next time.",
    ),
    version=1,
    config=Config,
    detect=detect,
)
