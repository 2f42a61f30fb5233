"""How the users of the simulated organisation ask for access, what becomes of it, and what goes wrong there.

Every user's every day has a random generator of its own, and so has every incident, as in the organisation.
"""

import math
import zlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np

from anomalies.ingest.access_request import AccessRequestRecord, Approval, Flow, Grantee, Requester, Unit
from anomalies.ingest.record import EventRecord
from anomalies.ingest.simulated import cast
from anomalies.ingest.simulated.incident import REQUEST_KINDS, Incident, Kind

AGENT = "ag_access_requests"
FORMER_AGENT = "ag_access_desk"  # by which they asked before: the month is the first of the other
HOUR, DAY = 3600, 86400
SLOT_HOURS = 84  # in each of which one incident begins, of each kind in turn
LONGEST = timedelta(hours=2)  # an incident
CHANCE = 0.12  # of a request, of each user on each work day
POLICY_REJECTS = 0.06  # of them: no person does
PERSON_REJECTS = 0.04  # for something that nobody is granted
LONGEST_LIFE_DAYS = 2  # of a usual request, begun days among them
LEVELS = ("read", "write", "operate")
SENSITIVE = (
    Unit(integration="aws", resource="prod-exports", resource_type="bucket", permission="Bucket Admin"),
    Unit(integration="postgres-prod", resource="customers", resource_type="database", permission="owner"),
    Unit(integration="salesforce", resource="Contact", resource_type="object", permission="FULL_ACCESS", tags=["pii"]),
)
APPROVERS = ("Maria Keller", "Tom Brandt", "Aylin Demir")
FLOWS = {"self": Flow(id="flow_self_serve", name="Self serve"), "ops": Flow(id="flow_operations", name="Operations")}

_DAY, _INCIDENT, _SLOT = 70, 71, 72  # streams of random numbers, the second word of the seed

# What a demonstration finds before its time: the kind, and how many hours before.
_FINALE = (
    (Kind.RISKY_REQUEST, 2.5),
    (Kind.REQUEST_LOOP, 9.0),
    (Kind.CONTRADICTED, 15.0),
    (Kind.RETURN, 22.0),
)


