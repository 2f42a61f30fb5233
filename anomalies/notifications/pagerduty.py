"""PagerDuty: an incident for each anomaly, acknowledged and resolved with it.

Source: https://developer.pagerduty.com/docs/events-api-v2-overview
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from anomalies.notifications.http import Policy
from anomalies.notifications.kind import Kind, Outcome, host_of, post
from anomalies.notifications.message import Digest, Message, Stage, Told, shortened
from anomalies.notifications.setting import ACCESS, BODY, setting, timeout

NAME = "pagerduty"
REGIONS = {"us": "United States", "eu": "Europe"}
BASES = {"us": "https://events.pagerduty.com", "eu": "https://events.eu.pagerduty.com"}
SEVERITIES = {"critical": "Critical", "error": "Error", "warning": "Warning", "info": "Info"}
ACTIONS = {Stage.OPEN: "trigger", Stage.ACKNOWLEDGED: "acknowledge", Stage.CLOSED: "resolve"}
LONGEST_SUMMARY = 1024  # characters that PagerDuty keeps
_KEY = re.compile(r"[A-Za-z0-9]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Setup:
    region: str = setting("Service region", default="us", choices=REGIONS)
    timeout_seconds: int = timeout()
    routing_key: str = setting(
        "Integration key",
        part=ACCESS,
        secret=True,
        required=True,
        help="Of an Events API v2 integration of the service: 32 letters and digits",
    )
    high_is: str = setting("High severity is", part=BODY, default="critical", choices=SEVERITIES)
    medium_is: str = setting("Medium severity is", part=BODY, default="error", choices=SEVERITIES)
    low_is: str = setting("Low severity is", part=BODY, default="warning", choices=SEVERITIES)


def check(setup: Setup, _: Policy) -> dict[str, str]:
    known = _KEY.fullmatch(setup.routing_key)
    return {} if known else {"routing_key": "It is no integration key: that has 32 letters and digits."}


def deliver(setup: Setup, told: Told, /, *, at: datetime, policy: Policy) -> Outcome:  # noqa: ARG001
    """Trigger, acknowledge or resolve the incident of the anomaly: its id is the key by which they are one."""
    assert not isinstance(told, Digest)  # the kind takes none
    return post(
        f"{policy.base(NAME, BASES[setup.region])}/v2/enqueue",
        body_of(setup, told),
        told=told,
        timeout_seconds=setup.timeout_seconds,
        policy=policy,
        secrets=(setup.routing_key,),
    )


def body_of(setup: Setup, message: Message) -> dict[str, Any]:
    action = ACTIONS[message.stage]
    body = {"routing_key": setup.routing_key, "dedup_key": message.about, "event_action": action}
    if message.stage is not Stage.OPEN:
        return body
    levels = {"high": setup.high_is, "medium": setup.medium_is, "low": setup.low_is}
    return {
        **body,
        "client": "Anomalies",
        "client_url": message.anomaly_url,
        "links": [{"href": message.anomaly_url, "text": "Review the anomaly"}],
        "payload": {
            "summary": shortened(f"{message.title}: {message.description}", LONGEST_SUMMARY),
            "source": message.facts.get("Agent") or message.facts.get("User") or message.facts.get("Address", "events"),
            "severity": levels[message.severity],
            "timestamp": message.at.isoformat(),
            "class": message.anomaly.get("type") or "",
            "custom_details": {**message.facts, "Message": message.what, "Delivery": message.id},
        },
    }


PAGERDUTY = Kind(
    name=NAME,
    label="PagerDuty",
    meaning="Opens an incident for each anomaly, acknowledges it and resolves it, as people and detection do.",
    setup=Setup,
    target=lambda setup: host_of(BASES[setup.region]),
    deliver=deliver,
    check=check,
    digests=False,
)
