"""Where others are told about anomalies: made, changed, switched, tried out and deleted by people."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from anomalies.detection.registry import DETECTORS
from anomalies.models import Channel, Delivery, Severity
from anomalies.models.public_id import new_delivery_id
from anomalies.notifications.http import HIDDEN, Exchange, Policy
from anomalies.notifications.kind import BEARER, NO_AUTH, OAUTH, Message, Outcome, Setup
from anomalies.notifications.registry import KINDS
from anomalies.notifications.validators import Validator, ValidatorError
from anomalies.notifications.validators import parsed as validators_in
from anomalies.services import changes, encryption, routing
from anomalies.services.actor import Actor
from anomalies.services.stream import newest_position

PLAIN = (
    *("name", "method", "url", "auth", "token_url", "client_id", "scope", "template", "timeout_seconds", "validators"),
    *("least_severity", "filter", "message_types"),
)
MOST_LETTERS = 20_000
SECRET = ("headers", "secret", "signing_secret")
LENGTHS = {field.name: field.max_length for field in Channel._meta.concrete_fields if field.max_length}
SAMPLE_ID = "anom_00000000000000000000000000"
SAMPLE: dict[str, Any] = {
    "id": SAMPLE_ID,
    "type": "rate_spike",
    "severity": "high",
    "score": 0.98,
    "description": "This is a test: 412 requests in 5 minutes, 38 expected",
    "agent_id": "ag_test",
    "principal_id": None,
    "ip": None,
    "state": "open",
    "status": "open",
    "title": "",
    "verdict": "",
    "reason": "",
    "assignee": None,
    "acknowledged_at": None,
    "resolved_at": None,
    "snoozed_until": None,
    "evidence": {"observed": 412, "expected": 38},
}


class ChannelError(Exception):
    """A change to a channel that cannot be made; its text is for the person who asked."""


class UnfitChannelError(ChannelError):
    """Settings that make no sense, by field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{name}: {text}" for name, text in errors.items()))
        self.errors = dict(errors)


class ChannelChangedError(ChannelError):
    def __init__(self, channel: Channel) -> None:
        super().__init__(f"{channel.updated_by} changed it meanwhile. Look at it as it is now, then change it.")


class ChannelGoneError(ChannelError):
    def __init__(self, channel: Channel) -> None:
        super().__init__(f"{channel.name} was deleted meanwhile.")


def policy() -> Policy:
    """Where this installation lets calls go."""
    return Policy(settings.ANOMALIES_ALLOW_HTTP_WEBHOOKS, tuple(settings.ANOMALIES_ALLOW_PRIVATE_WEBHOOKS))


def headers_of(channel: Channel) -> dict[str, str]:
    """Return its headers with their values. Raises UnreadableSecretError."""
    said = encryption.decrypt(channel.headers_encrypted)
    return json.loads(said) if said else {}


@transaction.atomic
def create(kind: str, wanted: Mapping[str, Any], *, by: Actor, at: datetime) -> Channel:
    """Make a channel that is told what is announced from now on. Raises UnfitChannelError."""
    start = newest_position()
    channel = Channel(
        kind=kind,
        created_at=at,
        created_by=by.name,
        cursor_transaction=start.transaction,
        cursor_number=start.number,
    )
    _keep(channel, wanted, action="created", by=by, at=at)
    return channel


@transaction.atomic
def change(channel: Channel, wanted: Mapping[str, Any], *, seen_at: datetime | None, by: Actor, at: datetime) -> None:
    """Give it other settings; a secret that is None stays. `seen_at` is when it was last changed, as its form knew.

    Raises UnfitChannelError, ChannelChangedError and ChannelGoneError.
    """
    locked = _locked(channel)
    if seen_at is not None and locked.updated_at != seen_at:
        raise ChannelChangedError(locked)
    _keep(locked, wanted, action="changed", by=by, at=at)


@transaction.atomic
def switch(channel: Channel, *, on: bool, by: Actor, at: datetime) -> None:
    """Switch it on or off. What is announced while it is off is never sent; what waits is sent once it is on again.

    Raises ChannelGoneError.
    """
    locked = _locked(channel)
    if locked.enabled == on:
        return
    locked.enabled, locked.updated_at, locked.updated_by = on, at, by.name
    if on:
        start = newest_position()
        locked.cursor_transaction, locked.cursor_number = start.transaction, start.number
        locked.failures, locked.held_until = 0, None
    locked.save()
    _record(locked, "enabled" if on else "disabled", by=by, at=at)


