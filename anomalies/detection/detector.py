"""What a detector is: its words for people, its parameters, and one pure function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from anomalies.detection.chart import Chart
from anomalies.detection.finding import Finding
from anomalies.detection.history import History
from anomalies.detection.parameter import Parameter, parameters_of


@dataclass(frozen=True, slots=True)
class Detector:
    """Everything that pages, APIs, admin and reference say about an anomaly type."""

    type: str
    label: str
    meaning: str
    may_indicate: tuple[str, ...]
    recommended_actions: tuple[str, ...]
    version: int
    config: Callable[..., Any]
    detect: Callable[[History, Any], list[Finding]]
    chart: Callable[[History, Any, int], Chart]  # what a person should see of it, at that resolution in seconds

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return parameters_of(self.config)

    def known(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return stored parameters without those that this version of the detector no longer has."""
        names = {parameter.name for parameter in self.parameters}
        return {name: value for name, value in stored.items() if name in names}
