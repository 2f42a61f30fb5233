"""Webhook: one HTTPS request with a body in JSON that its owner wrote, signed, and an answer that is checked."""

import re
from dataclasses import replace
from datetime import datetime
from typing import Any

from anomalies.notifications import oauth, signature
from anomalies.notifications.http import HIDDEN, Call, CallError, Exchange, Policy, send
from anomalies.notifications.kind import AUTHS, BEARER, OAUTH, Kind, Message, Outcome, Setup
from anomalies.notifications.signature import SigningSecretError
from anomalies.notifications.template import TemplateError, check, render
from anomalies.notifications.validators import checked

METHODS = ("POST", "PUT", "PATCH")
MOST_HEADERS = 20
LONGEST_HEADER = 2000  # characters of its value
LONGEST_TIMEOUT_SECONDS = 60
LEAST_HIDDEN = 6  # characters of a header's value that are looked for in bodies; shorter ones stand there by chance
OURS = {
    *("host", "content-length", "content-type", "connection", "transfer-encoding"),
    *("webhook-id", "webhook-timestamp", "webhook-signature"),
}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)

ABOUT_ANOMALIES = (
    *("id", "url", "type", "type_label", "severity", "score", "title", "description", "state", "status", "verdict"),
    *("reason", "agent_id", "principal_id", "ip", "assignee", "started_at", "detected_at", "acknowledged_at"),
    *("resolved_at", "snoozed_until", "evidence"),
)
PLACEHOLDERS = ("message.id", "message.type", "message.time", *(f"anomaly.{name}" for name in ABOUT_ANOMALIES))

DEFAULT_TEMPLATE = """\
{
  "type": "{{ message.type }}",
  "timestamp": "{{ message.time }}",
  "text": "{{ anomaly.severity }}: {{ anomaly.description }} {{ anomaly.url }}",
  "data": {
    "id": "{{ anomaly.id }}",
    "url": "{{ anomaly.url }}",
    "type": "{{ anomaly.type }}",
    "severity": "{{ anomaly.severity }}",
    "score": "{{ anomaly.score }}",
    "description": "{{ anomaly.description }}",
    "state": "{{ anomaly.state }}",
    "status": "{{ anomaly.status }}",
    "verdict": "{{ anomaly.verdict }}",
    "agent_id": "{{ anomaly.agent_id }}",
    "principal_id": "{{ anomaly.principal_id }}",
    "ip": "{{ anomaly.ip }}",
    "started_at": "{{ anomaly.started_at }}",
    "detected_at": "{{ anomaly.detected_at }}",
    "assignee": "{{ anomaly.assignee }}",
    "evidence": "{{ anomaly.evidence }}"
  }
}
"""


def values_of(message: Message) -> dict[str, Any]:
    """Return by placeholder what stands in its place."""
    known = {**message.anomaly, "url": message.anomaly_url, "type_label": message.type_label}
    return {
        "message.id": message.id,
        "message.type": message.type,
        "message.time": message.at.isoformat(),
        **{f"anomaly.{name}": known.get(name) for name in ABOUT_ANOMALIES},
    }


def errors_of(setup: Setup, policy: Policy) -> dict[str, str]:
    """Return by field why these settings make no sense; nothing where they do."""
    errors = {
        "url": _about_url(setup.url, policy),
        "method": "" if setup.method in METHODS else f"One of {', '.join(METHODS)}.",
        "headers": _about_headers(setup),
        "auth": "" if setup.auth in AUTHS else f"One of {', '.join(AUTHS)}.",
        "template": _about_template(setup.template),
        "timeout_seconds": ""
        if 1 <= setup.timeout_seconds <= LONGEST_TIMEOUT_SECONDS
        else f"1 to {LONGEST_TIMEOUT_SECONDS} seconds.",
    }
    if setup.auth in (BEARER, OAUTH):
        errors["secret"] = _about_secret(setup.secret)
    if setup.auth == OAUTH:
        errors["token_url"] = _about_url(setup.token_url, policy)
        errors["client_id"] = "" if setup.client_id else "Needed to ask for a token."
    try:
        signature.key_of(setup.signing_secret)
    except SigningSecretError as error:
        errors["signing_secret"] = _sentence(str(error))
    return {name: text for name, text in errors.items() if text}