@transaction.atomic
def delete(channel: Channel, *, by: Actor, at: datetime) -> None:
    """Delete it with its secrets; what waited is given up, what was sent stays on record. Raises ChannelGoneError."""
    locked = _locked(channel)
    locked.enabled, locked.deleted_at, locked.updated_at, locked.updated_by = False, at, at, by.name
    locked.headers_encrypted = locked.secret_encrypted = locked.signing_secret_encrypted = ""
    locked.save()
    locked.deliveries.unfinished().update(
        status=Delivery.Status.DEAD, finished_at=at, outcome="given up: the channel was deleted"
    )
    _record(locked, "deleted", by=by, at=at)


def test(channel: Channel, *, by: Actor, at: datetime) -> Outcome:
    """Send a sample now, and return and keep what came of it."""
    message = Message(
        id=new_delivery_id(),
        type="test",
        at=at,
        anomaly={**SAMPLE, "started_at": at.isoformat(), "detected_at": at.isoformat()},
        anomaly_url=url_of(SAMPLE_ID),
        type_label=DETECTORS["rate_spike"].label,
    )
    outcome = tell(channel, message, at=at)
    with transaction.atomic():
        told = {**outcome.as_json(), "delivered": outcome.delivered, "words": outcome.words}
        Channel.objects.kept().filter(pk=channel.pk).update(tested_at=at, test_outcome=told)
        _record(channel, "tested", by=by, at=at, note=outcome.words[:500])
    return outcome


def tell(channel: Channel, message: Message, *, at: datetime) -> Outcome:
    """Send this to the channel once, and return what came of it."""
    try:
        setup = setup_of(channel)
    except encryption.UnreadableSecretError as error:
        return Outcome(Exchange(channel.method, channel.url, {}, "", 0, error=str(error), final=True))
    return KINDS[channel.kind].deliver(setup, message, at=at, policy=policy())


def setup_of(channel: Channel) -> Setup:
    """Return its settings with its secrets. Raises UnreadableSecretError."""
    return Setup(
        url=channel.url,
        method=channel.method,
        headers=headers_of(channel),
        auth=channel.auth,
        secret=encryption.decrypt(channel.secret_encrypted),
        token_url=channel.token_url,
        client_id=channel.client_id,
        scope=channel.scope,
        signing_secret=encryption.decrypt(channel.signing_secret_encrypted),
        template=channel.template,
        timeout_seconds=channel.timeout_seconds,
        validators=tuple(validators_in(channel.validators)),
    )


def url_of(anomaly_id: str) -> str:
    """Return the address of an anomaly's page as others reach it."""
    return f"{settings.ANOMALIES_PUBLIC_URL.rstrip('/')}{reverse('anomaly_detail', args=[anomaly_id])}"


def _locked(channel: Channel) -> Channel:
    locked = Channel.objects.select_for_update().get(pk=channel.pk)
    if locked.deleted_at is not None:
        raise ChannelGoneError(locked)
    return locked


def _keep(channel: Channel, wanted: Mapping[str, Any], *, action: str, by: Actor, at: datetime) -> None:
    known = _secrets_of(channel)
    secrets = {name: known[name] if wanted.get(name) is None else wanted[name] for name in SECRET}
    stays = {name for name, value in secrets["headers"].items() if value == HIDDEN or wanted.get("headers") is None}
    secrets["headers"] = {
        name: known["headers"].get(name, HIDDEN) if name in stays else value
        for name, value in secrets["headers"].items()
    }
    if wanted["auth"] == NO_AUTH:
        secrets["secret"] = ""
    errors = _errors_of(channel, wanted, secrets) or _errors_of_moving(channel, wanted, stays=bool(stays))
    if errors:
        raise UnfitChannelError(errors)
    told = changes.between({name: getattr(channel, name) for name in PLAIN}, {name: wanted[name] for name in PLAIN})
    told |= {
        name: ["set" if known[name] else "none", "changed" if secrets[name] else "none"]
        for name in SECRET
        if secrets[name] != known[name]
    }
    for name in PLAIN:
        setattr(channel, name, wanted[name])
    channel.headers_encrypted = encryption.encrypt(json.dumps(secrets["headers"]) if secrets["headers"] else "")
    channel.secret_encrypted = encryption.encrypt(secrets["secret"])
    channel.signing_secret_encrypted = encryption.encrypt(secrets["signing_secret"])
    channel.updated_at, channel.updated_by = at, by.name
    channel.failures, channel.held_until = 0, None  # what was mended is tried at once
    channel.save()
    _record(channel, action, by=by, at=at, told=told)


