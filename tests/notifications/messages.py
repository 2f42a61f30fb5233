"""What is told in tests: messages of one anomaly, and digests of many."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from anomalies.notifications.http import Policy
from anomalies.notifications.message import Digest, Message

NOW = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)
HERE = Policy(allow_http=True, private=("127.0.0.0/8",))
PAGES = "https://anomalies.example"
ANOMALY: dict[str, Any] = {
    "id": "anom_01",
    "type": "rate_spike",
    "severity": "high",
    "score": 0.98,
    "description": "412 requests in 5 minutes, 38 expected",
    "agent_id": "ag_billing",
    "principal_id": "user_77",
    "ip": None,
    "state": "open",
    "status": "open",
    "title": "",
    "verdict": "",
    "reason": "",
    "assignee": None,
    "started_at": "2026-11-20T14:00:00+00:00",
    "detected_at": "2026-11-20T14:05:00+00:00",
    "acknowledged_at": None,
    "resolved_at": None,
    "snoozed_until": None,
    "evidence": {"observed": 412, "expected": 38},
}


def message(type_: str = "anomaly.detected", number: int = 1, **anomaly: Any) -> Message:
    told = {**ANOMALY, **anomaly}
    return Message(
        id=f"msg_{number:02}",
        type=type_,
        at=NOW + timedelta(minutes=number),
        anomaly=told,
        anomaly_url=f"{PAGES}/anomalies/{told['id']}/",
        type_label="Rate spike",
    )


def story() -> list[Message]:
    """Of one anomaly: it is detected, gets worse, is acknowledged and comes to its end."""
    return [
        message("anomaly.detected", 1, severity="medium"),
        message("anomaly.updated", 2),
        message("anomaly.acknowledged", 3, status="acknowledged"),
        message("anomaly.closed", 4, status="acknowledged", state="closed"),
    ]


def digest(count: int) -> Digest:
    """Of so many anomalies, the lowest first, each detected and over."""
    severities = ("low", "medium", "high")
    messages = [
        message(type_, number, id=f"anom_{number:02}", severity=severities[number % 3], state=state)
        for type_, state in (("anomaly.detected", "open"), ("anomaly.closed", "closed"))
        for number in range(count)
    ]
    return Digest(id="dig_01", at=NOW, messages=messages, url=f"{PAGES}/?from=2026-11-20T13:00")


def golden(name: str) -> Any:
    return json.loads((Path(__file__).parent / "golden" / f"{name}.json").read_text())
