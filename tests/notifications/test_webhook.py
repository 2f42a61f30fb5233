"""The webhook, told to a real server on this machine."""

import json
import socket
import struct
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from standardwebhooks import Webhook

from anomalies.notifications import signature
from anomalies.notifications.http import HIDDEN, Policy
from anomalies.notifications.kind import Outcome
from anomalies.notifications.message import Message
from anomalies.notifications.setting import headers_in
from anomalies.notifications.webhook import DEFAULT_TEMPLATE, PLACEHOLDERS, WEBHOOK, Setup, deliver, values_of
from anomalies.services.channels import SAMPLE
from tests.notifications.messages import digest
from tests.notifications.receiver import Answer, Receiver, receiving, status

HERE = Policy(allow_http=True, private=("127.0.0.0/8",))
NOW = datetime.now(UTC)
SECRET = signature.new_secret()
MESSAGE = Message(
    id="msg_1",
    type="anomaly.detected",
    at=NOW,
    anomaly={**SAMPLE, "description": 'He said "no" \\ \n{{ anomaly.id }}'},
    anomaly_url="https://anomalies.example/anomalies/anom_1/",
)


def setup(there: Receiver, **fields: Any) -> Setup:
    given = {"signing_secret": SECRET, "template": DEFAULT_TEMPLATE, "timeout_seconds": 5}
    return Setup(**{"url": there.url, **given, **fields})


def told(there: Receiver, **fields: Any) -> Outcome:
    return deliver(setup(there, **fields), MESSAGE, at=datetime.now(UTC), policy=HERE)


def test_the_default_body_says_what_it_is_about_and_is_signed() -> None:
    with receiving() as there:
        outcome = told(there)
    (received,) = there.received
    body = Webhook(SECRET).verify(received.body, received.headers)
    assert body["type"] == "anomaly.detected"
    assert body["data"]["url"] == "https://anomalies.example/anomalies/anom_1/"
    assert body["data"]["description"] == 'He said "no" \\ \n{{ anomaly.id }}'
    assert body["data"]["evidence"] == {"observed": 412, "expected": 38}
    assert outcome.delivered
    assert outcome.words == "answered 200"
    assert json.loads(outcome.exchange.request_body) == body


def test_each_placeholder_has_a_value() -> None:
    assert set(values_of(MESSAGE)) == set(PLACEHOLDERS)


def test_headers_and_token_are_sent_and_kept_out_of_the_record() -> None:
    with receiving(status(200, b"key k3y-of-mine, token t0ken")) as there:
        outcome = told(there, method="PUT", headers={"X-Key": "k3y-of-mine", "X-N": "1"}, auth="bearer", secret="t0ken")
    (received,) = there.received
    assert (received.method, received.headers["X-Key"], received.headers["X-N"]) == ("PUT", "k3y-of-mine", "1")
    assert received.headers["Authorization"] == "Bearer t0ken"
    record = json.dumps(outcome.as_json(), ensure_ascii=False)
    assert "k3y-of-mine" not in record
    assert "t0ken" not in record
    assert outcome.exchange.request_headers["X-N"] == HIDDEN


def test_a_client_asks_for_a_token_first() -> None:
    def answer(to: BaseHTTPRequestHandler) -> None:
        body = b'{"access_token": "t0ken", "token_type": "Bearer"}' if len(there.received) == 1 else b"{}"
        status(200, body)(to)

    with receiving(answer) as there:
        client = {"auth": "oauth", "client_id": "me", "secret": "s3cret", "token_url": there.url, "scope": "alerts"}
        outcome = told(there, **client)
    asked, received = there.received
    assert asked.body == b"grant_type=client_credentials&scope=alerts"
    assert asked.headers["Authorization"] == "Basic bWU6czNjcmV0"
    assert received.headers["Authorization"] == "Bearer t0ken"
    assert outcome.delivered
    assert "t0ken" not in json.dumps(outcome.as_json())


def test_a_token_is_kept_for_as_long_as_it_lasts_and_asked_for_anew_once_it_is_refused() -> None:
    def answer(to: BaseHTTPRequestHandler) -> None:
        asked = to.path == "/token"
        status(200 if asked or accepted else 401, b'{"access_token": "t0ken", "expires_in": 3600}')(to)

    accepted = True
    with receiving(answer) as there:
        client = {
            "auth": "oauth",
            "client_id": "kept",
            "secret": "s3cret",
            "token_url": there.url.replace("hook", "token"),
        }
        told(there, **client)
        told(there, **client)
        assert [one.path for one in there.received] == ["/token", "/hook", "/hook"]
        accepted = False
        told(there, **client)
        told(there, **client)
        assert [one.path for one in there.received[3:]] == ["/hook", "/token", "/hook"]


@pytest.mark.parametrize("lasts", [b"0", b"30", b'"3600"', b"true", b"null"])
def test_a_token_that_is_over_at_once_or_says_not_how_long_it_lasts_is_not_kept(lasts: bytes) -> None:
    with receiving(status(200, b'{"access_token": "t0ken", "expires_in": %s}' % lasts)) as there:
        client = {"auth": "oauth", "client_id": "brief", "secret": "s3cret", "token_url": there.url}
        told(there, **client)
        told(there, **client)
    assert len(there.received) == 4


def test_a_digest_names_all_that_came_in_a_body_of_its_own_and_is_signed() -> None:
    with receiving() as there:
        deliver(setup(there), digest(120), at=datetime.now(UTC), policy=HERE)
    (received,) = there.received
    body = Webhook(SECRET).verify(received.body, received.headers)
    assert body["type"] == "digest"
    assert body["data"]["counts"] == {"high": 40, "medium": 40, "low": 40}
    assert len(body["data"]["anomalies"]) == 120
    assert body["data"]["anomalies"][0]["told"] == ["detected", "closed"]


