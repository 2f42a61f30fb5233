"""When which incident happens: one in every two days, of each kind in turn, for all time."""

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np

from anomalies.ingest.simulated.cast import Agent, Rhythm
from anomalies.ingest.simulated.incident import LOGIN_KINDS, REQUEST_KINDS, Incident, Kind

SLOT_HOURS = 48
LONGEST = timedelta(hours=2)  # an incident
TRIES = 60  # to find an agent busy enough at that hour
BUSY = 10.0  # events an hour, so that a spike of it can be told from chance
LEAST_EXCESS = 25.0  # events of a spike above the usual
PLAIN_RATE = 300.0  # events an hour of a spike that nobody overlooks
KINDS = tuple(kind for kind in Kind if kind not in (*LOGIN_KINDS, *REQUEST_KINDS, Kind.SILENCE))

# What a demonstration finds around its time: the kind, and the hours within which it starts.
_FINALE = (
    (Kind.OFF_HOURS, -24.0, 0.0),
    (Kind.NEW_PRINCIPAL, -20.0, -12.0),
    (Kind.BRUTE_FORCE, -7.0, -5.0),
    (Kind.RATE_SPIKE, -0.2, -0.2),
    (Kind.HIGH_FAILURE_RATE, 0.15, 0.15),
)

Rate = Callable[[Agent, int], float]


