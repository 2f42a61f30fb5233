"""An access token for a client that speaks for itself. Source: RFC 6749, sections 2.3.1 and 4.4."""

import base64
import json
from dataclasses import replace
from urllib.parse import quote, urlencode

from anomalies.notifications.http import HIDDEN, Call, Exchange, Policy, send
from anomalies.notifications.kind import Setup


def token_for(setup: Setup, *, policy: Policy) -> tuple[str, Exchange]:
    """Return the token and what was exchanged for it; "" if there was none, and then the exchange says why."""
    pair = f"{quote(setup.client_id, safe='')}:{quote(setup.secret, safe='')}"
    basic = base64.b64encode(pair.encode()).decode()
    wanted = {"grant_type": "client_credentials", **({"scope": setup.scope} if setup.scope else {})}
    exchange = send(
        Call(
            url=setup.token_url,
            body=urlencode(wanted).encode(),
            headers={
                "Authorization": f"Basic {basic}",
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            timeout_seconds=setup.timeout_seconds,
            secrets=(setup.secret, basic),
        ),
        policy=policy,
    )
    token = _token_in(exchange) if exchange.ok else ""
    why = exchange.outcome if not exchange.ok else "the answer has no access_token that a header can carry"
    hidden = exchange.response_body.replace(token, HIDDEN) if token else exchange.response_body
    return token, replace(exchange, response_body=hidden, error="" if token else f"no access token: {why}")


def _token_in(exchange: Exchange) -> str:
    try:
        token = json.loads(exchange.response_body)["access_token"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    carried = isinstance(token, str) and token and all(33 <= ord(letter) <= 126 for letter in token)
    return token if carried else ""
