"""One call to another system: what is sent, what is recorded, and where it never goes."""

import ipaddress
import socket
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from anomalies.notifications.http import MOST_ANSWER_BYTES, Call, CallError, Exchange, Policy, is_public, send
from tests.notifications.receiver import receiving, signed_by_nobody, status

HERE = Policy(allow_http=True, private=("127.0.0.0/8",))


def call(url: str, **fields: Any) -> Call:
    return Call(**{"url": url, "body": b'{"id": 1}', "timeout_seconds": 5, **fields})


def test_an_answer_is_recorded_with_what_was_sent_but_without_the_secret() -> None:
    with receiving(status(200, b"got s3cret", X_Echo="s3cret")) as there:
        headers = {"Authorization": "Bearer s3cret", "Content-Type": "application/json"}
        exchange = send(call(there.url, method="PUT", headers=headers, secrets=("s3cret",)), policy=HERE)
    (received,) = there.received
    assert (received.method, received.path, received.body) == ("PUT", "/hook", b'{"id": 1}')
    assert received.headers["Authorization"] == "Bearer s3cret"
    assert received.headers["Host"] == f"127.0.0.1:{there.port}"
    assert exchange.ok
    assert (exchange.status, exchange.address, exchange.error) == (200, "127.0.0.1", "")
    assert exchange.response_body == "got •••"
    assert exchange.request_headers["Authorization"] == "Bearer •••"
    assert "s3cret" not in str(exchange.as_json())


@pytest.mark.parametrize(
    ("code", "ok", "refused"),
    [(200, True, False), (204, True, False), (400, False, True), (404, False, True), (408, False, False),
     (429, False, False), (500, False, False), (503, False, False)],
)  # fmt: skip
def test_what_is_refused_for_good_and_what_may_be_tried_again(code: int, ok: bool, refused: bool) -> None:
    with receiving(status(code, b"" if code == 204 else b"x")) as there:
        exchange = send(call(there.url), policy=HERE)
    assert (exchange.status, exchange.ok, exchange.refused) == (code, ok, refused)


def test_a_redirect_is_not_followed_and_refuses() -> None:
    with receiving() as inside, receiving(status(302, b"", Location=inside.url)) as there:
        exchange = send(call(there.url), policy=HERE)
    assert exchange.refused
    assert exchange.outcome == "answered 302, a redirect, which is not followed"
    assert inside.received == []


def test_a_server_that_hangs_is_left_in_time() -> None:
    def hang(to: BaseHTTPRequestHandler) -> None:
        there.leave.wait(20)

    with receiving(hang) as there:
        exchange = send(call(there.url, timeout_seconds=0.3), policy=HERE)
    assert (exchange.status, exchange.error, exchange.refused) == (None, "no answer within 0.3 s", False)
    assert exchange.seconds < 5


def test_a_server_that_drips_its_answer_is_left_in_time_too() -> None:
    def drip(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("Content-Length", "1000")
        to.end_headers()
        while not there.leave.wait(0.05):
            to.wfile.write(b".")

    with receiving(drip) as there:
        exchange = send(call(there.url, timeout_seconds=0.5), policy=HERE)
    assert (exchange.status, exchange.error) == (None, "no answer within 0.5 s")


def test_of_a_huge_answer_only_the_beginning_is_read() -> None:
    with receiving(status(200, b"a" * 10_000_000)) as there:
        exchange = send(call(there.url), policy=HERE)
    assert exchange.ok
    assert exchange.cut
    assert exchange.response_body == "a" * MOST_ANSWER_BYTES


def test_an_answer_that_no_database_keeps_is_recorded_all_the_same() -> None:
    with receiving(status(200, b"\x00\xff")) as there:
        exchange = send(call(there.url), policy=HERE)
    assert exchange.response_body == "\ufffd\ufffd"


def test_nobody_listening_may_be_tried_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    exchange = send(call(f"http://127.0.0.1:{port}/"), policy=HERE)
    assert exchange.error.startswith("could not be reached: ")
    assert not exchange.refused


def test_nothing_is_told_to_whom_nobody_vouches_for(tmp_path: Path) -> None:
    with receiving(tls=signed_by_nobody(tmp_path)) as there:
        exchange = send(call(there.url), policy=HERE)
    assert there.received == []
    assert exchange.status is None
    assert "certificate verify failed: self-signed certificate" in exchange.error.lower()
    assert not exchange.refused


def test_nothing_is_told_in_the_clear_where_encryption_was_asked_for() -> None:
    with receiving() as there:
        exchange = send(call(there.url.replace("http:", "https:")), policy=HERE)
    assert there.received == []
    assert exchange.error.startswith("could not be reached: ")


def test_a_private_network_is_not_called_unless_it_is_allowed() -> None:
    with receiving() as there:
        exchange = send(call(there.url), policy=Policy(allow_http=True))
        assert exchange.error == "url: 127.0.0.1 leads to 127.0.0.1, which is inside a private network."
        assert exchange.outcome == "127.0.0.1 leads to 127.0.0.1, which is inside a private network"  # for a sentence
        assert exchange.refused
        assert there.received == []
        for allowed in ("*", "127.0.0.1", "127.0.0.0/8"):
            assert send(call(there.url), policy=Policy(allow_http=True, private=(allowed,))).ok, allowed


def test_a_name_is_looked_up_once_and_all_it_leads_to_must_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def look_up(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        asked.append(host)
        first = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in (first, *later)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    later = ["10.0.0.8"]
    exchange = send(call("https://hooks.example.com/"), policy=Policy())
    assert exchange.error == "url: hooks.example.com leads to 10.0.0.8, which is inside a private network."
    assert asked == ["hooks.example.com"]


def test_the_address_that_was_checked_is_the_one_that_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = socket.getaddrinfo, []

    def look_up(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1" if host == "hooks.example.com" else host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with receiving() as there:
        exchange = send(call(f"http://hooks.example.com:{there.port}/hook"), policy=HERE)
    assert exchange.ok
    assert asked.count("hooks.example.com") == 1
    assert there.received[0].headers["Host"] == f"hooks.example.com:{there.port}"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1"],
)  # fmt: skip
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://hooks.example.com/", "begins with https://"),
        ("ftp://hooks.example.com/", "begins with https://"),
        ("https://", "names no host"),
        ("https://ana:secret@hooks.example.com/", "contains a name or password"),
        ("https://hooks.example.com:99999/", "no address of the web"),
        ("https://hooks.example.com/a b", "space or a control character"),
    ],
)
def test_an_address_that_cannot_be_called_says_why(url: str, complaint: str) -> None:
    with pytest.raises(CallError, match=complaint):
        Policy().check_url(url)
    exchange = send(call(url), policy=Policy())
    assert exchange.refused
    assert complaint in exchange.error


def test_for_how_long_the_other_side_asks_to_be_left_alone() -> None:
    def asks(said: str) -> float:
        return Exchange("POST", "", {}, "", 0, status=429, response_headers={"retry-after": said}).retry_after_seconds

    assert [asks(said) for said in ("30", "soon", "-1", "")] == [30, 0, 0, 0]
