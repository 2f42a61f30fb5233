"""What a detector is: its words for people, its parameters, and one pure function."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalies.detection.chart import Chart
from anomalies.detection.finding import Finding
from anomalies.detection.history import History
from anomalies.detection.parameter import Parameter, parameters_of
from anomalies.detection.screening import Glance, Mask, Outlook, nothing_foreseen, whatever


@dataclass(frozen=True, slots=True)
class Seen:
    """What an agent did so far."""

    age_days: float  # since its first event
    by_day: NDArray[np.int64]  # events of each UTC day, the newest last, of 90 days at most
    hours_are_set: bool  # whether its working hours are configured

    def events(self, days: float) -> int:
        """Events of the last days, today's among them."""
        return int(self._last(days).sum())

    def active_days(self, days: float) -> int:
        """How many of the last days had events."""
        return int(np.count_nonzero(self._last(days)))

    def _last(self, days: float) -> NDArray[np.int64]:
        return self.by_day[max(0, len(self.by_day) - round(days)) :]


@dataclass(frozen=True, slots=True)
class Learning:
    """Why a detector does not judge an agent in full yet, and after how many days at the earliest it will.

    `why` is a clause such as `learned hours need 14 days and 100 events`; the days are 0 where only events are missing.
    """

    why: str
    days: float


def _none(seen: Seen, config: Any) -> Learning | None:  # noqa: ARG001  of detectors that need no history
    return None


@dataclass(frozen=True, slots=True)
class Detector:
    """Everything that pages, APIs, admin and reference say about an anomaly type."""

    type: str
    label: str
    meaning: str
    risk: str  # what it may come to, in two or three words
    may_indicate: tuple[str, ...]
    recommended_actions: tuple[str, ...]
    version: int
    counts: str  # what: of series `requests` or `failures`, or a word of its own for what no series counts
    config: Callable[..., Any]
    detect: Callable[[History, Any], list[Finding]]
    chart: Callable[[History, Any, int], Chart]  # what a person should see of it, at that resolution in seconds
    # In how many seconds, by the parameters of the evidence, where it holds what it counts against a limit.
    window: Callable[[Mapping[str, Any]], float] | None = None
    answered: bool = False  # whether the response policy says what becomes of an agent with such an anomaly
    explains: bool = False  # that an entity did more than usual, or failed more: so that this is told once
    # What deviates, such as the location of a user; empty: the entity as such. `entity` in the evidence says it closer.
    entity: str = ""
    short: str = ""  # the label in two or three words, where it has more
    learning: Callable[[Seen, Any], Learning | None] = _none  # what it still lacks to judge an agent in full
    screen: Callable[[Glance, Any], Mask] = whatever  # rows (n,) that may be worth its look
    outlook: Callable[[Any], Outlook | None] = nothing_foreseen  # what its screen holds them against

    @property
    def short_label(self) -> str:
        return self.short or self.label

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return parameters_of(self.config)

    def label_of(self, name: str) -> str:
        """Return what people call a parameter; of one that it no longer has, its name in words."""
        return next((one.label for one in self.parameters if one.name == name), name.replace("_", " ").capitalize())

    def known(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """Return stored parameters without those that this version of the detector no longer has."""
        names = {parameter.name for parameter in self.parameters}
        return {name: value for name, value in stored.items() if name in names}
