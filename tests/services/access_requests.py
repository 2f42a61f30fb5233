"""Events of access requests for the tests of services, as a source tells them."""

from datetime import datetime, timedelta
from typing import Any

from anomalies.ingest.access_request import AccessRequestRecord, Approval, Flow, Requester, Unit
from anomalies.ingest.record import EventRecord
from tests.services.days import MONDAY, record

HOUR = timedelta(hours=1)
REJECTED = Approval(name="Owners", status="Rejected", approver_id="u_9", approver_name="Olga Novak", manual=True)
APPROVED = Approval(name="Owners", status="Approved", approver_id="u_8", approver_name="Ben Keller", manual=True)


def unit(resource: str = "orders", permission: str = "read", **fields: Any) -> Unit:
    named = {"integration": "postgres-eu", "resource": resource, "resource_type": "database", "permission": permission}
    return Unit(**{**named, **fields})


def told(type_: str, time: datetime = MONDAY, id_: str = "req_1", *, who: str = "ana", **fields: Any) -> EventRecord:
    """The event of a request that says it is of that type."""
    values = {
        "id": id_,
        "friendly_id": f"AR-{id_.removeprefix('req_')}",
        "requester": Requester(id=who, name=who.title(), email=f"{who}@example.com"),
        "justification": "Ticket OPS-12",
        "flow": Flow(id="flow_1", name="Databases"),
        "duration_seconds": 3600.0,
        "units": [unit()],
        **fields,
    }
    return record(
        time,
        external_id=f"{id_}-{type_}-{time.isoformat()}",
        agent_id="apono",
        principal_id=who,
        action=f"access_request.{type_}",
        request_id=id_,
        metadata=AccessRequestRecord(**values).to_metadata(),
    )


def life(id_: str = "req_1", start: datetime = MONDAY, **fields: Any) -> list[EventRecord]:
    """A request that was approved by a person, granted and expired, a step an hour."""
    steps = (("created", []), ("approved", [APPROVED]), ("granted", [APPROVED]), ("expired", [APPROVED]))
    return [
        told(type_, start + n * HOUR, id_, **{"approvals": approvals, **fields})
        for n, (type_, approvals) in enumerate(steps)
    ]
