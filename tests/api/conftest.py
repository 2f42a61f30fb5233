"""A machine with a key, and the running server it calls."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests import make

Call = Callable[..., Any]


@pytest.fixture
def key(db: None) -> str:
    return make.api_key()


@pytest.fixture
def call(key: str) -> Call:
    """Return a function that makes one call: `call("POST", "/v1/agents", {...})`; bytes are sent as they are."""
    client = Client(raise_request_exception=False)

    def request(method: str, path: str, body: object = b"", *, key: str | None = key, **headers: str) -> Any:
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return client.generic(method, path, content, content_type="application/json", headers=headers)

    return request