@pytest.mark.parametrize("answer", [status(401, b"no"), status(200, b"{}"), status(200, b"[1]"), status(200, b"x")])
def test_without_a_token_nothing_is_sent_and_the_record_says_why(answer: Answer) -> None:
    with receiving(answer) as there:
        outcome = told(there, auth="oauth", client_id="me", secret="s3cret", token_url=there.url)
    assert len(there.received) == 1
    assert not outcome.delivered
    assert outcome.words.startswith("no access token: ")


def hang(to: BaseHTTPRequestHandler) -> None:
    there: Any = to.server
    there.leave.wait(20)


def reset(to: BaseHTTPRequestHandler) -> None:
    to.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    to.close_connection = True
    to.connection.close()


def drip(to: BaseHTTPRequestHandler) -> None:
    to.send_response(200)
    to.send_header("Content-Length", "1000")
    to.end_headers()
    to.wfile.write(b"a")
    to.wfile.flush()
    there: Any = to.server
    there.leave.wait(20)


@pytest.mark.parametrize(
    ("answer", "delivered", "words"),
    [
        (status(204, b""), True, "answered 204"),
        (status(500), False, "answered 500"),
        (status(302, Location="http://127.0.0.1:1/"), False, "answered 302, a redirect, which is not followed"),
        (hang, False, "no answer within 0.5 s"),
        (drip, False, "no answer within 0.5 s"),
        (reset, False, "could not be reached"),
        (status(200, b"x" * 10_000_000), True, "answered 200"),
    ],
    ids=["ok", "500", "redirect", "hangs", "slow", "resets", "10 MB"],
)
def test_what_counts_as_delivered(answer: Answer, delivered: bool, words: str) -> None:
    with receiving() as there:
        there.answer = lambda to: (setattr(to.server, "leave", there.leave), answer(to))[1]
        outcome = told(there, timeout_seconds=5 if delivered else 0.5)
        there.leave.set()
    assert outcome.delivered == delivered
    assert outcome.words.startswith(words)
    assert len(outcome.exchange.response_body) <= 16 * 1024


def test_an_answer_that_does_not_say_what_it_must_is_no_delivery() -> None:
    with receiving(status(200, b'{"status": "refused"}')) as there:
        outcome = told(there, validators="$.status = ok, accepted")
    assert not outcome.delivered
    assert outcome.words == "answered 200, but $.status is refused, not ok or accepted"
    assert outcome.as_json()["checks"][0]["found"] == "refused"


def test_a_template_that_does_not_render_sends_nothing_and_says_why() -> None:
    with receiving() as there:
        outcome = told(there, template='{"who": "{{ anomaly.nobody }}"}')
    assert there.received == []
    assert not outcome.delivered
    assert outcome.exchange.final
    assert outcome.words.startswith("there is no placeholder “anomaly.nobody”")


def test_nothing_goes_into_a_private_network_unless_that_is_allowed() -> None:
    with receiving() as there:
        outcome = deliver(setup(there), MESSAGE, at=NOW, policy=Policy(allow_http=True))
    assert there.received == []
    assert "inside a private network" in outcome.words


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("url", {"url": "http://example.com/"}),
        ("url", {"url": "https://me:secret@example.com/"}),
        ("method", {"method": "GET"}),
        ("headers", {"headers": {"X Y": "1"}}),
        ("headers", {"headers": {"Host": "else"}}),
        ("headers", {"headers": {"webhook-id": "1"}}),
        ("headers", {"headers": {"X": "a\nb"}}),
        ("headers", {"headers": {"X": "1", "x": "2"}}),
        ("headers", {"headers": {"Authorization": "x"}, "auth": "bearer", "secret": "s"}),
        ("headers", {"headers": {f"X-{n}": "1" for n in range(21)}}),
        ("auth", {"auth": "digest"}),
        ("secret", {"auth": "bearer"}),
        ("secret", {"auth": "bearer", "secret": "a b"}),
        ("client_id", {"auth": "oauth", "secret": "s", "token_url": "https://example.com/"}),
        ("token_url", {"auth": "oauth", "secret": "s", "client_id": "me", "token_url": "ftp://example.com/"}),
        ("signing_secret", {"signing_secret": "short"}),
        ("template", {"template": '{"a": "{{ nobody }}"}'}),
        ("validators", {"validators": "status = ok"}),
        ("url", {"url": ""}),
        ("url", {"url": None}),
        ("headers", {"headers": "X: 1"}),
        ("timeout_seconds", {"timeout_seconds": 0}),
        ("timeout_seconds", {"timeout_seconds": 61}),
    ],
)
def test_settings_that_make_no_sense_are_named(field: str, fields: dict[str, Any]) -> None:
    good = {"url": "https://example.com/hook", "signing_secret": SECRET, "template": DEFAULT_TEMPLATE}
    assert WEBHOOK.errors_of(Setup(**good), Policy()) == {}
    assert list(WEBHOOK.errors_of(Setup(**{**good, **fields}), Policy())) == [field]


def test_headers_are_read_a_line_each() -> None:
    assert headers_in("X-Team: security\n\n X-Url : http://a:1/ ") == {"X-Team": "security", "X-Url": "http://a:1/"}
    for wrong in ("X-Team", "X-Team:", "X: 1\nX: 2"):
        with pytest.raises(ValueError):  # noqa: PT011  its text is for people
            headers_in(wrong)
