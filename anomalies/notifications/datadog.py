"""Datadog: an event for each message, those of one anomaly gathered.

Source: https://docs.datadoghq.com/api/latest/events/post-an-event/
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from anomalies.notifications.http import Policy
from anomalies.notifications.kind import Kind, Outcome, post
from anomalies.notifications.message import Digest, Message, Stage, Told, shortened
from anomalies.notifications.setting import ACCESS, BODY, Shape, setting, timeout

NAME = "datadog"
SITES = {
    "datadoghq.com": "US1, datadoghq.com",
    "us3.datadoghq.com": "US3, us3.datadoghq.com",
    "us5.datadoghq.com": "US5, us5.datadoghq.com",
    "datadoghq.eu": "EU1, datadoghq.eu",
    "ap1.datadoghq.com": "AP1, ap1.datadoghq.com",
    "ap2.datadoghq.com": "AP2, ap2.datadoghq.com",
    "ddog-gov.com": "US1-FED, ddog-gov.com",
}
ALERT_TYPES = {"high": "error", "medium": "warning", "low": "info"}
LONGEST_TITLE, LONGEST_TEXT = 500, 3900  # characters; of a text Datadog shows 4,000
LISTED = 15  # anomalies of a digest
OLDEST = timedelta(hours=17)  # Datadog refuses what happened more than 18 hours ago
MOST_TAGS = 20
_KEY = re.compile(r"[A-Za-z0-9_-]{20,100}", re.ASCII)
_MENTION = re.compile(r"(?<![\w.])@")  # with which a word begins; an e-mail address stays one


@dataclass(frozen=True, slots=True)
class Setup:
    site: str = setting("Site", default="datadoghq.com", choices=SITES)
    timeout_seconds: int = timeout()
    api_key: str = setting(
        "API key", part=ACCESS, secret=True, required=True, help="Of the organization, not of a user"
    )
    tags: str = setting(
        "Tags",
        part=BODY,
        shape=Shape.TEXT,
        help=f"One a line, such as team:security; at most {MOST_TAGS}. Severity, type, agent and user are added",
    )


def check(setup: Setup, _: Policy) -> dict[str, str]:
    return {
        "api_key": "" if _KEY.fullmatch(setup.api_key) else "It is no API key: that has letters and digits, mostly 32.",
        "tags": f"{len(_tags(setup))} of them; at most {MOST_TAGS}." if len(_tags(setup)) > MOST_TAGS else "",
    }


def deliver(setup: Setup, told: Told, /, *, at: datetime, policy: Policy) -> Outcome:
    """Post an event. The id of the anomaly gathers those of one."""
    return post(
        f"{policy.base(NAME, f'https://api.{setup.site}')}/api/v1/events",
        _digest(setup, told) if isinstance(told, Digest) else _event(setup, told, at),
        told=told,
        headers={"DD-API-KEY": setup.api_key},
        timeout_seconds=setup.timeout_seconds,
        policy=policy,
        secrets=(setup.api_key,),
    )


def _event(setup: Setup, message: Message, at: datetime) -> dict[str, Any]:
    facts = "\n".join(f"{label}: {value}" for label, value in message.facts.items())
    about = {"type": message.anomaly.get("type"), **{k: message.facts.get(k.title()) for k in ("agent", "user")}}
    tags = [f"{name}:{value}" for name, value in about.items() if value]
    event = {
        "title": plain(f"{message.severity.capitalize()}: {message.title}, {message.what}", LONGEST_TITLE),
        "text": plain(
            f"{shortened(message.description, 2000)}\n{facts}\n{message.anomaly_url}\n{message.id}", LONGEST_TEXT
        ),
        "aggregation_key": message.about,
        "alert_type": "success" if message.stage is Stage.CLOSED else ALERT_TYPES[message.severity],
        "priority": "low" if message.severity == "low" else "normal",
        "tags": [f"severity:{message.severity}", *tags, *_tags(setup)],
    }
    recent = at - message.at < OLDEST
    return {**event, "date_happened": int(message.at.timestamp())} if recent else event


def _digest(setup: Setup, digest: Digest) -> dict[str, Any]:
    lines = [
        f"{line.last.severity.capitalize()}: {shortened(line.last.title, 60)}, {line.told}."
        f" {shortened(line.last.description, 60)} {line.last.about}"
        for line in digest.lines[:LISTED]
    ]
    return {
        "title": digest.title,
        "text": plain("\n".join([*lines, f"{digest.more(LISTED)} {digest.url}".strip(), digest.id]), LONGEST_TEXT),
        "aggregation_key": digest.id,
        "alert_type": ALERT_TYPES[next(iter(digest.counts))],
        "priority": "normal",
        "tags": _tags(setup),
    }


def plain(text: str, length: int) -> str:
    """Return the text so that nothing in it mentions, and so tells, anybody."""
    return shortened(_MENTION.sub("＠", text), length)  # noqa: RUF001  looks like it and is none


def _tags(setup: Setup) -> list[str]:
    return [line.strip() for line in setup.tags.splitlines() if line.strip()]


DATADOG = Kind(
    name=NAME,
    label="Datadog",
    meaning="Writes each message as an event, tagged, the events of one anomaly gathered.",
    setup=Setup,
    target=lambda setup: setup.site,
    deliver=deliver,
    check=check,
)