class Schedule:
    def __init__(
        self,
        *,
        agents: Sequence[Agent],
        principals: Sequence[str],
        rate: Rate,
        seeds: tuple[int, int],
        finale: datetime | None,
    ) -> None:
        self._agents = agents
        self._principals = principals
        self._rate = rate
        self._seeds = seeds
        self._of_slot = cache(self._incident_of_slot)
        self._finale = self._incidents_of_finale(finale) if finale else []

    def between(self, start: datetime, end: datetime) -> list[Incident]:
        """Return the incidents of which a part lies in [start, end), by time."""
        first, last = ((time.timestamp() // 3600) // SLOT_HOURS for time in (start, end))
        scheduled = [self._of_slot(slot) for slot in range(int(first), int(last) + 1)]
        return sorted(
            (one for one in [*scheduled, *self._finale] if one.start < end and one.end > start),
            key=lambda incident: (incident.start, incident.number),
        )

    def _incident_of_slot(self, slot: int) -> Incident:
        begin = datetime.fromtimestamp(slot * SLOT_HOURS * 3600, UTC)
        end = begin + timedelta(hours=SLOT_HOURS) - LONGEST  # no incident reaches into the next slot
        kind = KINDS[slot % len(KINDS)]
        return self._incident(kind, begin, end, number=slot, turn=slot // len(KINDS))

    def _incidents_of_finale(self, finale: datetime) -> list[Incident]:
        anchor = finale.replace(microsecond=0)
        return [
            self._incident(
                kind,
                anchor + timedelta(hours=first),
                anchor + timedelta(hours=last),
                number=int(anchor.timestamp()) * 10 + n,  # never a slot's
                turn=2 * int(anchor.timestamp()),  # even: the guessing succeeds
                plain=True,
            )
            for n, (kind, first, last) in enumerate(_FINALE)
        ]

    def _incident(
        self, kind: Kind, begin: datetime, end: datetime, *, number: int, turn: int, plain: bool = False
    ) -> Incident:
        """Return an incident that starts between these times; a rate spike if no agent suits the kind.

        `plain`: of an agent that is busy then, and large, so that it is seen within minutes.
        """
        rng = np.random.default_rng((*self._seeds, number))
        suitable = self._suitable(kind)
        if not suitable:
            kind, suitable = Kind.RATE_SPIKE, list(self._agents)
        agent, start = self._cast(kind, suitable, begin, end, rng, enough=math.inf if plain else BUSY)
        if kind == Kind.RATE_SPIKE and plain:
            usual = max(self._rate(agent, int(start.timestamp() // 3600)), 1.0)
            return _incident(number, kind, agent, start, 30, times_usual=max(12.0, PLAIN_RATE / usual))
        if kind == Kind.RATE_SPIKE:
            return self._spike(agent, start, number, rng)
        if kind == Kind.HIGH_FAILURE_RATE:
            return _incident(number, kind, agent, start, 30)
        if kind == Kind.BRUTE_FORCE:
            return _incident(
                number,
                kind,
                agent,
                start,
                float(rng.uniform(3, 15)),
                source_ip=f"203.0.113.{rng.integers(1, 255)}",
                events=int(rng.integers(20, 150)) + 1,
                breaks_in=turn % 2 == 0,
            )
        if kind == Kind.NEW_PRINCIPAL:
            strangers = [n for n in range(len(self._principals)) if n not in agent.principals]
            stranger = self._principals[strangers[turn % len(strangers)]] if strangers else "user_contractor"
            return _incident(
                number,
                kind,
                agent,
                start,
                float(rng.uniform(5, 20)),
                principal_id=stranger,
                source_ip=f"192.0.2.{rng.integers(1, 255)}",
                events=int(rng.integers(3, 12)),
            )
        return _incident(number, kind, agent, start, float(rng.uniform(60, 110)), events=int(rng.integers(30, 80)))

    def _suitable(self, kind: Kind) -> list[Agent]:
        if kind == Kind.BRUTE_FORCE:
            return list(self._agents[:1])
        if kind == Kind.NEW_PRINCIPAL:
            return [agent for agent in self._agents if agent.settled and agent.rhythm == Rhythm.CLOCK]
        if kind == Kind.OFF_HOURS:
            return [agent for agent in self._agents if agent.rhythm == Rhythm.OFFICE]
        return [agent for agent in self._agents if agent.rhythm != Rhythm.NIGHTLY and agent.number != 0]

    def _cast(
        self,
        kind: Kind,
        suitable: Sequence[Agent],
        begin: datetime,
        end: datetime,
        rng: np.random.Generator,
        *,
        enough: float,
    ) -> tuple[Agent, datetime]:
        """Return who and when: at work if possible, and at two in the morning for what is to be off hours."""
        seconds = (end - begin).total_seconds()
        best, most = None, -1.0
        for _ in range(TRIES):
            agent = suitable[int(rng.integers(len(suitable)))]
            start = begin + timedelta(seconds=round(float(rng.uniform(0, seconds))))
            if kind == Kind.OFF_HOURS:
                return agent, _at_two(agent, begin, rng)
            busy = self._rate(agent, int(start.timestamp() // 3600))
            if busy > most:
                best, most = (agent, start), busy
            if busy >= enough:
                break
        assert best is not None  # TRIES is positive
        return best

    def _spike(self, agent: Agent, start: datetime, number: int, rng: np.random.Generator) -> Incident:
        """Four to twelve times the usual for 5 to 60 minutes, and enough of it to be told from chance."""
        usual = self._rate(agent, int(start.timestamp() // 3600))
        times_usual, minutes = float(rng.uniform(4, 12)), float(rng.uniform(5, 60))
        wanted = LEAST_EXCESS + 2 * usual
        if usual > 0:
            minutes = float(np.clip(wanted / (usual * (times_usual - 1)) * 60, minutes, 60))
            times_usual = float(np.clip(1 + wanted / (usual * minutes / 60), times_usual, 12))
        return _incident(number, Kind.RATE_SPIKE, agent, start, minutes, times_usual=times_usual)


def _at_two(agent: Agent, begin: datetime, rng: np.random.Generator) -> datetime:
    """Return the first time after `begin` shortly after 02:00 where the agent works."""
    local = begin.astimezone(ZoneInfo(agent.place.zone))
    two = local.replace(hour=2, minute=int(rng.integers(0, 10)), second=0, microsecond=0)
    if two < local:
        two += timedelta(days=1)
    return two.astimezone(UTC)


def _incident(number: int, kind: Kind, agent: Agent, start: datetime, minutes: float, **rest: object) -> Incident:
    end = start + timedelta(seconds=round(60 * minutes))
    return Incident(number=number, kind=kind, start=start, end=end, agent=agent.number, agent_id=agent.id, **rest)  # type: ignore[arg-type]  # the fields of the kind
