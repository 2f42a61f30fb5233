"""Every kind of channel, told what is announced: by the same rules, and of one anomaly under one key."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from anomalies.models import Delivery, Severity
from anomalies.notifications.registry import KINDS
from anomalies.services import channels
from tests import make
from tests.notifications.mail_receiver import MailReceiver, receiving_mail
from tests.notifications.receiver import Receiver, receiving
from tests.services.channels import BOSS, SECRET, say, tell

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_its_own_time")]
STORY = ("anomaly.detected", "anomaly.updated", "anomaly.acknowledged", "anomaly.closed")
KEYS: dict[str, Callable[[Any], str]] = {
    "slack": lambda body: body["attachments"][0]["blocks"][0]["block_id"],
    "pagerduty": lambda body: body["dedup_key"],
    "datadog": lambda body: body["aggregation_key"],
    "webhook": lambda body: body["data"]["id"],
}


@pytest.fixture
def there(settings: Any) -> Iterator[Receiver]:
    with receiving() as receiver:
        settings.ANOMALIES_ALLOW_HTTP_WEBHOOKS = True
        settings.ANOMALIES_ALLOW_PRIVATE_WEBHOOKS = ["127.0.0.1"]
        settings.ANOMALIES_RELAYS = dict.fromkeys(("pagerduty", "datadog"), f"http://127.0.0.1:{receiver.port}")
        yield receiver


@pytest.fixture
def post(settings: Any) -> Iterator[MailReceiver]:
    with receiving_mail() as receiver:
        settings.ANOMALIES_MAIL_SERVER = {"host": "127.0.0.1", "port": receiver.port, "sender": "a@anomalies.example"}
        yield receiver


def made(kind: str, there: Receiver, **wanted: Any) -> None:
    own = {
        "slack": {"url": f"{there.url}/secretsecret"},
        "email": {"recipients": "ana@example.com"},
        "pagerduty": {"routing_key": "0" * 32},
        "datadog": {"api_key": "0" * 32},
        "webhook": {"url": there.url, "signing_secret": SECRET},
    }[kind]
    channels.create(kind, {"name": kind, **own, **wanted}, by=BOSS, at=make.NOW)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_told_of_one_anomaly_shares_a_key_and_each_delivery_has_its_own(
    kind: str, there: Receiver, post: MailReceiver
) -> None:
    made(kind, there)
    first, second = make.anomaly(), make.anomaly()
    for type_ in STORY:
        say(first, type_)
    say(second)
    assert tell() == 5
    assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}
    ids = {row.public_id for row in Delivery.objects.all()}
    if kind == "email":
        keys = [mail["References"].strip("<>").partition("@")[0] for mail in post.received]
        sent = [mail["Message-ID"].strip("<>").partition("@")[0] for mail in post.received]
    else:
        keys = [KEYS[kind](one.json) for one in there.received]
        sent = [one.headers.get("Idempotency-Key") or one.headers["webhook-id"] for one in there.received]
    assert sorted(keys) == sorted([first.public_id] * 4 + [second.public_id])
    assert set(sent) == ids
    assert len(sent) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_passes_severity_filter_and_type_is_told(kind: str, there: Receiver, post: MailReceiver) -> None:
    made(kind, there, least_severity=2, filter="agent=ag_billing", message_types=["anomaly.detected"])
    told = make.anomaly(severity=Severity.MEDIUM)
    say(told)
    say(told, "anomaly.closed")
    say(make.anomaly(severity=Severity.LOW))
    say(make.anomaly(agent=make.agent("ag_third"), severity=Severity.HIGH))
    assert tell() == 1
    assert len(there.received) + len(post.received) == 1


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.digests])
def test_a_digest_is_one_request(kind: str, there: Receiver, post: MailReceiver) -> None:
    noon = make.NOW.replace(hour=12, minute=20)
    made(kind, there, pace="hourly")
    for _ in range(3):
        say(make.anomaly())
    assert tell(noon) == 0
    assert tell(noon.replace(hour=13, minute=0)) == 1
    assert len(there.received) + len(post.received) == 1
    assert list(Delivery.objects.values_list("status", flat=True)) == ["delivered"] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_test_is_sent_and_no_secret_is_in_its_record(kind: str, there: Receiver, post: MailReceiver) -> None:
    made(kind, there)
    one = channels.Channel.objects.get()
    assert channels.test(one, by=BOSS, at=make.NOW).delivered
    one.refresh_from_db()
    assert "0" * 32 not in str(one.test_outcome)
    assert "secretsecret" not in str(one.test_outcome)


def test_a_mail_that_is_not_taken_for_everybody_yet_is_not_delivered_until_it_is(
    there: Receiver, post: MailReceiver
) -> None:
    made("email", there, recipients="ana@example.com\nvic@example.com")
    say(make.anomaly())
    post.answers["RCPT TO:<vic"] = b"451 greylisted"
    assert tell() == 1
    assert Delivery.objects.get().status == "failed"
    post.answers.clear()
    assert tell(make.NOW + timedelta(hours=1)) == 1
    assert Delivery.objects.get().status == "delivered"
    assert post.envelopes == [["ana@example.com"], ["ana@example.com", "vic@example.com"]]
