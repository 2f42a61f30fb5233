"""Channels: where others are told of alerts. Kinds and their settings are those of `notifications/registry.py`."""

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router
from ninja.errors import HttpError
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from anomalies.api.auth import ApiKeyAuth, caller
from anomalies.api.bodies import json_answer
from anomalies.api.errors import CamelSchema, Error
from anomalies.api.grantex_v1.answers import path_id
from anomalies.models import ApiKey, Channel, Severity
from anomalies.notifications import signature
from anomalies.notifications.kind import Kind
from anomalies.notifications.registry import KINDS
from anomalies.services import channels, routing
from anomalies.services.audit import wire_time

READ, ADMIN = ApiKeyAuth(ApiKey.Scope.READ), ApiKeyAuth(ApiKey.Scope.ADMIN)

# How Grantex calls settings of a kind. All others have the name that they have here, in camel case.
CONFIG: dict[str, dict[str, str]] = {
    "slack": {"webhookUrl": "url"},
    "email": {"to": "recipients"},
    "pagerduty": {"routingKey": "routing_key"},
    "datadog": {"apiKey": "api_key", "site": "site"},
    "webhook": {"url": "url", "secret": "signing_secret", "token": "secret"},
}
LEVELS = {severity.label: severity.value for severity in Severity} | {"critical": Severity.HIGH.value}
NEW: dict[str, Any] = {
    "type": "webhook",
    "name": "security",
    "config": {"url": "https://example.com/hook", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
    "severities": ["critical", "high"],
}
MADE: dict[str, Any] = {
    "id": "chan_01KAF7Q3M0V5Z8J2X4N6B9C1DT",
    **NEW,
    "config": {"url": "https://example.com/hook"},
    "severities": ["high"],
    "enabled": True,
    "createdAt": "2026-11-20T12:00:00.000Z",
}

router = Router(tags=["Channels"], by_alias=True)


class NewChannel(CamelSchema):
    type: str = Field(description=f"One of {', '.join(KINDS)}")
    name: str
    config: dict[str, Any] = Field(
        description="; ".join(f"{kind}: {', '.join(names)}" for kind, names in CONFIG.items() if kind in KINDS)
    )
    severities: Annotated[list[Literal["low", "medium", "high", "critical"]], Field(min_length=1)] = Field(
        ["critical", "high"], description="Of the alerts that it is told; nothing is worse than high here"
    )

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [NEW]})


class ChannelAnswer(CamelSchema):
    """`config` is without secrets: they are never told again."""

    id: str
    type: str
    name: str
    config: dict[str, Any]
    severities: list[str]
    enabled: bool
    created_at: datetime

    model_config = {"json_schema_extra": {"examples": [MADE]}}


class ChannelList(CamelSchema):
    channels: list[ChannelAnswer]


def to_wire(channel: Channel) -> dict[str, Any]:
    """The channel as Grantex spells it."""
    kind = KINDS[channel.kind]
    shown = channels.shown(channel)
    usual = {one.name: one.default for one in kind.settings}
    secret = {one.name for one in kind.settings if one.secret}
    config = {
        wire: shown[name]
        for wire, name in _names(kind).items()
        if name not in secret and (wire in CONFIG.get(kind.name, {}) or shown[name] != usual[name])
    }
    return {
        "id": channel.public_id,
        "type": channel.kind,
        "name": channel.name,
        "config": config,
        "severities": _severities(channel),
        "enabled": channel.enabled,
        "createdAt": wire_time(channel.created_at),
    }


def _names(kind: Kind[Any]) -> dict[str, str]:
    """Return the name of each setting by what it is called here."""
    named = CONFIG.get(kind.name, {})
    rest = {to_camel(one.name): one.name for one in kind.settings if one.name not in named.values()}
    return {**named, **rest}


def _severities(channel: Channel) -> list[str]:
    chosen = routing.parsed(channel.filter).get("severity", [])
    return [
        severity.label
        for severity in reversed(Severity)
        if severity >= channel.least_severity and (not chosen or severity.label in chosen)
    ]


def _routed(severities: list[str]) -> dict[str, Any]:
    """Return the least severity, and the filter where one above it is left out."""
    levels = {LEVELS[severity] for severity in severities}
    least = min(levels)
    if levels == {severity.value for severity in Severity if severity >= least}:
        return {"least_severity": least, "filter": ""}
    return {"least_severity": least, "filter": "&".join(f"severity={Severity(one).label}" for one in sorted(levels))}


def _settings(kind: Kind[Any], config: dict[str, Any]) -> dict[str, Any]:
    names = _names(kind)
    if unknown := next((one for one in config if one not in names), ""):
        raise HttpError(400, f"config.{unknown[:60]}: {kind.label} has no such setting, only {', '.join(names)}.")
    found = {names[wire]: value for wire, value in config.items()}
    if isinstance(found.get("signing_secret"), str):
        found["signing_secret"] = signature.spelled(found["signing_secret"])
    return found


def _refused(kind: Kind[Any], errors: dict[str, str]) -> HttpError:
    wire = {name: f"config.{called}" for called, name in _names(kind).items()}
    wire |= {"least_severity": "severities", "filter": "severities"}
    return HttpError(400, " ".join(f"{wire.get(name, name)}: {text}" for name, text in errors.items()))


@router.post("/anomaly/channels", auth=ADMIN, response={201: ChannelAnswer, 400: Error, 409: Error})
def make_channel(request: HttpRequest, channel: NewChannel) -> HttpResponse:
    """Make a channel that is told of alerts from now on, as soon as each scan has found them.

    A call that is repeated answers with the channel as it is; another channel of a name that is in use is a 409.
    Messages of a webhook are signed as Standard Webhooks has it; where its secret is none of those, its bytes are the
    key.
    """
    kind = KINDS.get(channel.type)
    if kind is None:
        raise HttpError(400, f"type: one of {', '.join(KINDS)}.")
    wanted = {"name": channel.name, **_routed(list(channel.severities)), **_settings(kind, channel.config)}
    try:
        made = channels.create_once(kind.name, wanted, by=caller(request), at=timezone.now())
    except channels.UnfitChannelError as error:
        raise _refused(kind, error.errors) from None
    except channels.ChannelTakenError as error:
        raise HttpError(409, f"name: {error}") from None
    return json_answer(to_wire(made), status=201)


@router.get("/anomaly/channels", auth=READ, response=ChannelList)
def list_channels(request: HttpRequest) -> HttpResponse:
    """Return the channels, the newest first, also those that were made on the pages."""
    kept = Channel.objects.kept().order_by("-created_at", "-id")
    return json_answer({"channels": [to_wire(channel) for channel in kept]})


@router.delete("/anomaly/channels/{path:channel_id}", auth=ADMIN, response={204: None, 404: Error})
def delete_channel(request: HttpRequest, channel_id: str) -> HttpResponse:
    """Delete a channel with its secrets; what it was told stays on record."""
    channel = Channel.objects.kept().filter(public_id=path_id(channel_id)).first()
    if channel is None:
        raise Http404(f"There is no channel {channel_id}.")
    try:
        channels.delete(channel, by=caller(request), at=timezone.now())
    except channels.ChannelGoneError as error:
        raise Http404(str(error)) from None
    return HttpResponse(status=204)
