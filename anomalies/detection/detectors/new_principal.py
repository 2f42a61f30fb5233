"""New principal: an agent that rarely meets new users acts for one it has never acted for."""

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
    type="new_principal",
    label="New principal",
    meaning="An agent that rarely meets new users acts for one it has never acted for.",
    may_indicate=(
        "A stolen or mis-issued delegation.",
        "An agent used beyond its purpose.",
        "A new colleague or customer.",
    ),
    recommended_actions=(
        "Ask the user whether they authorized this agent.",
        "Check who issued the grant and when.",
        "If the user is expected, acknowledge: the agent is known for them from now on.",
    ),
    version=1,
    config=Config,
    detect=detect,
)
