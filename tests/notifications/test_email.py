"""E-mail, handed to a real SMTP server on this machine."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from anomalies.notifications.email import EMAIL, Setup, deliver
from anomalies.notifications.http import Policy
from anomalies.notifications.kind import Outcome
from anomalies.notifications.mail_server import MailServer
from anomalies.notifications.message import Told
from tests.notifications.mail_receiver import MailReceiver, receiving_mail
from tests.notifications.messages import NOW, digest, golden, message, story

TWO = "ana@example.com\nvic@example.com, ana@example.com"


def tell(there: MailReceiver, *told: Told, **settings: Any) -> list[Outcome]:
    setup = Setup(**{"recipients": TWO, **settings})
    return [deliver(setup, one, at=NOW, policy=Policy(mail=there.server)) for one in told]


def test_what_is_told_of_one_anomaly_is_one_thread() -> None:
    with receiving_mail() as there:
        outcomes = tell(there, *story())
    assert [one.words for one in outcomes] == ["answered 250"] * 4
    assert there.envelopes == [["ana@example.com", "vic@example.com"]] * 4
    said = [
        {
            **{
                name: mail[name]
                for name in ("From", "To", "Date", "Subject", "Message-ID", "In-Reply-To", "References")
            },
            **{kind: mail.get_body((kind,)).get_content().splitlines() for kind in ("plain", "html")},  # type: ignore[union-attr]
        }
        for mail in there.received
    ]
    assert said == golden("email")
    assert {one["References"] for one in said} == {"<anom_01@anomalies.example>"}
    assert len({one["Subject"] for one in said}) == 1
    assert [one["Message-ID"] for one in said] == [f"<msg_0{n}@anomalies.example>" for n in (1, 2, 3, 4)]


def test_a_second_copy_has_the_same_id() -> None:
    with receiving_mail() as there:
        tell(there, message())
        deliver(Setup(recipients=TWO), message(), at=NOW + timedelta(hours=1), policy=Policy(mail=there.server))
    assert there.received[0]["Message-ID"] == there.received[1]["Message-ID"]


def test_nothing_that_agents_said_is_markup_or_a_header() -> None:
    hostile = "<img src=x>\r\nBcc: eve@example.com\r\n\r\n&"
    with receiving_mail() as there:
        tell(there, message(description=hostile, title=hostile, agent_id=hostile), digest(2))
    mail = there.received[0]
    assert mail["Bcc"] is None
    assert "\n" not in mail["Subject"]
    assert "<img" not in mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert there.envelopes[0] == ["ana@example.com", "vic@example.com"]


def test_an_address_that_is_refused_is_named_and_the_others_get_it() -> None:
    with receiving_mail() as there:
        there.answers["RCPT TO:<vic"] = b"550 no such user"
        (outcome,) = tell(there, message())
    assert there.envelopes == [["ana@example.com"]]
    assert outcome.delivered
    assert outcome.words == "answered 250, but not for vic@example.com (550: no such user)"


def test_a_mail_that_is_not_taken_for_everybody_yet_is_sent_to_all_again() -> None:
    with receiving_mail() as there:
        there.answers["RCPT TO:<vic"] = b"451 greylisted"
        (first,) = tell(there, message())
        there.answers.clear()
        (second,) = tell(there, message())
    assert not first.delivered
    assert not first.exchange.final
    assert first.words == "not taken for everybody yet: vic@example.com (451: greylisted)"
    assert second.delivered
    assert there.envelopes == [["ana@example.com"], ["ana@example.com", "vic@example.com"]]
    assert len({mail["Message-ID"] for mail in there.received}) == 1


@pytest.mark.parametrize(
    ("answers", "words", "final"),
    [
        ({"RCPT": b"550 no"}, "every address was refused: ana@example.com (550: no)", True),
        ({"MAIL": b"451 later"}, "the mail server answered 451: later", False),
        ({"DATA": b"554 spam"}, "the mail server answered 554: spam", True),
        ({"RCPT": b"hang"}, "could not be handed over: ", False),
    ],
    ids=["recipients", "sender", "body", "hangs"],
)
def test_what_the_server_does_not_take_is_not_delivered(answers: dict[str, bytes], words: str, final: bool) -> None:
    with receiving_mail() as there:
        there.answers = answers
        (outcome,) = tell(there, message(), timeout_seconds=1)
        there.leave.set()
    assert there.received == []
    assert not outcome.delivered
    assert outcome.words.startswith(words)
    assert outcome.exchange.final == final


def test_without_a_server_or_with_one_that_is_away_the_record_says_so_without_its_password() -> None:
    assert "no server" in deliver(Setup(recipients=TWO), message(), at=NOW, policy=Policy()).words
    away = MailServer("127.0.0.1", 1, sender="a@b.example", user="me", password="s3cret")
    outcome = deliver(Setup(recipients=TWO), message(), at=NOW, policy=Policy(mail=away))
    assert outcome.words == "could not be handed over: Connection refused"
    assert "s3cret" not in json.dumps(outcome.as_json())


def test_a_digest_lists_a_hundred_and_says_how_many_more() -> None:
    with receiving_mail() as there:
        tell(there, digest(140))
    (mail,) = there.received
    assert mail["Subject"] == "140 anomalies: 46 high, 47 medium, 47 low"
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert text.count("/anomalies/anom_") == 100
    assert text.rstrip().endswith("and 40 more: https://anomalies.example/?from=2026-11-20T13:00")
    assert '<a href="https://anomalies.example/?from' in mail.get_body(("html",)).get_content()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "recipients", ["ana", "ana@example", "a b@example.com", "ana@example.com\nnonsense", "a@b.example\n" * 60 + "x"]
)
def test_what_is_no_address_is_named(recipients: str) -> None:
    known = Policy(mail=MailServer("mail.example", 25, sender="a@b.example"))
    assert list(EMAIL.errors_of(Setup(recipients=recipients), known)) == ["recipients"]
    assert EMAIL.errors_of(Setup(recipients=TWO), known) == {}
    many = "\n".join(f"a{n}@example.com" for n in range(51))
    assert EMAIL.errors_of(Setup(recipients=many), known) == {"recipients": "51 of them; at most 50."}
    assert "ANOMALIES_EMAIL_URL" in EMAIL.errors_of(Setup(recipients=TWO), Policy())["recipients"]


def test_lists_say_where_it_goes() -> None:
    assert EMAIL.target(Setup(recipients="ana@example.com")) == "ana@example.com"
    assert EMAIL.target(replace(Setup(recipients=TWO))) == "ana@example.com and 1 more"
