"""Webhook: one HTTPS request with a body in JSON that its owner wrote, signed, and an answer that is checked."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from anomalies.notifications import oauth, signature
from anomalies.notifications.http import HIDDEN, Call, Exchange, Policy, send
from anomalies.notifications.kind import Kind, Outcome, about_url, host_of, sentence
from anomalies.notifications.message import Digest, Message, Told
from anomalies.notifications.setting import ACCESS, ANSWER, BODY, Shape, setting, timeout
from anomalies.notifications.signature import SigningSecretError
from anomalies.notifications.template import MOST_LETTERS, TemplateError, render
from anomalies.notifications.template import check as check_template
from anomalies.notifications.validators import ValidatorError, checked
from anomalies.notifications.validators import parsed as validators_in

METHODS = {"POST": "POST", "PUT": "PUT", "PATCH": "PATCH"}
NO_AUTH, BEARER, OAUTH = "none", "bearer", "oauth"
AUTHS = {NO_AUTH: "None", BEARER: "Bearer token", OAUTH: "OAuth client credentials"}
MOST_HEADERS = 20
LONGEST_HEADER = 2000  # characters of its value
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
OF_DIGEST = ("type", "severity", "title", "description", "state", "status", "agent_id", "principal_id", "started_at")
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


@dataclass(frozen=True, slots=True)
class Setup:
    method: str = setting("Method", default="POST", choices=METHODS)
    url: str = setting("URL", required=True, help="Begins with https://")
    timeout_seconds: int = timeout()
    auth: str = setting("Authentication", default=NO_AUTH, part=ACCESS, choices=AUTHS)
    secret: str = setting("Token or client secret", part=ACCESS, secret=True, high=4000)
    token_url: str = setting("Token URL", part=ACCESS, help="Of OAuth")
    client_id: str = setting("Client ID", part=ACCESS, high=500, help="Of OAuth")
    scope: str = setting("Scope", part=ACCESS, high=500, help="Of OAuth, if it is needed")
    signing_secret: str = setting(
        "Signing secret", part=ACCESS, secret=True, required=True, high=200, fresh=signature.new_secret
    )
    headers: Mapping[str, str] = setting(
        "Headers",
        part=ACCESS,
        shape=Shape.HEADERS,
        help=f"One a line, such as X-Team: security. Values are shown as {HIDDEN} once saved",
    )
    template: str = setting(
        "Body, JSON",
        default=DEFAULT_TEMPLATE,
        part=BODY,
        shape=Shape.TEXT,
        required=True,
        high=MOST_LETTERS,
        rows=12,
        help=f"Of a message; a digest has a body of its own. Placeholders: {', '.join(PLACEHOLDERS)}",
    )
    validators: str = setting(
        "The answer must say",
        part=ANSWER,
        shape=Shape.TEXT,
        high=MOST_LETTERS,
        help="A JSON path and what may stand there, one a line: $.status = ok, accepted",
    )


def values_of(message: Message) -> dict[str, Any]:
    """Return by placeholder what stands in its place."""
    known = {**message.anomaly, "url": message.anomaly_url, "type_label": message.type_label}
    return {
        "message.id": message.id,
        "message.type": message.type,
        "message.time": message.at.isoformat(),
        **{f"anomaly.{name}": known.get(name) for name in ABOUT_ANOMALIES},
    }


def check(setup: Setup, policy: Policy) -> dict[str, str]:
    errors = {
        "url": about_url(setup.url, policy),
        "headers": _about_headers(setup),
        "template": _about_template(setup.template),
        "validators": _about_validators(setup.validators),
    }
    if setup.auth in (BEARER, OAUTH):
        errors["secret"] = _about_secret(setup.secret)
    if setup.auth == OAUTH:
        errors["token_url"] = about_url(setup.token_url, policy)
        errors["client_id"] = "" if setup.client_id else "Needed to ask for a token."
    try:
        signature.key_of(setup.signing_secret)
    except SigningSecretError as error:
        errors["signing_secret"] = sentence(str(error))
    return errors


def deliver(setup: Setup, told: Told, /, *, at: datetime, policy: Policy) -> Outcome:
    """Send it once and return what came of it. Raises nothing that the other side can cause."""
    token = setup.secret if setup.auth == BEARER else ""
    if setup.auth == OAUTH:
        token, exchange = oauth.token_for(setup, policy=policy)
        if exchange and not token:
            return Outcome(replace(exchange, status=None))
    try:
        body = _digest(told) if isinstance(told, Digest) else render(setup.template, values_of(told))
        signed = signature.headers(setup.signing_secret, message_id=told.id, at=at, body=body)
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
    if setup.auth == OAUTH and exchange.status == 401:
        oauth.forget(setup)
    shown = {name: HIDDEN if name in setup.headers else value for name, value in exchange.request_headers.items()}
    exchange = replace(exchange, request_headers=shown)
    wanted = validators_in(setup.validators)
    return Outcome(exchange, tuple(checked(wanted, exchange.response_body)) if exchange.ok else ())


def secrets_to(setup: Setup) -> dict[str, str]:
    """Return to which hosts the token and the headers go."""
    token_to = ""
    if setup.auth != NO_AUTH:
        token_to = f"{setup.auth} {_origin(setup.url if setup.auth == BEARER else setup.token_url)}"
    return {"secret": token_to, "headers": _origin(setup.url)}


def _digest(digest: Digest) -> bytes:
    """Return a body that names all that came: it is read by programs, which need no shorter one."""
    body = {
        "type": "digest",
        "timestamp": digest.at.isoformat(),
        "text": f"{digest.title} {digest.url}",
        "data": {
            "id": digest.id,
            "url": digest.url,
            "counts": digest.counts,
            "anomalies": [
                {
                    "id": line.last.about,
                    "url": line.last.anomaly_url,
                    "told": line.told.split(", "),
                    **{name: line.last.anomaly.get(name) for name in OF_DIGEST},
                }
                for line in digest.lines
            ],
        },
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or ''}"


def _about_validators(text: str) -> str:
    try:
        validators_in(text)
    except ValidatorError as error:
        return sentence(str(error))
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
        check_template(text, known=PLACEHOLDERS)
    except TemplateError as error:
        return sentence(str(error))
    return ""


WEBHOOK = Kind(
    name="webhook",
    label="Webhook",
    meaning="Sends each message as JSON to an HTTPS address of yours, signed as Standard Webhooks describes.",
    setup=Setup,
    target=lambda setup: host_of(setup.url),
    deliver=deliver,
    check=check,
    secrets_to=secrets_to,
)
