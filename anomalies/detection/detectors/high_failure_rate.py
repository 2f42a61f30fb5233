"""High failure rate: far more requests than usual were refused, or somebody is guessing credentials."""

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
    type="high_failure_rate",
    label="High failure rate",
    meaning="Far more requests than usual were refused, or somebody is guessing credentials.",
    may_indicate=(
        "Brute force or password spraying.",
        "A token with the wrong scopes, or one that has expired.",
        "An agent that probes what it may do.",
    ),
    recommended_actions=(
        "Look whether a success follows the failures: then treat the account as compromised.",
        "Block the address if it is not one of yours.",
        "Check the grant and scopes of the agent.",
    ),
    version=1,
    config=Config,
    detect=detect,
)
