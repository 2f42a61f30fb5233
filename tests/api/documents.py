"""The APIs that there are, each as its own document tells of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import schemathesis
from django.contrib.auth.models import User
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.test import RequestFactory
from django.urls import URLResolver, get_resolver, resolve, reverse

# What is left out asks of a document that it says all that a value must be; ours say it in sentences.
SETTINGS: dict[str, Any] = {
    "seed": 1,
    "generation": {"database": "none", "deterministic": True},
    "checks": {
        "positive_data_acceptance": {"enabled": False},
        "negative_data_rejection": {"enabled": False},
    },
}


@schemathesis.serializer("application/x-ndjson")
def lines(context: schemathesis.SerializationContext, value: Any) -> bytes:
    """A body of lines as it is sent: what is made up for it is text, or no text at all."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def headers_with(key: str) -> dict[str, str]:
    """What is sent with each call; nothing that reads the answers inflates them."""
    return {"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"}


def namespaces() -> list[str]:
    """The namespaces of all APIs that have urls."""
    found = [each for each in get_resolver().url_patterns if isinstance(each, URLResolver)]
    return [str(each.namespace) for each in found if each.app_name == "ninja"]


def document_of(namespace: str) -> dict[str, Any]:
    """The document as somebody gets it who is logged in; no database is asked."""
    address = reverse(f"{namespace}:openapi-json")
    request = RequestFactory().get(address)
    request.user = User(username="vic")
    document: dict[str, Any] = json.loads(resolve(address).func(request).content)
    return document


def schema_of(document: dict[str, Any], *, examples: int = 1) -> schemathesis.BaseSchema:
    """The calls of a document, to be made to this application, so many of each made up at random."""
    generation = {**SETTINGS["generation"], "max-examples": examples}
    config = schemathesis.Config.from_dict({**SETTINGS, "generation": generation})
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.app = get_wsgi_application()
    return schema


@contextmanager
def undone() -> Iterator[None]:
    """Take back all that is written to the database meanwhile; the end of a request does not close the connection."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        with transaction.atomic():
            yield
            transaction.set_rollback(True)
    finally:
        for signal in signals:
            signal.connect(close_old_connections)
