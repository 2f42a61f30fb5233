"""What goes wrong in the simulated organisation, and when."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    RATE_SPIKE = "rate spike"
    HIGH_FAILURE_RATE = "high failure rate"
    BRUTE_FORCE = "brute force"
    NEW_PRINCIPAL = "new principal"
    OFF_HOURS = "off hours"
    TRAVEL = "travel"
    NEW_COUNTRY = "new country"
    MANY_ADDRESSES = "many addresses"
    RISKY_REQUEST = "risky request"
    CONTRADICTED = "approved after rejection"
    RETURN = "return of a user"
    REQUEST_LOOP = "requests in a loop"
    SILENCE = "silence"


LOGIN_KINDS = (Kind.TRAVEL, Kind.NEW_COUNTRY, Kind.MANY_ADDRESSES)  # of how users sign in
REQUEST_KINDS = (Kind.RISKY_REQUEST, Kind.CONTRADICTED, Kind.RETURN, Kind.REQUEST_LOOP)  # of their access requests


# Of the anomaly that each is to raise.
TYPES = {
    Kind.RATE_SPIKE: "rate_spike",
    Kind.HIGH_FAILURE_RATE: "high_failure_rate",
    Kind.BRUTE_FORCE: "high_failure_rate",
    Kind.NEW_PRINCIPAL: "new_principal",
    Kind.OFF_HOURS: "off_hours_activity",
    **dict.fromkeys(LOGIN_KINDS, "suspicious_login"),
    Kind.RISKY_REQUEST: "request_high_risk_access",
    Kind.CONTRADICTED: "approved_after_rejected",
    Kind.RETURN: "inactive_user",
    Kind.REQUEST_LOOP: "access_automation",
    Kind.SILENCE: "rate_drop",
}


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident. `end` is exclusive; what it adds to or changes in the events lies between."""

    number: int
    kind: Kind
    start: datetime
    end: datetime
    agent: int  # number of the agent, -1 of that of access requests
    agent_id: str
    principal_id: str | None = None
    source_ip: str | None = None
    times_usual: float = 1.0  # of a rate spike
    events: int = 0  # of a kind that adds that many
    breaks_in: bool = False  # brute force that ends with a success

    @property
    def type(self) -> str:
        return TYPES[self.kind]

    def window(self) -> dict[str, Any]:
        """The incident as truth files spell it, without what it is not about."""
        named = {
            "name": f"{self.kind} {self.number}",
            "type": self.type,
            "agent_id": None if self.kind in (Kind.BRUTE_FORCE, *LOGIN_KINDS, *REQUEST_KINDS) else self.agent_id,
            "principal_id": self.principal_id,
            "source_ip": self.source_ip if self.kind == Kind.BRUTE_FORCE else None,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
        }
        return {key: value for key, value in named.items() if value is not None}
