"""Where others are told about anomalies: made, changed, switched, tried out and deleted by people."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.urls import reverse

from anomalies.detection.registry import DETECTORS
from anomalies.models import Channel, Delivery, Severity
from anomalies.models.public_id import new_delivery_id
from anomalies.notifications.http import HIDDEN, Exchange, Policy
from anomalies.notifications.kind import Kind, Outcome, sentence
from anomalies.notifications.mail_server import MailServer
from anomalies.notifications.message import Message, Told
from anomalies.notifications.registry import KINDS
from anomalies.notifications.setting import Setting, Shape
from anomalies.services import changes, encryption, pacing, routing
from anomalies.services.actor import Actor
from anomalies.services.stream import newest_position

COMMON = ("name", "least_severity", "filter", "message_types", *pacing.NAMES)  # what channels of each kind have
LENGTHS = {field.name: field.max_length for field in Channel._meta.concrete_fields if field.max_length}
# Secrets that nobody may read do not go to another host unless somebody enters them who knows them.
AGAIN = "Enter it again: it would go to another host."
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


class ChannelTakenError(ChannelError):
    def __init__(self, channel: Channel) -> None:
        super().__init__(f"There is another channel “{channel.name}” already.")


class ChannelChangedError(ChannelError):
    def __init__(self, channel: Channel) -> None:
        super().__init__(f"{channel.updated_by} changed it meanwhile. Look at it as it is now, then change it.")


class ChannelGoneError(ChannelError):
    def __init__(self, channel: Channel) -> None:
        super().__init__(f"{channel.name} was deleted meanwhile.")


def policy() -> Policy:
    """Where this installation lets calls go."""
    return Policy(
        allow_http=settings.ANOMALIES_ALLOW_HTTP_WEBHOOKS,
        private=tuple(settings.ANOMALIES_ALLOW_PRIVATE_WEBHOOKS),
        bases=settings.ANOMALIES_RELAYS,
        mail=MailServer(**settings.ANOMALIES_MAIL_SERVER) if settings.ANOMALIES_MAIL_SERVER else None,
    )


@transaction.atomic
def create(kind: str, wanted: Mapping[str, Any], *, by: Actor, at: datetime) -> Channel:
    """Make a channel that is told what is announced from now on. Raises UnfitChannelError.

    `wanted` says by name what channels have in common (COMMON) and what the kind declares; what it leaves out is as
    usual.
    """
    start = newest_position()
    channel = Channel(
        kind=kind,
        created_at=at,
        created_by=by.name,
        message_types=list(routing.USUAL),
        cursor_transaction=start.transaction,
        cursor_number=start.number,
    )
    _keep(channel, wanted, action="created", by=by, at=at)
    return channel


def create_once(kind: str, wanted: Mapping[str, Any], *, by: Actor, at: datetime) -> Channel:
    """Make a channel, or return the one that the same call has made before: callers repeat what got lost.

    Raises UnfitChannelError, or ChannelTakenError where that name is another channel's.
    """
    known = _called(wanted["name"])
    if known is None:
        try:
            return create(kind, wanted, by=by, at=at)
        except (IntegrityError, UnfitChannelError):
            known = _called(wanted["name"])
            if known is None:  # nobody was faster
                raise
    if not _is(known, kind, wanted):
        raise ChannelTakenError(known)
    return known


@transaction.atomic
def change(channel: Channel, wanted: Mapping[str, Any], *, seen_at: datetime | None, by: Actor, at: datetime) -> None:
    """Give it other settings; what is left out stays, and a secret that is None.

    `seen_at` is when it was last changed, as its form knew.

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
    locked.secrets_encrypted = {}
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


def tell(channel: Channel, told: Told, *, at: datetime) -> Outcome:
    """Send this to the channel once, and return what came of it."""
    try:
        setup = setup_of(channel)
    except encryption.UnreadableSecretError as error:
        return Outcome(Exchange("", channel.target, {}, "", 0, error=str(error), final=True))
    return KINDS[channel.kind].deliver(setup, told, at=at, policy=policy())


