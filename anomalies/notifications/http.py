"""One HTTP call to another system, and a record of what came of it: every channel and webhook goes through here."""

import asyncio
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from anomalies.notifications.mail_server import MailServer

MOST_ANSWER_BYTES = 16 * 1024  # of an answer's body that are read; the rest is left with who sent it
HIDDEN = "•••"  # in records, in place of a secret
RETRIED = frozenset({408, 425, 429})  # of the answers that refuse, those that may change
USER_AGENT = "anomalies/1"
_of_thread = threading.local()
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class CallError(ValueError):
    """A call that is not made, as it stands or as it is set up; its text names the field."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Where calls may go. By default: HTTPS, and only addresses that belong to everybody's Internet."""

    allow_http: bool = False
    private: tuple[str, ...] = ()  # networks and host names inside that may be called; `*` allows each
    bases: Mapping[str, str] = field(default_factory=dict)  # by service what is called in its place, such as a relay
    mail: MailServer | None = None

    def base(self, service: str, own: str) -> str:
        """Return how the addresses of a service begin, which has this one of its own."""
        return self.bases.get(service, own).rstrip("/")

    def check_url(self, url: str) -> None:
        """Raise CallError if no call to this address can be made, whatever its name leads to."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise CallError("url: it is no address of the web.") from error
        if any(ord(letter) <= 32 or ord(letter) == 127 for letter in url):
            raise CallError("url: it contains a space or a control character.")
        if parts.scheme not in (("https", "http") if self.allow_http else ("https",)):
            raise CallError("url: it begins with https://, nothing else is called.")
        if not parts.hostname or port == 0:
            raise CallError("url: it names no host.")
        if parts.username is not None or parts.password is not None:
            raise CallError("url: it contains a name or password; put the secret into its own field.")

    def allows(self, host: str, address: Address) -> bool:
        """Whether that address may be called, under that name."""
        if "*" in self.private or host.casefold() in {one.casefold() for one in self.private}:
            return True
        inner = _inner(address)
        return is_public(address) or any(inner in network for network in _networks(self.private))


@dataclass(frozen=True, slots=True)
class Call:
    """What is to be sent. What `secrets` names is kept out of every record."""

    url: str
    body: bytes
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 10.0  # for all of it: from the look-up of the name to the end of the answer
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exchange:
    """What was sent and what came back, as far as either happened. Plain JSON by `as_json`, without secrets."""

    method: str
    url: str
    request_headers: dict[str, str]
    request_body: str
    seconds: float
    address: str = ""  # that was called
    status: int | None = None  # empty: no answer
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""
    cut: bool = False  # whether the answer went on after that
    error: str = ""  # why there is no answer
    final: bool = False  # whether trying again would be in vain

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def refused(self) -> bool:
        """Whether the other side, or our own rules, said no for good."""
        if self.status is None:
            return self.final
        return not self.ok and self.status < 500 and self.status not in RETRIED

    @property
    def outcome(self) -> str:
        """`answered 200`, or why it did not: part of a sentence."""
        if self.status is None:
            return self.error.removeprefix("url: ").rstrip(".")
        if 300 <= self.status < 400:
            return f"answered {self.status}, a redirect, which is not followed"
        return f"answered {self.status}"

    @property
    def retry_after_seconds(self) -> float:
        """For how long the other side asks to be left alone; 0 where it says nothing of the kind."""
        said = next((v for k, v in self.response_headers.items() if k.casefold() == "retry-after"), "")
        return float(said) if said.isascii() and said.isdigit() and len(said) < 7 else 0.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def send(call: Call, *, policy: Policy) -> Exchange:
    """Make the call and return what came of it. Raises nothing that the other side can cause.

    The name is looked up once and that address is called, so that it cannot be another one after it was checked. No
    redirect is followed, no proxy of the environment used, no cookie kept; the certificate must be valid for the name.
    """
    started = time.monotonic()
    told: dict[str, Any] = {}
    try:
        policy.check_url(call.url)
        asyncio.run(_within(call, policy, told))
    except TimeoutError:
        told["error"] = f"no answer within {call.timeout_seconds:g} s"
    except CallError as error:
        told |= {"error": str(error), "final": True}
    except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, ValueError) as error:
        told["error"] = f"could not be reached: {_reason(error)}"
    if "error" in told:  # an answer that broke off is none
        told = {k: v for k, v in told.items() if k in ("error", "final", "address")}
    return _recorded(call, told, time.monotonic() - started)


async def _within(call: Call, policy: Policy, told: dict[str, Any]) -> None:
    async with asyncio.timeout(call.timeout_seconds):
        await _exchange(call, policy, told)


async def _exchange(call: Call, policy: Policy, told: dict[str, Any]) -> None:
    url = httpx.URL(call.url)
    address = await _resolved(url.host, url.port or (443 if url.scheme == "https" else 80), policy)
    told["address"] = str(address)
    headers = {"User-Agent": USER_AGENT, **call.headers, "Host": url.netloc.decode("ascii"), "Connection": "close"}
    async with (
        httpx.AsyncClient(
            verify=_trusted(), trust_env=False, follow_redirects=False, timeout=call.timeout_seconds
        ) as client,
        client.stream(
            call.method,
            url.copy_with(host=str(address)),
            headers=headers,
            content=call.body,
            extensions={"sni_hostname": url.host},
        ) as response,
    ):
        body = bytearray()
        # As it was sent: what is packed tightly would not be bounded once it is unpacked.
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MOST_ANSWER_BYTES:
                break
        told |= {
            "status": response.status_code,
            "response_headers": dict(response.headers.multi_items()),
            "response_body": bytes(body[:MOST_ANSWER_BYTES]).decode("utf-8", "replace").replace("\x00", "�"),
            "cut": len(body) > MOST_ANSWER_BYTES,
        }


def _trusted() -> ssl.SSLContext:
    """Whose certificates are believed, read once by each thread: that takes longer than a call.

    Each call sets its context up anew, which while another thread uses it is no safe thing to do.
    """
    if not hasattr(_of_thread, "trusted"):
        _of_thread.trusted = httpx.create_ssl_context(trust_env=False)
    trusted: ssl.SSLContext = _of_thread.trusted
    return trusted


async def _resolved(host: str, port: int, policy: Policy) -> Address:
    """Return the address to call. Each that the name leads to must be allowed: which one is called is then the same."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise OSError(f"the name {host} leads nowhere") from error
    addresses = [ipaddress.ip_address(str(where[0]).partition("%")[0]) for *_, where in found]
    for address in addresses:
        if not policy.allows(host, address):
            raise CallError(f"url: {host} leads to {address}, which is inside a private network.")
    return min(addresses, key=lambda address: address.version)  # where both are told, the older works more often


def is_public(address: Address) -> bool:
    """Whether it belongs to everybody's Internet, also by what is wrapped in it."""
    inner = _inner(address)
    return inner.is_global and not inner.is_multicast and not inner.is_reserved and not inner.is_unspecified


def _inner(address: Address) -> Address:
    """Return the IPv4 address to which an IPv6 address leads in the end, else the address."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def _networks(words: Iterable[str]) -> Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    for word in words:
        try:
            yield ipaddress.ip_network(word, strict=False)
        except ValueError:  # a name
            continue


def _recorded(call: Call, told: dict[str, Any], seconds: float) -> Exchange:
    def hide(text: str) -> str:
        for secret in call.secrets:
            text = text.replace(secret, HIDDEN) if secret else text
        return text

    return Exchange(
        method=call.method,
        url=hide(call.url),
        request_headers={name: hide(value) for name, value in call.headers.items()},
        request_body=hide(call.body.decode("utf-8", "replace")),
        seconds=round(seconds, 3),
        **{
            **told,
            "error": hide(told.get("error", "")),
            "response_body": hide(told.get("response_body", "")),
            "response_headers": {name: hide(value) for name, value in told.get("response_headers", {}).items()},
        },
    )


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