def deliver(setup: Setup, message: Message, *, at: datetime, policy: Policy) -> Outcome:
    """Send the message once and return what came of it. Raises nothing that the other side can cause."""
    token = setup.secret if setup.auth == BEARER else ""
    if setup.auth == OAUTH:
        token, exchange = oauth.token_for(setup, policy=policy)
        if not token:
            return Outcome(replace(exchange, status=None))
    try:
        body = render(setup.template, values_of(message))
        signed = signature.headers(setup.signing_secret, message_id=message.id, at=at, body=body)
    except (TemplateError, SigningSecretError) as error:  # of before an update that knows other placeholders
        return Outcome(Exchange(setup.method, setup.url, {}, "", 0, error=str(error), final=True))
    sent = {
        **setup.headers,
        **({"Authorization": f"Bearer {token}"} if token else {}),
        "Content-Type": "application/json",
        **signed,
    }
    telling = tuple(value for value in setup.headers.values() if len(value) >= LEAST_HIDDEN)
    exchange = send(
        Call(
            url=setup.url,
            method=setup.method,
            headers=sent,
            body=body,
            timeout_seconds=setup.timeout_seconds,
            secrets=(token, setup.secret, *telling),
        ),
        policy=policy,
    )
    shown = {name: HIDDEN if name in setup.headers else value for name, value in exchange.request_headers.items()}
    exchange = replace(exchange, request_headers=shown)
    return Outcome(exchange, tuple(checked(setup.validators, exchange.response_body)) if exchange.ok else ())


def _about_url(url: str, policy: Policy) -> str:
    try:
        policy.check_url(url)
    except CallError as error:
        return _sentence(str(error).removeprefix("url: "))
    return ""


def _about_headers(setup: Setup) -> str:
    if len(setup.headers) > MOST_HEADERS:
        return f"{len(setup.headers)} of them; at most {MOST_HEADERS} are sent."
    for name, value in setup.headers.items():
        if not _NAME.fullmatch(name):
            return f"“{name[:40]}” is no name of a header."
        if name.casefold() in OURS:
            return f"{name} is set for each message."
        if name.casefold() == "authorization" and setup.auth in (BEARER, OAUTH):
            return "Authorization is set by the token."
        if len(value) > LONGEST_HEADER or any(not 32 <= ord(letter) <= 126 for letter in value):
            return f"{name}: it holds a letter that no header can carry, or more than {LONGEST_HEADER:,}."
    names = [name.casefold() for name in setup.headers]
    twice = next((name for name in names if names.count(name) > 1), "")
    return f"{twice} is there twice." if twice else ""


def _about_secret(secret: str) -> str:
    if not secret:
        return "Needed for this kind of authentication."
    if any(not 33 <= ord(letter) <= 126 for letter in secret):
        return "It holds a space or a letter that no header can carry."
    return ""


def _about_template(text: str) -> str:
    try:
        check(text, known=PLACEHOLDERS)
    except TemplateError as error:
        return _sentence(str(error))
    return ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def headers_in(text: str) -> dict[str, str]:
    """Return the headers of a text with one a line: `X-Team: security`. Raises ValueError."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not value:
            raise ValueError(f"“{line[:80]}” is no header; write X-Team: security.")
        if name in found:
            raise ValueError(f"{name} is there twice.")
        found[name] = value
    return found


WEBHOOK = Kind(
    name="webhook",
    label="Webhook",
    meaning="Sends each message as JSON to an HTTPS address of yours, signed.",
    fields=(
        *("url", "method", "headers", "auth", "secret", "token_url", "client_id", "scope", "signing_secret"),
        *("template", "timeout_seconds", "validators"),
    ),
    errors_of=errors_of,
    deliver=deliver,
)
