"""Off hours: activity in hours in which this agent is not at work, or hardly ever is."""

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
    type="off_hours_activity",
    label="Off hours",
    meaning="Activity in hours in which this agent is not at work, or hardly ever is.",
    may_indicate=(
        "Credentials used by somebody in another time zone.",
        "A job that was moved or started by hand.",
        "Exfiltration when nobody watches.",
    ),
    recommended_actions=(
        "Look at the addresses and actions below.",
        "Ask the owner of the agent about planned work.",
        "If it is planned, set the agent's working hours.",
    ),
    version=1,
    config=Config,
    detect=detect,
)
