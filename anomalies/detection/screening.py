"""Screening: which entities are worth a close look, by what came since the last one alone.

A detector reads months of history, and hardly any entity deviates. What the days before say of a UTC day stays the
same all day long: it is kept as an `Outlook`, and what came since the last look is held against that. A screen may be
too wide and must not be too narrow: it names each entity of which its detector could say anything new.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from anomalies.detection.history import DAY, History

Mask = NDArray[np.bool_]
Records = NDArray[np.void]


class Outlook(Protocol):
    """What the days before a UTC day say of it; equal ones say the same of the same history and calendar."""

    @property
    def name(self) -> str:
        """What tells it from all others, the parameters and version that it is made by among them."""

    @property
    def dtype(self) -> np.dtype[np.void]:
        """What is kept of a series."""

    def of(self, history: History, day: float) -> Records:
        """Return what is to be kept of each row, (n,); `day` is the day's begin in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class News:
    """Entities that something happened to since they are judged, beside what is counted."""

    meetings: Collection[str] = frozenset()  # agents that met somebody
    attempts: Collection[str] = frozenset()  # addresses and principals that failed often
    logins: Collection[str] = frozenset()  # principals that logged in
    requests: Collection[str] = frozenset()  # principals whose access requests changed
    rules: Collection[str] = frozenset()  # agents of which a custom rule may count enough


@dataclass(frozen=True, slots=True)
class Glance:
    """What came on one UTC day since entities were last looked at, beside what the days before say of it.

    Of the history, `hours` begin three days before that day, `fives` one day, `minutes` with it. What is finer than an
    hour is there from an hour before `judge_from` on, which is on that day; 0 before.
    """

    history: History
    outlooks: Mapping[Outlook, Records]  # each (n,)
    news: News

    @property
    def day(self) -> float:
        """Begin of the day in seconds since the epoch."""
        return self.history.hours.end - DAY

    def rows_of(self, entities: Collection[str]) -> Mask:
        """Return which rows are of these entities, (n,)."""
        return np.array([entity in entities for entity in self.history.entities], dtype=np.bool_)


def whatever(glance: Glance, _: Any) -> Mask:
    """Look at all of them closely: of detectors without a screen."""
    return np.ones(len(glance.history.entities), dtype=np.bool_)


def after_meetings(glance: Glance, _: Any) -> Mask:
    """Look at agents that met somebody."""
    return glance.rows_of(glance.news.meetings)


def after_logins(glance: Glance, _: Any) -> Mask:
    """Look at principals that logged in."""
    return glance.rows_of(glance.news.logins)


def after_requests(glance: Glance, _: Any) -> Mask:
    """Look at principals of whose access requests something new is known."""
    return glance.rows_of(glance.news.requests)


def by_rules(glance: Glance, _: Any) -> Mask:
    """Look at agents of which a custom rule may count enough."""
    return glance.rows_of(glance.news.rules)


def nothing_foreseen(_: Any) -> Outlook | None:
    """Keep nothing: of detectors that need no history."""
    return None
