"""How the users of the simulated organisation sign in: from home, on the road and through the VPN, and who else does.

Every hour has a random generator of its own, and so has every incident, as in the organisation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from anomalies.ingest.record import EventRecord
from anomalies.ingest.simulated.cast import ELSEWHERE, OFFICES, Address, Agent, Place
from anomalies.ingest.simulated.incident import LOGIN_KINDS, Incident, Kind

HOUR = 3600
SLOT_HOURS = 60  # in each of which one incident begins, of each kind in turn
LONGEST = timedelta(hours=2)
CHANCE = 0.3  # of a login, in each hour of a work day from 8 to 18 where the user lives
MISTYPED = 0.04
VPN = Address("198.19.200.1", OFFICES[1])
BROWSERS = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/{}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/{}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0",
)
PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS {}_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
STRANGER = "Mozilla/5.0 (X11; CrOS x86_64) AppleWebKit/537.36 Chrome/118.0.0.0 HeadlessChrome"

_HABIT, _STRANGE, _SCHEDULED = 60, 61, 62  # streams of random numbers, the second word of the seed

# What a demonstration finds before its time: the kind, and how many hours before.
_FINALE = ((Kind.TRAVEL, 3.0), (Kind.MANY_ADDRESSES, 26.0))


@dataclass(frozen=True, slots=True)
class Person:
    """A user with a home; every fourth is often on the road, every fifth uses the VPN."""

    number: int
    id: str

    @property
    def home(self) -> Address:
        place = OFFICES[self.number * 5 % len(OFFICES)]
        return Address(f"198.19.{self.number // 200 % 200}.{self.number % 200 + 1}", place)

    @property
    def browser(self) -> str:
        return BROWSERS[self.number % len(BROWSERS)]

    def at_work(self, hour: int) -> bool:
        assert self.home.place is not None  # homes are known
        local = datetime.fromtimestamp(hour * HOUR, ZoneInfo(self.home.place.zone))
        return local.weekday() < 5 and 8 <= local.hour < 18

    def origin(self, rng: np.random.Generator) -> tuple[Address, str]:
        """Return from where and with what the user signs in this time."""
        if self.number % 4 == 0 and rng.random() < 0.5:
            assert self.home.place is not None
            return Address(_phone_address(rng), None), PHONE
        if self.number % 5 == 0 and rng.random() < 0.4:
            return VPN, self.browser
        return self.home, self.browser


class Logins:
    """The logins of these users through one agent; a `finale` has further incidents shortly before it."""

    def __init__(self, *, agent: Agent, principals: Sequence[str], seed: int, finale: datetime | None) -> None:
        self._agent = agent
        self._people = tuple(Person(number, name) for number, name in enumerate(principals))
        self._seed = seed
        self._finale = [
            self._incident(kind, finale.replace(microsecond=0) - timedelta(hours=hours), n)
            for n, (kind, hours) in enumerate(_FINALE)
        ] if finale else []  # fmt: skip

    def hour(self, hour: int) -> Iterator[EventRecord]:
        """Yield the usual logins of an hour since the epoch."""
        rng = np.random.default_rng((self._seed, _HABIT, hour))
        chances, times = rng.random((2, len(self._people)))
        for person in self._people:
            if person.at_work(hour) and chances[person.number] < CHANCE:
                origin, browser = person.origin(np.random.default_rng((self._seed, _HABIT, hour, person.number)))
                tries = 1 + (chances[person.number] < CHANCE * MISTYPED)
                for n in range(tries):
                    yield self._login(
                        person,
                        (hour + times[person.number] * 0.99) * HOUR + 15 * n,
                        f"{hour}-{person.number}-{n}",
                        origin,
                        # A new version each month or so.
                        browser.format(118 + hour // 700 % 100),
                        succeeded=n == tries - 1,
                    )

    def incidents(self, start: datetime, end: datetime) -> list[Incident]:
        """Return the incidents of which a part lies in [start, end)."""
        first, last = (int(time.timestamp() // HOUR // SLOT_HOURS) for time in (start, end))
        scheduled = [self._of_slot(slot) for slot in range(first, last + 1)]
        return [one for one in [*scheduled, *self._finale] if one.start < end and one.end > start]

    def caused(self, incident: Incident) -> Iterator[EventRecord]:
        """Yield all events of an incident of logins."""
        rng = np.random.default_rng((self._seed, _STRANGE, incident.number))
        person = next(one for one in self._people if one.id == incident.principal_id)
        begin, end = incident.start.timestamp(), incident.end.timestamp()
        times = np.sort(rng.uniform(begin, end, size=incident.events))
        stranger = Address(f"203.0.113.{rng.integers(1, 255)}", _far_from(person.home.place, rng))
        for n, time in enumerate(times.tolist()):
            origin, device = stranger, STRANGER
            if incident.kind == Kind.TRAVEL and n == 0:
                origin, device = person.home, person.browser.format(118 + int(begin // HOUR) // 700 % 100)
            elif incident.kind == Kind.MANY_ADDRESSES:
                origin = Address(_phone_address(rng), None)
            yield self._login(person, time, f"i{incident.number}-{n}", origin, device, succeeded=True)

    def _of_slot(self, slot: int) -> Incident:
        rng = np.random.default_rng((self._seed, _SCHEDULED, slot))
        begin = datetime.fromtimestamp(slot * SLOT_HOURS * HOUR, UTC)
        seconds = round(float(rng.uniform(0, SLOT_HOURS * HOUR - LONGEST.total_seconds())))
        return self._incident(LOGIN_KINDS[slot % len(LOGIN_KINDS)], begin + timedelta(seconds=seconds), slot + 100)

    def _incident(self, kind: Kind, start: datetime, number: int) -> Incident:
        rng = np.random.default_rng((self._seed, _SCHEDULED, number, int(start.timestamp())))
        return Incident(
            number=number,
            kind=kind,
            start=start,
            end=start + timedelta(seconds=round(float(rng.uniform(1200, 3000)))),
            agent=self._agent.number,
            agent_id=self._agent.id,
            principal_id=self._people[int(rng.integers(len(self._people)))].id,
            events=int(rng.integers(9, 16)) if kind == Kind.MANY_ADDRESSES else int(rng.integers(3, 7)),
        )

    def _login(
        self, person: Person, time: float, name: str, origin: Address, device: str, *, succeeded: bool
    ) -> EventRecord:
        place = origin.place
        seconds, millis = divmod(int(time * 1000), 1000)
        return EventRecord(
            external_id=f"sim-{self._seed}-login-{name}",
            time=datetime.fromtimestamp(seconds, UTC).replace(microsecond=millis * 1000),
            agent_id=self._agent.id,
            principal_id=person.id,
            action="user.login",
            status="success" if succeeded else "failure",
            resource="okta-portal",
            resource_type="application",
            integration="okta",
            permission="user:login",
            ip=origin.ip,
            country=place.country if place else "",
            city=place.city if place else "",
            latitude=place.latitude if place else None,
            longitude=place.longitude if place else None,
            user_agent=device,
        )


def _phone_address(rng: np.random.Generator) -> str:
    return f"100.{rng.integers(64, 128)}.{rng.integers(256)}.{rng.integers(1, 255)}"


def _far_from(home: Place | None, rng: np.random.Generator) -> Place:
    """A place from where nobody works, further away than anybody travels within an hour."""
    assert home is not None
    far = [
        place for place in ELSEWHERE if abs(place.longitude - home.longitude) + abs(place.latitude - home.latitude) > 20
    ]
    return far[int(rng.integers(len(far)))]
