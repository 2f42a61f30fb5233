"""A real SMTP server on this machine that answers as a test tells it to, and keeps what it was handed."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from anomalies.notifications.mail_server import MailServer


@dataclass
class MailReceiver:
    port: int = 0
    answers: dict[str, bytes] = field(default_factory=dict)  # by what a line begins with; else all is well
    received: list[EmailMessage] = field(default_factory=list)
    envelopes: list[list[str]] = field(default_factory=list)
    leave: threading.Event = field(default_factory=threading.Event)  # lets those that hang go

    @property
    def server(self) -> MailServer:
        return MailServer("127.0.0.1", self.port, sender="Anomalies <anomalies@anomalies.example>")


@contextmanager
def receiving_mail() -> Iterator[MailReceiver]:
    receiver = MailReceiver()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, words: bytes) -> None:
            self.wfile.write(words + b"\r\n")

        def handle(self) -> None:
            to: list[str] = []
            self.say(b"220 here")
            for line in self.rfile:
                said = line.decode().strip()
                verb = said[:4].upper()
                answer = next(
                    (a for begins, a in receiver.answers.items() if said.casefold().startswith(begins.casefold())),
                    b"250 fine",
                )
                if answer == b"hang":
                    receiver.leave.wait(20)
                    return
                if verb == "QUIT":
                    self.say(b"221 bye")
                    return
                if verb == "DATA" and answer == b"250 fine":
                    self.say(b"354 go on")
                    self.take(to)
                    continue
                if verb == "RCPT" and answer == b"250 fine":
                    to.append(said.partition(":")[2].strip("<>"))
                self.say(answer)

        def take(self, to: list[str]) -> None:
            lines = []
            while (line := self.rfile.readline()) != b".\r\n":
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            mail = message_from_bytes(b"".join(lines), policy=policy.default)
            receiver.received.append(mail)
            receiver.envelopes.append(to)
            self.say(b"250 kept")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield receiver
        finally:
            receiver.leave.set()
            server.shutdown()
            thread.join()
