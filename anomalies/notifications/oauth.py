"""An access token for a client that speaks for itself. Source: RFC 6749, sections 2.3.1 and 4.4."""

import base64
import json
import time
from dataclasses import replace
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from anomalies.notifications.http import HIDDEN, Call, Exchange, Policy, send

MARGIN_SECONDS = 30.0  # before its end a token is asked for anew
LONGEST_KEPT_SECONDS = 3600.0

# By client and what it asks for: its token and when, by the monotonic clock, it is used no more. In this process alone.
_kept: dict[tuple[str, ...], tuple[str, float]] = {}


class Client(Protocol):
    @property
    def token_url(self) -> str: ...
    @property
    def client_id(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def scope(self) -> str: ...
    @property
    def timeout_seconds(self) -> int: ...


def token_for(client: Client, *, policy: Policy) -> tuple[str, Exchange | None]:
    """Return the token and what was exchanged for it, None if it was known; "" if there is none, and why."""
    token, until = _kept.get(_key(client), ("", 0.0))
    if token and time.monotonic() < until:
        return token, None
    forget(client)
    asked_at = time.monotonic()
    exchange = _asked(client, policy)
    answer = _answer_in(exchange) if exchange.ok else {}
    token = answer.get("access_token", "")
    lasts = answer.get("expires_in")
    if token and isinstance(lasts, int | float) and not isinstance(lasts, bool):
        _kept[_key(client)] = token, asked_at + min(lasts, LONGEST_KEPT_SECONDS) - MARGIN_SECONDS
    why = exchange.outcome if not exchange.ok else "the answer has no access_token that a header can carry"
    hidden = exchange.response_body.replace(token, HIDDEN) if token else exchange.response_body
    return token, replace(exchange, response_body=hidden, error="" if token else f"no access token: {why}")


def forget(client: Client) -> None:
    """Ask for a new token the next time: this one is not taken any more."""
    _kept.pop(_key(client), None)


def _key(client: Client) -> tuple[str, ...]:
    return client.token_url, client.client_id, client.secret, client.scope


def _asked(client: Client, policy: Policy) -> Exchange:
    pair = f"{quote(client.client_id, safe='')}:{quote(client.secret, safe='')}"
    basic = base64.b64encode(pair.encode()).decode()
    wanted = {"grant_type": "client_credentials", **({"scope": client.scope} if client.scope else {})}
    return send(
        Call(
            url=client.token_url,
            body=urlencode(wanted).encode(),
            headers={
                "Authorization": f"Basic {basic}",
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            timeout_seconds=client.timeout_seconds,
            secrets=(client.secret, basic),
        ),
        policy=policy,
    )


def _answer_in(exchange: Exchange) -> dict[str, Any]:
    """Return the answer if there is a token in it that a header can carry."""
    try:
        answer = json.loads(exchange.response_body)
        token = answer["access_token"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    carried = isinstance(token, str) and token and all(33 <= ord(letter) <= 126 for letter in token)
    return answer if carried else {}
