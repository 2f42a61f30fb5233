"""Handing an e-mail to the server that takes it, and a record of what came of it."""

import contextlib
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from email.message import EmailMessage

from anomalies.notifications.http import HIDDEN, Exchange
from anomalies.notifications.mail_server import MailServer
from anomalies.notifications.message import shortened

Refused = Mapping[str, tuple[int, bytes]]  # by address what the server answered
_OF_TRANSPORT = ("Content-Type", "MIME-Version")


def hand_over(mail: EmailMessage, *, to: MailServer, timeout_seconds: float) -> tuple[Exchange, str]:
    """Return what came of it, and in words whom the server refused though it took the mail for others."""
    started = time.monotonic()
    refused: Refused = {}
    error, final = "", False
    try:
        refused = _handed_over(mail, to, timeout_seconds)
        # All get it again, with the same Message-ID, rather than that somebody never does.
        if any(code < 500 for code, _ in refused.values()):
            error = f"not taken for everybody yet: {_listed(refused)}"
    except smtplib.SMTPRecipientsRefused as refusal:
        error = f"every address was refused: {_listed(refusal.recipients)}"
        final = all(code >= 500 for code, _ in refusal.recipients.values())
    except smtplib.SMTPResponseException as refusal:
        error = f"the mail server answered {refusal.smtp_code}: {_words(refusal.smtp_error)}"
        final = refusal.smtp_code >= 500
    except (smtplib.SMTPException, OSError, ValueError) as failure:
        error = f"could not be handed over: {_why(failure)}"
    exchange = Exchange(
        method="SMTP",
        url=f"smtp{'s' if to.tls else ''}://{to.host}:{to.port}",
        request_headers={name: str(value) for name, value in mail.items() if name not in _OF_TRANSPORT},
        request_body=mail.get_body(("plain",)).get_content(),  # type: ignore[union-attr]  # each has one
        seconds=round(time.monotonic() - started, 3),
        status=None if error else 250,
        response_body="" if error else f"refused: {_listed(refused)}" if refused else "accepted",
        error=error.replace(to.password, HIDDEN) if to.password else error,
        final=final,
    )
    return exchange, "" if error else _listed(refused)


def _handed_over(mail: EmailMessage, server: MailServer, timeout_seconds: float) -> Refused:
    """Return whom the server refused, with its answers; raise where it took nothing."""
    context = ssl.create_default_context()
    if server.tls:
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=timeout_seconds, context=context)
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=timeout_seconds)
    # The timeout of a socket is that of one answer, of which there are many: all of it has no more time.
    limit = threading.Timer(timeout_seconds, _cut, args=(smtp,))
    limit.start()
    try:
        if server.starttls:
            smtp.starttls(context=context)
        if server.user:
            smtp.login(server.user, server.password)
        refused = smtp.send_message(mail)
        with contextlib.suppress(smtplib.SMTPException, OSError):  # it is handed over, however they part
            smtp.quit()
        return refused
    finally:
        limit.cancel()
        smtp.close()


def _cut(smtp: smtplib.SMTP) -> None:
    with contextlib.suppress(OSError, AttributeError):  # it was closed meanwhile
        smtp.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


def _why(failure: Exception) -> str:
    """What people read: without the number that the system gives it."""
    return getattr(failure, "strerror", None) or str(failure) or type(failure).__name__


def _listed(refused: Refused) -> str:
    return "; ".join(f"{address} ({code}: {_words(said)})" for address, (code, said) in refused.items())


def _words(said: bytes | str) -> str:
    return shortened(said.decode("utf-8", "replace") if isinstance(said, bytes) else said, 200)
