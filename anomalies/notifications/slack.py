"""Slack: a message to the channel of an incoming webhook.

Source: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Any
from urllib.parse import urlsplit

from anomalies.notifications.http import Policy
from anomalies.notifications.kind import Kind, Outcome, about_url, host_of, post
from anomalies.notifications.message import Digest, Message, Stage, Told
from anomalies.notifications.setting import setting, timeout

COLOURS = {"high": "#d92d20", "medium": "#b54708", "low": "#475467"}
CLOSED = "#067647"
LONGEST_TEXT, LONGEST_FIELD = 2900, 1900  # characters; Slack takes 3,000 and 2,000, with what escaping adds
LISTED = 20  # anomalies of a digest; a message has at most 50 blocks
LEAST_SECRET = 6  # characters of the part of the address that only its owner knows


@dataclass(frozen=True, slots=True)
class Setup:
    url: str = setting(
        "Webhook URL",
        secret=True,
        required=True,
        help="As Slack shows it for an incoming webhook: https://hooks.slack.com/services/…",
    )
    timeout_seconds: int = timeout()


def check(setup: Setup, policy: Policy) -> dict[str, str]:
    if wrong := about_url(setup.url, policy):
        return {"url": wrong}
    if len(_secret_of(setup.url)) < LEAST_SECRET:
        return {"url": "It is no address of an incoming webhook: nothing follows the host."}
    return {}


def deliver(setup: Setup, told: Told, /, *, at: datetime, policy: Policy) -> Outcome:  # noqa: ARG001
    """Post it. An incoming webhook knows no threads: what is of one anomaly has its id in each message."""
    body = _digest(told) if isinstance(told, Digest) else _message(told)
    return post(
        setup.url,
        {**body, "parse": "none", "link_names": False, "unfurl_links": False, "unfurl_media": False},
        told=told,
        timeout_seconds=setup.timeout_seconds,
        policy=policy,
        secrets=(_secret_of(setup.url),),
    )


def escaped(text: str, length: int = LONGEST_TEXT) -> str:
    """Return the text so that nothing in it links, or pings anybody."""
    letters = [{"&": "&amp;", "<": "&lt;", ">": "&gt;"}.get(letter, letter) for letter in text]
    ends = list(accumulate(map(len, letters)))
    if not ends or ends[-1] <= length:
        return "".join(letters)
    return "".join(letters[: bisect_right(ends, length - 1)]) + "…"


def _message(message: Message) -> dict[str, Any]:
    said = escaped(f"{message.severity.capitalize()}: {message.title}, {message.what}", LONGEST_FIELD)
    closed = message.stage is Stage.CLOSED
    facts = [_text(f"*{label}*\n{escaped(value, LONGEST_FIELD)}") for label, value in message.facts.items()]
    blocks = [
        {
            "type": "section",
            "block_id": message.about,
            "text": _text(f"*<{message.anomaly_url}|{escaped(message.title, 200)}>*"),
        },
        {"type": "section", "text": _text(escaped(message.description or "No description"))},
        {"type": "section", "fields": facts[:10]},
        {"type": "context", "elements": [_text(f"{message.about} · {message.id}")]},
    ]
    return {
        "text": said,
        "attachments": [{"color": CLOSED if closed else COLOURS[message.severity], "blocks": blocks}],
    }


def _digest(digest: Digest) -> dict[str, Any]:
    lines = [
        {
            "type": "section",
            "block_id": line.last.about,
            "text": _text(
                f"*{line.last.severity.capitalize()}* · <{line.last.anomaly_url}|{escaped(line.last.title, 200)}>"
                f" · {escaped(line.told, 200)}\n{escaped(line.last.description, 500)}"
            ),
        }
        for line in digest.lines[:LISTED]
    ]
    rest = f"<{digest.url}|{digest.more(LISTED) or 'Show them in the list'}>"
    blocks = [*lines, {"type": "section", "text": _text(rest)}, {"type": "context", "elements": [_text(digest.id)]}]
    return {"text": digest.title, "attachments": [{"color": COLOURS[next(iter(digest.counts))], "blocks": blocks}]}


def _text(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}  # else what looks like a link or a name becomes one


def _secret_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


SLACK = Kind(
    name="slack",
    label="Slack",
    meaning="Posts each message to a channel of Slack.",
    setup=Setup,
    target=lambda setup: host_of(setup.url),
    deliver=deliver,
    check=check,
)