class Requests:
    """The access requests of these users; a `finale` has an incident of each kind in the day before it."""

    def __init__(self, *, principals: Sequence[str], seed: int, finale: datetime | None) -> None:
        self._principals = principals
        self._seed = seed
        self._of_day = lru_cache(maxsize=8)(self._usual)
        anchor = finale.replace(microsecond=0) if finale else None
        self._finale = [
            self._incident(kind, anchor - timedelta(hours=hours), int(anchor.timestamp()) * 10 + n)
            for n, (kind, hours) in enumerate(_FINALE)
        ] if anchor else []  # fmt: skip

    def hour(self, hour: int) -> Iterator[EventRecord]:
        """Yield the usual events of an hour since the epoch."""
        day = hour * HOUR // DAY
        for begun in range(day - LONGEST_LIFE_DAYS + 1, day + 1):
            yield from (event for event in self._of_day(begun) if event.time.timestamp() // HOUR == hour)

    def incidents(self, start: datetime, end: datetime) -> list[Incident]:
        """Return the incidents of which a part lies in [start, end)."""
        first, last = (int(time.timestamp() // HOUR // SLOT_HOURS) for time in (start, end))
        scheduled = [self._of_slot(slot) for slot in range(first, last + 1)]
        return [one for one in [*scheduled, *self._finale] if one.start < end and one.end > start]

    def caused(self, incident: Incident) -> Iterator[EventRecord]:
        """Yield all events of an incident."""
        rng = np.random.default_rng((self._seed, _INCIDENT, incident.number))
        begin = incident.start.timestamp()
        name, who = f"i{incident.number}", incident.principal_id
        assert who is not None  # the schedule gave it one
        if incident.kind == Kind.RISKY_REQUEST:
            unit = SENSITIVE[int(rng.integers(len(SENSITIVE)))]
            yield from self._life(name, who, begin + 30, unit, rng, hold=0.6)
        elif incident.kind == Kind.CONTRADICTED:
            unit = Unit(
                integration="payroll",
                resource=f"ledger-{incident.number % 1000}",
                resource_type="database",
                permission=f"post entries {incident.number % 1000}",
            )
            yield from self._life(f"{name}-1", who, begin + 30, unit, rng, rejected_by=APPROVERS[0])
            yield from self._life(f"{name}-2", who, begin + 2400, unit, rng, approved_by=APPROVERS[1], steps=3)
        elif incident.kind == Kind.REQUEST_LOOP:
            system = cast.SYSTEMS["kubernetes"]
            seconds = (incident.end.timestamp() - begin - 120) / incident.events
            for n in range(incident.events):
                unit = Unit(
                    integration="kubernetes",
                    resource=system.resources[0],
                    resource_type=system.resource_type,
                    permission="exec",
                )
                asked_at = begin + 1 + (n + float(rng.uniform(0, 0.1))) * seconds
                yield from self._life(f"{name}-{n}", who, asked_at, unit, rng, steps=1)
        else:
            yield from self._life(name, who, begin + 30, self._habit(who), rng, hold=0.5)

    def before(self, start: datetime, end: datetime) -> list[EventRecord]:
        """Return by time what came before `start` and the incidents of [start, end) rest on: who returns was there."""
        events: list[EventRecord] = []
        for incident in self.incidents(start, end):
            if incident.kind == Kind.RETURN and incident.principal_id:
                rng = np.random.default_rng((self._seed, _INCIDENT, incident.number, 1))
                asked_at = incident.start.timestamp() - float(rng.uniform(100, 250)) * DAY
                name, unit = f"i{incident.number}-before", self._habit(incident.principal_id)
                events += self._life(name, incident.principal_id, asked_at, unit, rng, hold=4.0, agent=FORMER_AGENT)
        events.sort(key=lambda event: (event.time, event.external_id))
        return [event for event in events if event.time < start]

    def _of_slot(self, slot: int) -> Incident:
        rng = np.random.default_rng((self._seed, _SLOT, slot))
        begin = datetime.fromtimestamp(slot * SLOT_HOURS * HOUR, UTC)
        seconds = round(float(rng.uniform(0, SLOT_HOURS * HOUR - LONGEST.total_seconds())))
        return self._incident(REQUEST_KINDS[slot % len(REQUEST_KINDS)], begin + timedelta(seconds=seconds), slot)

    def _incident(self, kind: Kind, start: datetime, number: int) -> Incident:
        rng = np.random.default_rng((self._seed, _SLOT, number, 1))
        who = self._principals[int(rng.integers(len(self._principals)))]
        return Incident(
            number=number,
            kind=kind,
            start=start,
            end=start + timedelta(minutes=float(round(rng.uniform(70, 110)))),
            agent=-1,
            agent_id=AGENT,
            # Who returns has left: there is nothing of them but their requests.
            principal_id=f"{who}-{number % 1000}" if kind == Kind.RETURN else who,
            events=int(rng.integers(12, 40)) if kind == Kind.REQUEST_LOOP else 1,
        )

    def _usual(self, day: int) -> list[EventRecord]:
        if (day + 3) % 7 >= 5:  # 1970-01-01 was a Thursday
            return []
        events: list[EventRecord] = []
        for number, who in enumerate(self._principals):
            rng = np.random.default_rng((self._seed, _DAY, day, number))
            if rng.random() >= CHANCE:
                continue
            asked_at = day * DAY + float(rng.uniform(7, 17)) * HOUR
            name, fate = f"{day}-{number}", rng.random()
            if fate < PERSON_REJECTS:
                unit = Unit(
                    integration="metrics", resource=f"board-{name}", resource_type="board", permission=f"share {name}"
                )
                events += self._life(name, who, asked_at, unit, rng, rejected_by=APPROVERS[number % 3])
            elif fate < PERSON_REJECTS + POLICY_REJECTS:
                events += self._life(name, who, asked_at, self._habit(who), rng, rejected_by="")
            else:
                hold = float(rng.uniform(1, 8))
                events += self._life(
                    name, who, asked_at, self._habit(who), rng, hold=hold, approved_by=APPROVERS[number % 3]
                )
        return events

    def _habit(self, who: str) -> Unit:
        """Return what a user usually asks for: sensitive resources for reading, others also to operate them."""
        number = sum(who.encode())
        integration = list(cast.SYSTEMS)[number % len(cast.SYSTEMS)]
        system = cast.SYSTEMS[integration]
        return Unit(
            integration=integration,
            resource=system.resources[number % len(system.resources)],
            resource_type=system.resource_type,
            permission=LEVELS[number % len(LEVELS)],
            tags=["prod"] if number % 4 == 0 else [],
        )

    def _life(
        self,
        name: str,
        who: str,
        asked_at: float,
        unit: Unit,
        rng: np.random.Generator,
        *,
        hold: float = 1.0,
        approved_by: str = "",
        rejected_by: str | None = None,
        steps: int = 4,
        agent: str = AGENT,
    ) -> Iterator[EventRecord]:
        """Yield what becomes of a request: rejected, or approved, granted and expired after `hold` hours.

        An empty name is the policy's decision, no person's. `steps` are the first so many events.
        """
        by = approved_by if rejected_by is None else rejected_by
        verdict = "Approved" if rejected_by is None else "Rejected"
        approval = Approval(
            name="Owners" if by else "Policy",
            type="user" if by else "policy",
            status=verdict,
            approver_id=by.lower().replace(" ", "."),
            approver_name=by,
            manual=bool(by),
        )
        decided_at = asked_at + float(rng.uniform(120, 1200) if by else 5.0)
        life = [("created", asked_at), ("approved", decided_at), ("granted", decided_at + 20)]
        life.append(("expired", decided_at + 20 + hold * HOUR))
        if rejected_by is not None:
            life = [("created", asked_at), ("rejected", decided_at)]
        for type_, time in life[:steps]:
            decided = [approval] if type_ != "created" else []
            yield self._event(type_, math.floor(time * 1000), name, who, unit, asked_at, hold, decided, agent)

    def _event(
        self,
        type_: str,
        millis: int,
        name: str,
        who: str,
        unit: Unit,
        asked_at: float,
        hold: float,
        decided: list[Approval],
        agent: str,
    ) -> EventRecord:
        person = who.removeprefix("user_")
        seconds, rest = divmod(millis, 1000)
        record = AccessRequestRecord(
            id=f"sim-{self._seed}-request-{name}",
            friendly_id=f"AR-{1000 + zlib.crc32(name.encode()) % 9000}",
            requester=Requester(id=who, name=person.replace(".", " ").title(), email=f"{person}@example.com"),
            grantee=Grantee(id=who, name=person.replace(".", " ").title(), type="user"),
            justification="On call" if unit.permission == "operate" else "Project work",
            requested_at=math.floor(asked_at),
            flow=FLOWS["ops" if unit.permission in ("operate", "exec") else "self"],
            duration_seconds=round(hold * HOUR),
            units=[unit],
            approvals=decided,
        )
        return EventRecord(
            external_id=f"{record.id}-{type_}",
            time=datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000),
            agent_id=agent,
            principal_id=who,
            action=f"access_request.{type_}",
            status="blocked" if type_ == "rejected" else "success",
            request_id=record.id,
            resource=unit.resource,
            resource_type=unit.resource_type,
            integration=unit.integration,
            permission=unit.permission,
            metadata=record.to_metadata(),
        )
