"""E-mail: a message to each address, in text and HTML; what is of one anomaly is one thread.

Source: RFC 5322, section 3.6.4
"""

import html
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import urlsplit

from anomalies.notifications.http import Exchange, Policy
from anomalies.notifications.kind import Kind, Outcome
from anomalies.notifications.message import Digest, Message, Told, shortened
from anomalies.notifications.setting import NEEDED, Shape, setting, timeout
from anomalies.notifications.smtp import hand_over

MOST_RECIPIENTS = 50
LONGEST_SUBJECT = 200  # characters
LISTED = 100  # anomalies of a digest
_COLOURS = {"high": "#b42318", "medium": "#93370d", "low": "#475467"}


@dataclass(frozen=True, slots=True)
class Setup:
    recipients: str = setting(
        "Recipients",
        shape=Shape.TEXT,
        required=True,
        high=10_000,
        rows=3,
        help=f"One address a line, at most {MOST_RECIPIENTS}. All of them see each other",
    )
    timeout_seconds: int = timeout()


def addresses_in(text: str) -> list[str]:
    """Return the addresses of a text with one a line, or with commas between them."""
    return list(dict.fromkeys(word.strip() for word in text.replace(",", "\n").splitlines() if word.strip()))


def shown(addresses: list[str]) -> str:
    """`ana@example.com and 2 more`."""
    more = len(addresses) - 1
    return f"{addresses[0]} and {more} more" if more else addresses[0]


def check(setup: Setup, policy: Policy) -> dict[str, str]:
    found = addresses_in(setup.recipients)
    if policy.mail is None:
        return {"recipients": "No server for e-mail is set: whoever runs this sets ANOMALIES_EMAIL_URL."}
    if not found:
        return {"recipients": NEEDED}
    if wrong := next((one for one in found if not _is_address(one)), ""):
        return {"recipients": f"“{wrong[:80]}” is no e-mail address."}
    if len(found) > MOST_RECIPIENTS:
        return {"recipients": f"{len(found)} of them; at most {MOST_RECIPIENTS}."}
    return {}


def deliver(setup: Setup, told: Told, /, *, at: datetime, policy: Policy) -> Outcome:
    """Hand it to the server once. An address that the server refuses is named; the others get it."""
    if policy.mail is None:
        return Outcome(Exchange("SMTP", "", {}, "", 0, error="no server for e-mail is set", final=True))
    mail = written(told, to=addresses_in(setup.recipients), sender=policy.mail.sender, at=at)
    exchange, refused = hand_over(mail, to=policy.mail, timeout_seconds=setup.timeout_seconds)
    return Outcome(exchange, note=f"but not for {refused}" if refused else "")


def written(told: Told, *, to: list[str], sender: str, at: datetime) -> EmailMessage:
    """Return the e-mail. Its id is that of what is told, so that a second copy of it can be known for one."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Date"] = sender, ", ".join(to), format_datetime(at)
    mail["Auto-Submitted"] = "auto-generated"  # nobody's absence is answered to it
    digest = isinstance(told, Digest)
    host = urlsplit(told.url if isinstance(told, Digest) else told.anomaly_url).hostname or "localhost"
    mail["Message-ID"] = f"<{told.id}@{host}>"
    if isinstance(told, Message):
        mail["In-Reply-To"] = mail["References"] = f"<{told.about}@{host}>"
    mail["Subject"] = _one_line(told.title if digest else _subject(told))
    text, rich = _digest(told) if isinstance(told, Digest) else _message(told)
    mail.set_content(text)
    mail.add_alternative(f'<html lang="en"><body style="font-family:sans-serif">{rich}</body></html>', subtype="html")
    return mail


def _subject(message: Told) -> str:
    """Return what stays the same while the anomaly changes: programs that read mail thread by it, too."""
    assert isinstance(message, Message)
    who = message.facts.get("Agent") or message.facts.get("User") or message.facts.get("Address")
    label = message.type_label or str(message.anomaly.get("type") or "Anomaly")
    return f"{label}{f' of {who}' if who else ''} [{message.about}]"


def _message(message: Message) -> tuple[str, str]:
    head = f"{message.severity.capitalize()}: {message.title}, {message.what}"
    facts = "\n".join(f"{label}: {value}" for label, value in message.facts.items())
    text = f"{head}\n\n{message.description}\n\n{facts}\n\n{message.anomaly_url}\n"
    rows = "".join(
        f'<tr><th align="left">{html.escape(label)}</th><td>{html.escape(value)}</td></tr>'
        for label, value in message.facts.items()
    )
    rich = (
        f'<h2 style="color:{_COLOURS[message.severity]}">{html.escape(head)}</h2>'
        f"<p>{html.escape(message.description)}</p><table cellpadding=4>{rows}</table>"
        f'<p><a href="{html.escape(message.anomaly_url)}">Review the anomaly</a></p>'
    )
    return text, rich


def _digest(digest: Digest) -> tuple[str, str]:
    shown = digest.lines[:LISTED]
    more = digest.more(LISTED)
    text = "\n\n".join(
        f"{line.last.severity.capitalize()}: {line.last.title}, {line.told}\n{line.last.description}\n"
        f"{line.last.anomaly_url}"
        for line in shown
    )
    items = "".join(
        f'<li><strong style="color:{_COLOURS[line.last.severity]}">{line.last.severity.capitalize()}</strong>: '
        f'<a href="{html.escape(line.last.anomaly_url)}">{html.escape(line.last.title)}</a>, {html.escape(line.told)}'
        f"<br>{html.escape(line.last.description)}</li>"
        for line in shown
    )
    rest = more or "Show them in the list"
    return (
        f"{digest.title}\n\n{text}\n\n{rest}: {digest.url}\n",
        f'<h2>{html.escape(digest.title)}</h2><ul>{items}</ul><p><a href="{html.escape(digest.url)}">{rest}</a></p>',
    )


def _is_address(text: str) -> bool:
    name, at, host = text.rpartition("@")
    plain = all(33 <= ord(letter) <= 126 and letter not in '<>()[],;:\\"' for letter in text)
    return bool(name and at and "@" not in name and "." in host.strip(".") and plain and len(text) <= 254)


def _one_line(text: str) -> str:
    return shortened(" ".join(text.split()), LONGEST_SUBJECT)


EMAIL = Kind(
    name="email",
    label="E-mail",
    meaning="Sends each message to people's addresses; what is told of one anomaly is one thread.",
    setup=Setup,
    target=lambda setup: shown(addresses_in(setup.recipients)),
    deliver=deliver,
    check=check,
)
