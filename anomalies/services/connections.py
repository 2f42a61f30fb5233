"""The revocation webhooks of integrations: set up, tried out, and called."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction

from anomalies.models import Connection, Grant
from anomalies.notifications.http import Call, CallError, Exchange, Policy, send
from anomalies.services import access_requests, changes, encryption
from anomalies.services.actor import Actor

FIELDS = ("integration", "url", "method", "headers", "timeout_seconds", "enabled")
OURS = {"host", "content-length", "content-type", "connection", "transfer-encoding", "idempotency-key"}
MOST_HEADERS = 20


class UnfitConnectionError(ValueError):
    """Settings that make no sense, by field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{name}: {text}" for name, text in errors.items()))
        self.errors = dict(errors)


def policy() -> Policy:
    """Where this installation lets calls go."""
    return Policy(settings.ANOMALIES_ALLOW_HTTP_WEBHOOKS, tuple(settings.ANOMALIES_ALLOW_PRIVATE_WEBHOOKS))


def errors_of(wanted: Mapping[str, Any]) -> dict[str, str]:
    """Return by field why these settings make no sense; nothing where they do."""
    errors = {}
    try:
        policy().check_url(wanted["url"])
    except CallError as error:
        errors["url"] = str(error).removeprefix("url: ").capitalize()
    if complaint := _about_headers(wanted["headers"], bool(wanted.get("secret"))):
        errors["headers"] = complaint
    secret = wanted.get("secret") or ""
    if any(ord(letter) < 33 or ord(letter) > 126 for letter in secret):
        errors["secret"] = "It contains a space or a letter that no header can carry."  # noqa: S105  no password
    return errors


def _about_headers(headers: Any, has_secret: bool) -> str:
    if not isinstance(headers, dict) or not all(isinstance(v, str) for v in headers.values()):
        return 'By name, such as {"X-Team": "security"}.'
    if len(headers) > MOST_HEADERS:
        return f"{len(headers)} of them; at most {MOST_HEADERS} are sent."
    for name, value in headers.items():
        if not name or not all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name):
            return f"“{name[:40]}” is no name of a header."
        if name.casefold() in OURS:
            return f"{name} is set for each call."
        if has_secret and name.casefold() == "authorization":
            return "Authorization is set by the secret."
        if any(ord(letter) < 32 or ord(letter) > 126 for letter in value):
            return f"{name}: it contains a letter that no header can carry."
    return ""


@transaction.atomic
def keep(
    connection: Connection, wanted: Mapping[str, Any], *, by: Actor, at: datetime, secret: str | None = None
) -> None:
    """Make or change a connection; `secret` None leaves it as it is, "" takes it away. Raises UnfitConnectionError."""
    kept = "kept" if connection.secret_encrypted else ""
    if errors := errors_of({**wanted, "secret": kept if secret is None else secret}):
        raise UnfitConnectionError(errors)
    before = {name: getattr(connection, name) for name in FIELDS} if connection.pk else {}
    told = changes.between(before, {name: wanted[name] for name in FIELDS})
    for name in FIELDS:
        setattr(connection, name, wanted[name])
    if secret is not None:
        told["secret"] = [bool(connection.secret_encrypted) and "set", "changed" if secret else "none"]
        connection.secret_encrypted = encryption.encrypt(secret)
    action = "changed" if connection.pk else "created"
    connection.updated_at, connection.updated_by = at, by.name
    connection.save()
    _record(connection, action, told, by=by, at=at)


def test(connection: Connection, *, by: Actor, at: datetime) -> Exchange:
    """Call it once with a body that says it is a test, and return and keep what came of it."""
    body = {"type": "test", "id": f"test_{connection.pk}", "actor": by.name, "time": at.isoformat()}
    exchange = call(connection, body, idempotency_id=body["id"])
    with transaction.atomic():
        Connection.objects.filter(pk=connection.pk).update(tested_at=at, test_exchange=exchange.as_json())
        _record(connection, "tested", {}, by=by, at=at, note=exchange.outcome[:500])
    return exchange


def call(connection: Connection, body: Mapping[str, Any], *, idempotency_id: str) -> Exchange:
    """Send this to the integration, and return what came of it."""
    try:
        secret = encryption.decrypt(connection.secret_encrypted)
    except encryption.UnreadableSecretError as error:
        return Exchange(connection.method, connection.url, {}, "", 0, error=str(error), final=True)
    headers = {
        **connection.headers,
        "Content-Type": "application/json",
        "Idempotency-Key": idempotency_id,
        **({"Authorization": f"Bearer {secret}"} if secret else {}),
    }
    return send(
        Call(
            url=connection.url,
            method=connection.method,
            headers=headers,
            body=json.dumps(body, ensure_ascii=False).encode(),
            timeout_seconds=connection.timeout_seconds,
            secrets=(secret,) if secret else (),
        ),
        policy=policy(),
    )


def asked_for(grant: Grant) -> list[Connection]:
    """Return the connections, of those that are switched on, that are asked to take this access back."""
    names = {access_requests.integration_of(unit) for unit in grant.units} or {""}
    return list(Connection.objects.filter(integration__in=names, enabled=True).order_by("integration"))


def _record(
    connection: Connection, action: str, told: Mapping[str, Any], *, by: Actor, at: datetime, note: str = ""
) -> None:
    changes.record(
        "connection", str(connection.pk), action, by=by, at=at, name=str(connection), changes=told, note=note
    )
