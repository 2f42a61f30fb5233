"""What is told: one message of one anomaly, or a digest of many, in the words that all kinds of channels share."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

SEVERITIES = ("high", "medium", "low")  # the worst first
_ENDS = {"anomaly.closed", "anomaly.resolved", "anomaly.suppressed", "anomaly.merged"}
_ASIDE = {"anomaly.assigned", "anomaly.renamed"}  # say nothing of whether it goes on


class Stage(StrEnum):
    """How far an anomaly is, as systems know it that page people."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Message:
    """Each attempt to tell the same has the same id; `anomaly` is as the outbox says it."""

    id: str
    type: str
    at: datetime
    anomaly: Mapping[str, Any]
    anomaly_url: str
    type_label: str = ""

    @property
    def about(self) -> str:
        """The id that all messages of one anomaly share."""
        return str(self.anomaly["id"])

    @property
    def severity(self) -> str:
        return str(self.anomaly.get("severity") or "low")

    @property
    def what(self) -> str:
        """`detected`."""
        return self.type.removeprefix("anomaly.")

    @property
    def title(self) -> str:
        """What people called it, else its type."""
        return str(self.anomaly.get("title") or self.type_label or self.anomaly.get("type") or "Anomaly")

    @property
    def description(self) -> str:
        return str(self.anomaly.get("description") or "")

    @property
    def stage(self) -> Stage:
        """How far it is by this message. What was brief is over when it is detected, and up for review all the same."""
        status, over = self.anomaly.get("status"), self.anomaly.get("state", "open") != "open"
        if self.type in _ENDS or status == "resolved" or (self.type in _ASIDE and over):
            return Stage.CLOSED
        return Stage.ACKNOWLEDGED if status == "acknowledged" or self.anomaly.get("snoozed_until") else Stage.OPEN

    @property
    def facts(self) -> dict[str, str]:
        """By label what is known beside its description, without what is empty."""
        told = self.anomaly
        snoozed = f"snoozed until {_moment(told['snoozed_until'])}" if told.get("snoozed_until") else ""
        status = ", ".join(filter(None, (told.get("status"), told.get("verdict"), snoozed)))
        found = {
            "Severity": self.severity,
            "Agent": told.get("agent_id"),
            "User": told.get("principal_id"),
            "Address": told.get("ip"),
            "Status": status,
            "Deviation": told.get("state"),
            "Assigned to": told.get("assignee"),
            "Reason": told.get("reason"),
            "Started": _moment(told.get("started_at")),
        }
        return {label: str(value) for label, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Line:
    """One anomaly in a digest: as its last message says it, and what was told of it in turn."""

    last: Message
    told: str


@dataclass(frozen=True)
class Digest:
    """What came in a while, in one message. Each attempt to send the same has the same id."""

    id: str
    at: datetime
    messages: Sequence[Message]  # in their order
    url: str  # of the list of what they are about

    @cached_property
    def lines(self) -> list[Line]:
        """One for each anomaly, the worst first."""
        by_anomaly: dict[str, list[Message]] = {}
        for message in self.messages:
            by_anomaly.setdefault(message.about, []).append(message)
        lines = [
            Line(last=told[-1], told=", ".join(dict.fromkeys(one.what for one in told))) for told in by_anomaly.values()
        ]
        return sorted(lines, key=lambda line: SEVERITIES.index(line.last.severity))

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many anomalies are of which severity, the worst first."""
        counted = Counter(line.last.severity for line in self.lines)
        return {severity: counted[severity] for severity in SEVERITIES if counted[severity]}

    @property
    def title(self) -> str:
        """`12 anomalies: 3 high, 9 low`."""
        count = len(self.lines)
        said = ", ".join(f"{many:,} {severity}" for severity, many in self.counts.items())
        return f"{count:,} {'anomaly' if count == 1 else 'anomalies'}: {said}"

    def more(self, shown: int) -> str:
        """`and 40 more`, where not all lines are shown; else nothing."""
        return f"and {len(self.lines) - shown:,} more" if len(self.lines) > shown else ""


Told = Message | Digest


def _moment(text: Any) -> str:
    """`2026-11-20 14:05 UTC`: who reads it elsewhere has another zone."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC" if text else ""


def shortened(text: str, length: int) -> str:
    """Return the text, and where it is longer so much of it that its end can be seen to be missing."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