def setup_of(channel: Channel) -> Any:
    """Return its settings with its secrets, as its kind declares them. Raises UnreadableSecretError."""
    kind = KINDS[channel.kind]
    return kind.setup(**_plain_of(channel), **{one.name: _secret_of(channel, one) for one in _secrets(kind)})


def shown(channel: Channel) -> dict[str, Any]:
    """Return what it is set to by name, with HIDDEN for each secret that is set, and "" for one that is not."""
    found = {name: getattr(channel, name) for name in COMMON} | _plain_of(channel)
    for one in _secrets(KINDS[channel.kind]):
        if one.shape is Shape.HEADERS:
            found[one.name] = dict.fromkeys(_known(channel, one), HIDDEN)
        else:
            found[one.name] = HIDDEN if one.name in channel.secrets_encrypted else ""
    return found


def url_of(anomaly_id: str) -> str:
    """Return the address of an anomaly's page as others reach it."""
    return f"{settings.ANOMALIES_PUBLIC_URL.rstrip('/')}{reverse('anomaly_detail', args=[anomaly_id])}"


def _called(name: str) -> Channel | None:
    return Channel.objects.kept().filter(name=name).first() if "\x00" not in name else None


def _is(channel: Channel, kind: str, wanted: Mapping[str, Any]) -> bool:
    """Return whether a channel is what is wanted, and as usual in all that this leaves out."""
    if channel.kind != kind:
        return False
    settings = KINDS[kind].settings
    new = Channel(message_types=list(routing.USUAL))
    usual = {name: getattr(new, name) for name in COMMON}
    has = {name: getattr(channel, name) for name in COMMON} | _plain_of(channel)
    has |= {one.name: _known(channel, one) for one in settings if one.secret}
    return has == usual | {one.name: one.default for one in settings} | dict(wanted)


def _locked(channel: Channel) -> Channel:
    locked = Channel.objects.select_for_update().get(pk=channel.pk)
    if locked.deleted_at is not None:
        raise ChannelGoneError(locked)
    return locked


def _keep(channel: Channel, wanted: Mapping[str, Any], *, action: str, by: Actor, at: datetime) -> None:
    kind = KINDS[channel.kind]
    common = {name: wanted.get(name, getattr(channel, name)) for name in COMMON}
    before = _plain_of(channel)
    plain = {name: wanted.get(name, value) for name, value in before.items()}
    known = {one.name: _known(channel, one) for one in _secrets(kind)}
    secrets, stays = _merged(kind, known, wanted)
    setup = kind.setup(**plain, **secrets)
    if errors := _errors_of(channel, wanted, common, setup):
        raise UnfitChannelError(errors)
    to, went_to = kind.secrets_to(setup), kind.secrets_to(kind.setup(**before, **known))
    secrets = {name: value for name, value in secrets.items() if to.get(name) != ""}
    if errors := {name: AGAIN for name in stays if name in secrets and to.get(name) != went_to.get(name)}:
        raise UnfitChannelError(errors)
    told = changes.between({name: getattr(channel, name) for name in COMMON} | channel.settings, common | plain)
    told |= {
        name: ["set" if value else "none", "changed" if secrets.get(name) else "none"]
        for name, value in known.items()
        if (secrets.get(name) or "") != (value or "")
    }
    for name, value in common.items():
        setattr(channel, name, value)
    channel.settings, channel.target = plain, kind.target(setup)
    channel.secrets_encrypted = {name: _encrypted(value) for name, value in secrets.items() if value}
    channel.updated_at, channel.updated_by = at, by.name
    channel.failures, channel.held_until = 0, None  # what was mended is tried at once
    channel.save()
    _record(channel, action, by=by, at=at, told=told)


