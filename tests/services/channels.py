"""Channels in tests: made, and told by the clock of the test."""

from datetime import datetime
from typing import Any

from django.db import transaction

from anomalies.models import Anomaly, Channel, OutboxMessage
from anomalies.notifications import signature
from anomalies.notifications.webhook import DEFAULT_TEMPLATE
from anomalies.services import channels, deliveries, routing
from anomalies.services.actor import Actor
from anomalies.services.outbox import announce
from tests import make

BOSS = Actor("boss")
SECRET = signature.new_secret()


def wanted(url: str = "https://example.com/hook", **fields: Any) -> dict[str, Any]:
    return {
        "name": "Desk",
        "method": "POST",
        "url": url,
        "headers": {},
        "auth": "none",
        "token_url": "",
        "client_id": "",
        "scope": "",
        "secret": None,
        "signing_secret": SECRET,
        "template": DEFAULT_TEMPLATE,
        "timeout_seconds": 5,
        "validators": "",
        "least_severity": 1,
        "filter": "",
        "message_types": list(routing.MESSAGE_TYPES),
        **fields,
    }


def channel(url: str = "https://example.com/hook", **fields: Any) -> Channel:
    return channels.create("webhook", wanted(url, **fields), by=BOSS, at=make.NOW)


def say(anomaly: Anomaly, type_: str = "anomaly.detected") -> OutboxMessage:
    with transaction.atomic():
        return announce(type_, anomaly)


def tell(at: datetime = make.NOW) -> int:
    """Tell all channels what is due at that time."""
    deliveries.fan_out(at=at)
    return deliveries.deliver_due(clock=lambda: at, until=datetime.max.replace(tzinfo=at.tzinfo))
