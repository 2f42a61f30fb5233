"""The server that takes e-mail: the operator's own choice, which may well be inside."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MailServer:
    host: str
    port: int
    sender: str
    user: str = ""
    password: str = ""
    starttls: bool = False  # a plain connection that is encrypted before anything is said
    tls: bool = False  # encrypted from the start
