"""What every kind of channel has: how it is set up, how it is told, and what came of telling it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from anomalies.notifications.http import Call, CallError, Exchange, Policy, send
from anomalies.notifications.message import Told
from anomalies.notifications.setting import NEEDED, Setting, errors_in, settings_of
from anomalies.notifications.validators import Check

S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt. `note` is what its receiver must know though it was delivered."""

    exchange: Exchange
    checks: tuple[Check, ...] = ()
    note: str = ""

    @property
    def delivered(self) -> bool:
        return self.exchange.ok and all(check.ok for check in self.checks)

    @property
    def words(self) -> str:
        """`answered 200`, or why that does not do."""
        wrong = next((check for check in self.checks if not check.ok), None)
        if self.exchange.ok and wrong is not None:
            return f"{self.exchange.outcome}, but {wrong.path} is {wrong.found}, not {' or '.join(wrong.expected)}"
        return f"{self.exchange.outcome}, {self.note}" if self.note else self.exchange.outcome

    def as_json(self) -> dict[str, Any]:
        """All of it, without secrets."""
        return {**self.exchange.as_json(), "checks": [check.as_json() for check in self.checks]}


class Deliver(Protocol[S_contra]):
    def __call__(self, setup: S_contra, told: Told, /, *, at: datetime, policy: Policy) -> Outcome: ...


def _unchecked(*_: Any) -> dict[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Kind(Generic[S]):
    """A kind of channel: all that pages, APIs and records know of it comes from here."""

    name: str
    label: str
    meaning: str
    setup: type[S]  # a frozen dataclass whose fields are `setting`s; they are a channel's settings by name
    target: Callable[[S], str]  # where it goes, for lists: no secret
    deliver: Deliver[S]
    check: Callable[[S, Policy], Mapping[str, str]] = _unchecked  # by name why they make no sense together
    # By name to whom a secret goes: entered for one, it is not sent to another. One that is not named goes nowhere
    # else, and one that is named "" is not needed any more.
    secrets_to: Callable[[S], Mapping[str, str]] = _unchecked
    digests: bool = True  # whether several messages can be told in one

    @property
    def settings(self) -> tuple[Setting, ...]:
        return settings_of(self.setup)

    def errors_of(self, setup: S, policy: Policy) -> dict[str, str]:
        """Return by name why these settings make no sense; nothing where they do."""
        errors = errors_in(setup)
        if set(errors.values()) <= {NEEDED}:  # else it would be asked about what is no text, say
            errors = {**self.check(setup, policy), **errors}
        return {name: text for name, text in errors.items() if text}


def about_url(url: str, policy: Policy) -> str:
    """Return why nothing can be sent to this address; "" where it can."""
    try:
        policy.check_url(url)
    except CallError as error:
        return sentence(str(error).removeprefix("url: "))
    return ""


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def host_of(url: str) -> str:
    return urlsplit(url).hostname or ""


def post(
    url: str,
    body: Mapping[str, Any],
    *,
    told: Told,
    timeout_seconds: float,
    policy: Policy,
    headers: Mapping[str, str] | None = None,
    secrets: tuple[str, ...] = (),
) -> Outcome:
    """Send this as JSON, under the id of what is told."""
    sent = {**(headers or {}), "Content-Type": "application/json", "Idempotency-Key": told.id}
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    call = Call(url=url, body=content, headers=sent, timeout_seconds=timeout_seconds, secrets=secrets)
    return Outcome(send(call, policy=policy))