def _merged(kind: Kind[Any], known: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the secrets as they are to be, and of which of them something stays that nobody entered now."""
    merged, stays = {}, []
    for one in _secrets(kind):
        given, had = wanted.get(one.name), known[one.name]
        if given is None:
            merged[one.name] = had
        elif one.shape is Shape.HEADERS and isinstance(given, Mapping):
            merged[one.name] = {
                name: had.get(name, HIDDEN) if value == HIDDEN else value for name, value in given.items()
            }
        else:
            merged[one.name] = given
        if had and (given is None or (isinstance(given, Mapping) and HIDDEN in given.values())):
            stays.append(one.name)
    return merged, stays


def _secrets(kind: Kind[Any]) -> list[Setting]:
    return [one for one in kind.settings if one.secret]


def _plain_of(channel: Channel) -> dict[str, Any]:
    """Its settings without secrets; what its kind declares since it was saved is as usual."""
    declared = [one for one in KINDS[channel.kind].settings if not one.secret]
    return {one.name: channel.settings.get(one.name, one.default) for one in declared}


def _secret_of(channel: Channel, wanted: Setting) -> Any:
    said = encryption.decrypt(channel.secrets_encrypted.get(wanted.name, ""))
    if wanted.shape is Shape.HEADERS:
        return json.loads(said) if said else {}
    return said


def _known(channel: Channel, wanted: Setting) -> Any:
    """Its secret, or none where it cannot be read any more: it is entered anew."""
    try:
        return _secret_of(channel, wanted)
    except encryption.UnreadableSecretError:
        return wanted.default


def _encrypted(value: Any) -> str:
    return encryption.encrypt(value if isinstance(value, str) else json.dumps(value))


def _errors_of(channel: Channel, wanted: Mapping[str, Any], common: Mapping[str, Any], setup: Any) -> dict[str, str]:
    kind = KINDS[channel.kind]
    errors = _errors_of_common(channel, common) | pacing.errors_of(common, digests=kind.digests)
    errors |= kind.errors_of(setup, policy())
    for one in kind.settings:
        given = getattr(setup, one.name)
        if one.shape is not Shape.HEADERS or not isinstance(given, Mapping):
            continue
        if unset := next((name for name, value in given.items() if value == HIDDEN), ""):
            errors[one.name] = f"{unset}: enter its value."
    known = {*COMMON, *(one.name for one in kind.settings)}
    return errors | {name: f"There is no such setting of {kind.label}." for name in wanted if name not in known}


def _errors_of_common(channel: Channel, common: Mapping[str, Any]) -> dict[str, str]:
    errors = _errors_of_texts({name: common[name] for name in ("name", "filter")})
    if "name" not in errors:
        errors |= _errors_of_name(channel, common["name"])
    if common["least_severity"] not in Severity.values:
        errors["least_severity"] = f"One of {', '.join(label.lower() for label in Severity.labels)}."
    if not common["message_types"]:
        errors["message_types"] = "Choose what is sent."
    elif unknown := next((one for one in common["message_types"] if one not in routing.MESSAGE_TYPES), ""):
        errors["message_types"] = f"There is no “{unknown[:60]}”."
    if "filter" not in errors:
        try:
            routing.checked(common["filter"])
        except routing.FilterError as error:
            errors["filter"] = sentence(str(error))
    return errors


def _errors_of_texts(texts: Mapping[str, Any]) -> dict[str, str]:
    errors = {}
    for name, value in texts.items():
        if not isinstance(value, str) or "\x00" in value:
            errors[name] = "It is no text."
        elif len(value) > LENGTHS[name]:
            errors[name] = f"{len(value):,} characters, at most {LENGTHS[name]:,} are kept."
    return errors


def _errors_of_name(channel: Channel, name: str) -> dict[str, str]:
    if not name.strip():
        return {"name": "A name is needed."}
    if Channel.objects.kept().filter(name=name).exclude(pk=channel.pk).exists():
        return {"name": f"There is a channel “{name}” already."}
    return {}


def _record(
    channel: Channel, action: str, *, by: Actor, at: datetime, told: Mapping[str, Any] | None = None, note: str = ""
) -> None:
    changes.record("channel", channel.public_id, action, by=by, at=at, name=channel.name, changes=told, note=note)