def _secrets_of(channel: Channel) -> dict[str, Any]:
    """Its secrets, without those that cannot be read any more: they are entered anew."""
    found: dict[str, Any] = {}
    for name, read in (
        ("headers", lambda: headers_of(channel)),
        ("secret", lambda: encryption.decrypt(channel.secret_encrypted)),
        ("signing_secret", lambda: encryption.decrypt(channel.signing_secret_encrypted)),
    ):
        try:
            found[name] = read()
        except encryption.UnreadableSecretError:
            found[name] = {} if name == "headers" else ""
    return found


def _errors_of(channel: Channel, wanted: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, str]:
    errors = _errors_of_texts(wanted)
    if "name" not in errors:
        errors |= _errors_of_name(channel, wanted["name"])
    if wanted["least_severity"] not in Severity.values:
        errors["least_severity"] = f"One of {', '.join(label.lower() for label in Severity.labels)}."
    if not wanted["message_types"]:
        errors["message_types"] = "Choose what is sent."
    elif unknown := next((one for one in wanted["message_types"] if one not in routing.MESSAGE_TYPES), ""):
        errors["message_types"] = f"There is no “{unknown[:60]}”."
    if unset := next((name for name, value in secrets["headers"].items() if value == HIDDEN), ""):
        errors["headers"] = f"{unset}: enter its value."
    try:
        routing.checked(wanted["filter"])
    except routing.FilterError as error:
        errors["filter"] = _sentence(str(error))
    validators: list[Validator] = []
    try:
        validators = validators_in(wanted["validators"])
    except ValidatorError as error:
        errors["validators"] = _sentence(str(error))
    kind = KINDS[channel.kind]
    given = {name: wanted[name] for name in kind.fields if name in wanted} | {"validators": tuple(validators)}
    return kind.errors_of(Setup(**(given | dict(secrets))), policy()) | errors


def _errors_of_texts(wanted: Mapping[str, Any]) -> dict[str, str]:
    texts = {name: value for name, value in wanted.items() if name in PLAIN and isinstance(value, str)}
    most = {name: LENGTHS.get(name, MOST_LETTERS) for name in texts}
    long = {name: value for name, value in texts.items() if len(value) > most[name]}
    return {
        **{name: f"{len(value):,} characters, at most {most[name]:,} are kept." for name, value in long.items()},
        **{name: "It is no text." for name, value in texts.items() if "\x00" in value},
    }


def _errors_of_name(channel: Channel, name: str) -> dict[str, str]:
    if not name.strip():
        return {"name": "A name is needed."}
    if Channel.objects.kept().filter(name=name).exclude(pk=channel.pk).exists():
        return {"name": f"There is a channel “{name}” already."}
    return {}


def _errors_of_moving(channel: Channel, wanted: Mapping[str, Any], *, stays: bool) -> dict[str, str]:
    """Secrets that nobody may read do not go to another host unless somebody enters them who knows them."""
    again = "Enter it again: it would go to another host."
    errors = {}
    goes_to = {BEARER: "url", OAUTH: "token_url"}.get(wanted["auth"], "")
    kept = bool(goes_to and channel.secret_encrypted and wanted.get("secret") is None)
    if kept and (channel.auth, _origin(getattr(channel, goes_to))) != (wanted["auth"], _origin(wanted[goes_to])):
        errors["secret"] = again
    if stays and channel.pk and _origin(channel.url) != _origin(wanted["url"]):
        errors["headers"] = again
    return errors


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)  # the ones that are kept were checked
    return parts.scheme, parts.hostname or "", parts.port


def _record(
    channel: Channel, action: str, *, by: Actor, at: datetime, told: Mapping[str, Any] | None = None, note: str = ""
) -> None:
    changes.record("channel", channel.public_id, action, by=by, at=at, name=channel.name, changes=told, note=note)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
