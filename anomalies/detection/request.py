"""Access requests as detectors see them: what was asked for, what was decided, and when two are alike."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anomalies.detection.lateness import LATE_SECONDS

RECENT_DAYS = 30  # of which all requests are known,
REJECTED_DAYS = 180  # and of which those that a person rejected are

_BETWEEN = re.compile(r"[\s_-]+")


@dataclass(frozen=True, slots=True)
class Unit:
    """What is asked for: a permission on a resource."""

    integration: str
    resource: str
    resource_type: str
    permission: str
    tags: tuple[str, ...] = ()
    resource_id: str = ""  # tells resources of one name apart; "" where the source gives none

    def alike(self, other: "Unit") -> bool:
        """Whether both are of one integration and resource type, and share the resource or the permission."""
        return self.group == other.group and not set(self.shared).isdisjoint(other.shared)

    @property
    def group(self) -> tuple[str, str]:
        return self.integration, self.resource_type

    @property
    def shared(self) -> tuple[tuple[str, str], ...]:
        """Its resource and its permission, as far as it names them, each told from the other."""
        named = (("resource", self.resource_id or self.resource), ("permission", compact(self.permission)))
        return tuple((what, name) for what, name in named if name)

    def __str__(self) -> str:
        return f"{self.permission or 'access'} on {self.resource or self.resource_type or self.integration}"


@dataclass(frozen=True, slots=True)
class Decision:
    """An approval or a rejection; `by` is empty where the source does not name who decided."""

    time: float
    approved: bool
    by: str = ""
    by_person: bool = False


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A request for access, as far as its events had come."""

    id: str
    name: str  # as people call it, such as AR-123
    time: float  # when it was made, seconds since the epoch
    known_at: float  # time of the first event known of it that says for what; at or after `time`
    units: tuple[Unit, ...]
    flow: str = ""  # id of its access flow
    decisions: tuple[Decision, ...] = ()  # by time
    active_at: float | None = None  # when its requester had been seen last before it, by whatever event

    @property
    def in_time(self) -> bool:
        """Whether it was heard of while it could still be judged."""
        return self.known_at - self.time <= LATE_SECONDS

    def alike(self, other: "AccessRequest") -> bool:
        return any(mine.alike(theirs) for mine in self.units for theirs in other.units)


@dataclass(frozen=True, slots=True)
class Requester:
    """Somebody who has asked for access."""

    first_seen: float  # time of their first event
    times: NDArray[np.float64]  # at which all their requests were known first, sorted
    # By time: all since `RECENT_DAYS` before what is judged, and since `REJECTED_DAYS` those that a person rejected.
    requests: Sequence[AccessRequest]

    def before(self, time: float, seconds: float) -> list[AccessRequest]:
        """Those of the requests that came to be known in that stretch before a time, that time excluded."""
        return [request for request in self.requests if time - seconds <= request.known_at < time]


def compact(text: str) -> str:
    """Return a text to compare by: without case, spaces, `_` and `-`."""
    return _BETWEEN.sub("", text.casefold())
