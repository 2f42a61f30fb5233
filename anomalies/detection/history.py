"""What detectors look at: counts, first meetings and login attempts, all in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from anomalies.detection.request import Requester

MINUTE = 60
FIVE_MINUTES = 300
HOUR = 3600
DAY = 86400
WEEK = 604800
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of n entities over the same t buckets, oldest first, both int32 (n, t)."""

    start: float  # of the first bucket, seconds since the epoch, a UTC midnight
    width: int  # seconds
    requests: NDArray[np.int32]
    failures: NDArray[np.int32]

    @property
    def starts(self) -> NDArray[np.float64]:
        """Start of each bucket in seconds since the epoch, (t,)."""
        return self.start + self.width * np.arange(self.requests.shape[1], dtype=np.float64)

    @property
    def end(self) -> float:
        """End of the last bucket in seconds since the epoch."""
        return self.start + self.width * int(self.requests.shape[1])

    def index(self, time: float) -> int:
        """Number of the bucket that holds that time."""
        return int((time - self.start) // self.width)

    def of(self, rows: NDArray[np.intp]) -> "Counts":
        """The same buckets of those rows alone."""
        return replace(self, requests=self.requests[rows], failures=self.failures[rows])


@dataclass(frozen=True, slots=True)
class Calendar:
    """The hours of `History.hours` as each entity's own clock shows them; all (n, t)."""

    zones: tuple[str, ...]  # IANA names of their clocks, n
    hour_of_week: NDArray[np.int16]  # 0 is Monday 00:00 local time
    free: NDArray[np.bool_]  # a weekend or one of its holidays
    configured: NDArray[np.bool_]  # (n,) whether working hours are set
    at_work: NDArray[np.bool_]  # within the configured hours; False where none are set

    def of(self, rows: NDArray[np.intp]) -> "Calendar":
        """The same hours of those rows alone."""
        return Calendar(
            tuple(self.zones[row] for row in rows.tolist()),
            self.hour_of_week[rows],
            self.free[rows],
            self.configured[rows],
            self.at_work[rows],
        )


@dataclass(frozen=True, slots=True)
class Meeting:
    """An agent's first event for a principal."""

    agent: str
    principal: str
    time: float
    failed: bool
    new_address: bool  # the agent had not come from that address before
    new_country: bool
    known_share: float  # of the other agents, how many knew the principal already, 0..1


@dataclass(frozen=True, slots=True)
class Peers:
    """The agents of one group, by which its newcomers are judged; hours as those of `History.hours`."""

    group: str
    start: float  # of the first hour, seconds since the epoch, a UTC midnight
    requests: NDArray[np.int32]  # (m, t)
    first_time: NDArray[np.float64]  # (m,) time of each agent's first event


@dataclass(frozen=True, slots=True)
class Attempts:
    """All events of one address or principal in a stretch of time, by time."""

    times: NDArray[np.float64]  # (m,) seconds since the epoch
    failed: NDArray[np.bool_]  # (m,)
    partners: NDArray[np.str_]  # (m,) the principal (of an address) or the address (of a principal); "" if none


@dataclass(frozen=True, slots=True)
class Login:
    """A sign-in of a principal; what is not known is empty."""

    time: float
    succeeded: bool
    ip: str
    network: str  # its /24, or /48 of IPv6
    country: str
    city: str
    place: tuple[float, float] | None  # latitude and longitude in degrees
    device: str  # the user agent without its versions


@dataclass(frozen=True, slots=True)
class Origin:
    """Logins of a principal on one UTC day from one address, place and device; what is not known is empty."""

    day: int  # days since the epoch
    first_time: float
    last_time: float
    logins: int
    succeeded: bool
    ip: str
    network: str
    country: str
    place: tuple[float, float] | None
    device: str


@dataclass(frozen=True, slots=True)
class Past:
    """What a principal's logins are held against."""

    first_day: int  # of its first successful login, days since the epoch
    origins: Sequence[Origin]  # from 33 days before the first day that is judged, to the last one
    countries: Mapping[str, float]  # time of the first successful login from each country that is to be judged
    common: Mapping[tuple[str, int], float]  # of a new country on a day: share of the others who use it, 0..1


@dataclass(frozen=True, slots=True)
class Rule:
    """A reviewer's own rule, and the times of the events that it counts."""

    id: str
    name: str
    severity: int
    window_seconds: float
    threshold: int
    scopes: tuple[str, ...]
    matches: Mapping[str, NDArray[np.float64]]  # of each agent that has enough of them, sorted
    since: float = 0.0  # windows that end before are not judged


@dataclass(frozen=True, slots=True)
class History:
    """Series of entities of one kind, and all that detectors may know about them at `until`.

    A row is a series: first those of all actions of each entity, then, of agents, those of one action each.
    """

    kind: str  # agent, principal or address
    entities: tuple[str, ...]  # n
    actions: tuple[str, ...]  # n, "" for all of them
    until: float  # seconds since the epoch; nothing later is judged
    judge_from: NDArray[np.float64]  # (n,) earliest time to judge
    first_time: NDArray[np.float64]  # (n,) time of the entity's first event
    hours: Counts
    fives: Counts  # of 5 minutes; starts later than `hours`
    minutes: Counts  # starts later than `fives`
    calendar: Calendar
    tenant: Counts  # of everybody, one row by the hour; it begins when it does, whomever it is loaded with
    meetings: tuple[Meeting, ...]
    attempts: Mapping[str, Attempts]  # of entities with many failures within an hour
    # Of principals, by time: from an hour before they are judged; and the first and last of the stay before that,
    # with the last one elsewhere.
    logins: Mapping[str, Sequence[Login]] = field(default_factory=dict)
    pasts: Mapping[str, Past] = field(default_factory=dict)  # of the same principals
    requests: Mapping[str, Requester] = field(default_factory=dict)  # of principals that ever asked for access
    rules: Sequence[Rule] = ()
    peers: Mapping[str, Peers] = field(default_factory=dict)  # of agents in a group that may be newcomers
    # Seconds after which the events of a time are there, all but one in a hundred, (n,).
    lag: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    # What was fitted to it, by what with and of which day, and by entity and action: kept by `baseline`.
    fits: dict[Any, dict[tuple[str, str], Any]] = field(default_factory=dict, compare=False)

    @property
    def totals(self) -> range:
        """Rows of all actions: one for each entity."""
        return range(sum(not action for action in self.actions))

    def of(self, entities: Collection[str]) -> "History":
        """Return what is known of these entities alone, with all their series; the tenant stays that of everybody."""
        return replace(
            self._only([row for row, entity in enumerate(self.entities) if entity in entities]),
            meetings=tuple(meeting for meeting in self.meetings if meeting.agent in entities),
            attempts=_of(self.attempts, entities),
            logins=_of(self.logins, entities),
            pasts=_of(self.pasts, entities),
            requests=_of(self.requests, entities),
            peers=_of(self.peers, entities),
            rules=tuple(replace(rule, matches=_of(rule.matches, entities)) for rule in self.rules),
        )

    def with_action(self, action: str) -> "History":
        """Return it with the series of one action alone, as the last row, after those of all actions; "" for none."""
        return self._only([row for row, one in enumerate(self.actions) if one in ("", action)])

    def _only(self, wanted: Sequence[int]) -> "History":
        rows = np.array(wanted, dtype=np.intp)
        return replace(
            self,
            entities=tuple(self.entities[row] for row in wanted),
            actions=tuple(self.actions[row] for row in wanted),
            judge_from=self.judge_from[rows],
            first_time=self.first_time[rows],
            hours=self.hours.of(rows),
            fives=self.fives.of(rows),
            minutes=self.minutes.of(rows),
            calendar=self.calendar.of(rows),
            lag=self.lag[rows] if len(self.lag) else self.lag,
        )


def _of(known: Mapping[str, T], entities: Collection[str]) -> dict[str, T]:
    return {entity: one for entity, one in known.items() if entity in entities}
