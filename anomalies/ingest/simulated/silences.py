"""When an agent of the simulated organisation falls silent: one afternoon in every second week, for all time."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from anomalies.ingest.simulated.cast import Agent, Rhythm
from anomalies.ingest.simulated.incident import Incident, Kind

EVERY = timedelta(days=14)  # so that a month has one after the two weeks in which an agent is too young for drops
FIRST = datetime(1970, 1, 7, tzinfo=UTC)  # a Wednesday
LOCAL_HOUR = 13
LASTS = timedelta(hours=4)
LARGEST = 3  # of the agents that keep office hours: none of the others would be missed for sure

Between = Callable[[datetime, datetime], Sequence[Incident]]


class Silences:
    """`others` are the incidents between two times that an agent is not to be silent in."""

    def __init__(self, *, agents: Sequence[Agent], others: Between) -> None:
        office = [agent for agent in agents if agent.rhythm == Rhythm.OFFICE]
        self._agents = sorted(office, key=lambda agent: (-agent.profile.max(), agent.number))[:LARGEST]
        self._others = others

    def incidents(self, start: datetime, end: datetime) -> list[Incident]:
        """Return the silences of which a part lies in [start, end), by time."""
        if not self._agents:
            return []
        first, last = ((time - FIRST) // EVERY for time in (start - timedelta(days=1), end + timedelta(days=1)))
        silences = [self._silence(number) for number in range(first, last + 1)]
        return [one for one in silences if one is not None and one.start < end and one.end > start]

    def _silence(self, number: int) -> Incident | None:
        """Return the silence of that fortnight, None if each of the agents has another incident then."""
        day = FIRST + number * EVERY
        for turn in range(len(self._agents)):
            agent = self._agents[(number + turn) % len(self._agents)]
            local = datetime(day.year, day.month, day.day, LOCAL_HOUR, tzinfo=ZoneInfo(agent.place.zone))
            start = local.astimezone(UTC).replace(minute=0)  # agents act by the hour of UTC
            end = start + LASTS
            if all(other.agent != agent.number for other in self._others(start, end)):
                return Incident(
                    number=number, kind=Kind.SILENCE, start=start, end=end, agent=agent.number, agent_id=agent.id
                )
        return None
