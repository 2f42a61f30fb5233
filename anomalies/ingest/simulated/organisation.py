"""The organisation itself: the same events for the same seed, in whatever slices they are asked for.

Every agent's every hour has a random generator of its own, and so has every incident: nothing depends on what was
asked for before.
"""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from anomalies.ingest.record import EventRecord
from anomalies.ingest.simulated import cast
from anomalies.ingest.simulated.cast import Address, Agent, Place
from anomalies.ingest.simulated.incident import LOGIN_KINDS, REQUEST_KINDS, Incident, Kind
from anomalies.ingest.simulated.logins import Logins
from anomalies.ingest.simulated.requests import Requests
from anomalies.ingest.simulated.schedule import Schedule
from anomalies.ingest.simulated.silences import Silences

HOUR = 3600
GUEST_HOURS = 720  # how long a colleague is with an agent that meets people, until the next one
GUEST_SHARE = 0.08  # of the events are for that colleague
FEWEST_IN_FAILURE = 40  # requests of an agent that is refused: it tries again

# Streams of random numbers, told apart by the second word of the seed; 3 is the cast's.
_CELL, _INCIDENT, _GUEST, _REFUSED, _CAUSED = 0, 1, 2, 4, 5

Floats = NDArray[np.float64]


class Organisation:
    """`finale`: a time around which a demonstration needs more to look at; five more incidents end shortly after it.

    `volume` scales all rates of agents; `dispersion` is how much busier or calmer hours are than the agent's mean of
    that hour (variance mean + dispersion * mean^2; 0 is Poisson). `zone`: that of all agents, instead of their own.
    """

    def __init__(
        self,
        *,
        agents: int = 30,
        principals: int = 40,
        seed: int = 1,
        volume: float = 1.0,
        dispersion: float = 0.1,
        zone: str = "",
        finale: datetime | None = None,
    ) -> None:
        if not 1 <= agents <= cast.MOST_AGENTS:
            raise ValueError(f"agents: 1 to {cast.MOST_AGENTS:,}, not {agents:,}.")
        if not 2 <= principals <= cast.MOST_PRINCIPALS:
            raise ValueError(f"principals: 2 to {cast.MOST_PRINCIPALS:,}, not {principals:,}.")
        if seed < 0:
            raise ValueError(f"seed: 0 or more, not {seed}.")
        self.seed = seed
        self.volume = volume
        self.dispersion = dispersion
        self.principals = tuple(cast.principal_id(number) for number in range(principals))
        self.agents = tuple(cast.agent(number, seed=seed, principals=principals, zone=zone) for number in range(agents))
        self._schedule = Schedule(
            agents=self.agents, principals=self.principals, rate=self.rate, seeds=(seed, _INCIDENT), finale=finale
        )
        self._silences = Silences(agents=self.agents, others=self._schedule.between)
        self._logins = Logins(agent=self.agents[0], principals=self.principals, seed=seed, finale=finale)
        self._requests = Requests(principals=self.principals, seed=seed, finale=finale)

    def events(self, start: datetime, end: datetime) -> Iterator[EventRecord]:
        """Yield the events of [start, end) by time."""
        first, last = int(start.timestamp() // HOUR), math.ceil(end.timestamp() / HOUR)
        for hour in range(first, last):
            for event in self._hour(hour):
                if start <= event.time < end:
                    yield event

    def before(self, start: datetime, end: datetime) -> list[EventRecord]:
        """Return by time the few events before `start` that the incidents of [start, end) rest on."""
        return self._requests.before(start, end)

    def incidents(self, start: datetime, end: datetime) -> list[Incident]:
        """Return the incidents of which a part lies in [start, end), by time."""
        known = [
            *self._schedule.between(start, end),
            *self._logins.incidents(start, end),
            *self._requests.incidents(start, end),
            *self._silences.incidents(start, end),
        ]
        return sorted(known, key=lambda incident: (incident.start, incident.number))

    def rate(self, agent: Agent, hour: int) -> float:
        """Return how many events of the agent are to be expected in that hour since the epoch."""
        hour_of_day, free = _local(agent.place.zone, hour)
        return float(agent.profile[free, hour_of_day]) * self.volume

    def _hour(self, hour: int) -> list[EventRecord]:
        begin = datetime.fromtimestamp(hour * HOUR, UTC)
        incidents = self.incidents(begin, begin + timedelta(hours=1))
        events = [event for agent in self.agents for event in self._cell(agent, hour, incidents)]
        events += self._logins.hour(hour)
        events += self._requests.hour(hour)
        for incident in incidents:
            events += [event for event in self._caused(incident) if event.time.timestamp() // HOUR == hour]
        events.sort(key=lambda event: (event.time, event.external_id))
        return events

    def _cell(self, agent: Agent, hour: int, incidents: Sequence[Incident]) -> Iterator[EventRecord]:
        """Yield what an agent usually does in that hour; refused, while it is in trouble, and nothing in a silence."""
        mean = self.rate(agent, hour)
        if mean <= 0 or any(one.kind == Kind.SILENCE and one.agent == agent.number for one in incidents):
            return
        rng = np.random.default_rng((self.seed, _CELL, agent.number, hour))
        mood = rng.gamma(1 / self.dispersion, self.dispersion) if self.dispersion > 0 else 1.0
        n = int(rng.poisson(mean * mood))
        if not n:
            return
        times = hour * HOUR + np.sort(rng.random(n)) * HOUR
        chances = rng.random((7, n))
        denied = chances[0] < agent.denied_share
        for incident in incidents:
            if incident.kind == Kind.HIGH_FAILURE_RATE and incident.agent == agent.number:
                refused = np.random.default_rng((self.seed, _REFUSED, incident.number, hour)).random(n) < 0.6
                denied |= refused & (times >= incident.start.timestamp()) & (times < incident.end.timestamp())
        yield from self._records(
            agent,
            times,
            chances,
            denied,
            prefix=f"sim-{self.seed}-{agent.number}-{hour}",
            guest=self._guest(agent, hour),
        )

    def _guest(self, agent: Agent, hour: int) -> str | None:
        if not agent.social:
            return None
        period = (hour + 31 * agent.number) // GUEST_HOURS
        rng = np.random.default_rng((self.seed, _GUEST, agent.number, period))
        return self.principals[int(rng.integers(len(self.principals)))]

    def _records(
        self,
        agent: Agent,
        times: Floats,
        chances: Floats,
        denied: NDArray[np.bool_],
        *,
        prefix: str,
        guest: str | None = None,
        address: Address | None = None,
        principal: str | None = None,
        action: str | None = None,
    ) -> Iterator[EventRecord]:
        """Yield an event for each time; `chances` (7, n) decide what is not given."""
        system = cast.SYSTEMS[agent.integration]
        whom = np.searchsorted(agent.weights, chances[1]).clip(max=len(agent.principals) - 1).tolist()
        where = np.searchsorted((0.7, 0.9), chances[2]).tolist()
        what = (chances[3] ** 2 * len(system.actions)).astype(int).tolist()
        which = (chances[4] ** 2 * len(system.resources)).astype(int).tolist()
        as_guest = (chances[5] < GUEST_SHARE).tolist()
        hard = (chances[6] < 0.3).tolist()
        millis = np.floor(times * 1000).astype(np.int64).tolist()
        for n, is_denied in enumerate(denied.tolist()):
            user = principal or (guest if guest and as_guest[n] else self.principals[agent.principals[whom[n]]])
            origin = address or agent.addresses[where[n]]
            place: Place | None = origin.place
            done = action or system.actions[what[n]]
            seconds, rest = divmod(millis[n], 1000)
            yield EventRecord(
                external_id=f"{prefix}-{n}",
                time=datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000),
                agent_id=agent.id,
                principal_id=user,
                action=done,
                status=("failure" if hard[n] else "blocked") if is_denied else "success",
                grant_id=f"grnt_{agent.id.removeprefix('ag_')}_{user.removeprefix('user_')}",
                resource=system.resources[which[n]],
                resource_type=system.resource_type,
                integration=agent.integration,
                permission=cast.permission_of(done),
                ip=origin.ip,
                country=place.country if place else "",
                city=place.city if place else "",
                latitude=place.latitude if place else None,
                longitude=place.longitude if place else None,
                user_agent=agent.user_agent,
            )

    def _caused(self, incident: Incident) -> Iterator[EventRecord]:
        """Yield the events that an incident adds, over all of its time."""
        if incident.kind in LOGIN_KINDS:
            yield from self._logins.caused(incident)
            return
        if incident.kind in REQUEST_KINDS:
            yield from self._requests.caused(incident)
            return
        rng = np.random.default_rng((self.seed, _CAUSED, incident.number))
        agent = self.agents[incident.agent]
        begin, end = incident.start.timestamp(), incident.end.timestamp()
        prefix = f"sim-{self.seed}-i{incident.number}"
        hours = np.arange(begin // HOUR, end // HOUR + 1).astype(int)
        usual = sum(
            self.rate(agent, hour) * (min(end, (hour + 1) * HOUR) - max(begin, hour * HOUR)) / HOUR
            for hour in hours.tolist()
        )
        n = incident.events
        if incident.kind == Kind.RATE_SPIKE:
            n = int(rng.poisson(usual * (incident.times_usual - 1)))
        elif incident.kind == Kind.HIGH_FAILURE_RATE:
            n = int(max(0, FEWEST_IN_FAILURE - usual))
        times = np.sort(rng.uniform(begin, end, size=n))
        chances = rng.random((7, n))
        denied = chances[0] < (0.6 if incident.kind == Kind.HIGH_FAILURE_RATE else agent.denied_share)
        if incident.kind == Kind.BRUTE_FORCE:
            yield from self._guesses(incident, agent, times, prefix, rng)
            return
        address = Address(incident.source_ip, _elsewhere(rng)) if incident.source_ip else None
        yield from self._records(
            agent, times, chances, denied, prefix=prefix, address=address, principal=incident.principal_id
        )

    def _guesses(
        self, incident: Incident, agent: Agent, times: Floats, prefix: str, rng: np.random.Generator
    ) -> Iterator[EventRecord]:
        assert incident.source_ip is not None  # the schedule gave it one
        place = _elsewhere(rng)
        last = len(times) - 1
        for n, time in enumerate(times.tolist()):
            user = self.principals[int(rng.integers(len(self.principals)))]
            yield EventRecord(
                external_id=f"{prefix}-{n}",
                time=datetime.fromtimestamp(int(time * 1000) / 1000, UTC),
                agent_id=agent.id,
                principal_id=user,
                action="user.login",
                status="success" if incident.breaks_in and n == last else "failure",
                resource="okta-portal",
                resource_type="application",
                integration="okta",
                permission="user:login",
                ip=incident.source_ip,
                country=place.country,
                city=place.city,
                latitude=place.latitude,
                longitude=place.longitude,
                user_agent="python-requests/2.31",
            )


def _elsewhere(rng: np.random.Generator) -> Place:
    return cast.ELSEWHERE[int(rng.integers(len(cast.ELSEWHERE)))]


@lru_cache(maxsize=100_000)
def _local(zone: str, hour: int) -> tuple[int, int]:
    """Return the hour of the day in that zone and whether it is a free day."""
    local = datetime.fromtimestamp(hour * HOUR, ZoneInfo(zone))
    return local.hour, int(local.weekday() >= 5)
