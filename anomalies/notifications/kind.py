"""What every kind of channel has: how it is set up, what it is told, and what came of telling it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from anomalies.notifications.http import Exchange, Policy
from anomalies.notifications.validators import Check, Validator

NO_AUTH, BEARER, OAUTH = "none", "bearer", "oauth"
AUTHS = {NO_AUTH: "None", BEARER: "Bearer token", OAUTH: "OAuth client credentials"}


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings of a channel, with its secrets as they were entered."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    auth: str = NO_AUTH
    secret: str = ""  # the token, or the client's secret
    token_url: str = ""
    client_id: str = ""
    scope: str = ""
    signing_secret: str = ""
    template: str = ""
    timeout_seconds: int = 10
    validators: tuple[Validator, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """What is told. Each attempt to tell the same has the same id; `anomaly` is as the outbox says it."""

    id: str
    type: str
    at: datetime
    anomaly: Mapping[str, Any]
    anomaly_url: str
    type_label: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt."""

    exchange: Exchange
    checks: tuple[Check, ...] = ()

    @property
    def delivered(self) -> bool:
        return self.exchange.ok and all(check.ok for check in self.checks)

    @property
    def words(self) -> str:
        """`answered 200`, or why that does not do."""
        wrong = next((check for check in self.checks if not check.ok), None)
        if not self.exchange.ok or wrong is None:
            return self.exchange.outcome
        return f"{self.exchange.outcome}, but {wrong.path} is {wrong.found}, not {' or '.join(wrong.expected)}"

    def as_json(self) -> dict[str, Any]:
        """All of it, without secrets."""
        return {**self.exchange.as_json(), "checks": [check.as_json() for check in self.checks]}


class Deliver(Protocol):
    def __call__(self, setup: Setup, message: Message, *, at: datetime, policy: Policy) -> Outcome: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of channel: how it is called, which settings it has, what is wrong with them, and how it is told."""

    name: str
    label: str
    meaning: str
    fields: tuple[str, ...]  # of Setup
    errors_of: Callable[[Setup, Policy], dict[str, str]]
    deliver: Deliver
