"""services/deliveries: each message reaches each channel, in order for each anomaly, whatever dies meanwhile."""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone
from standardwebhooks import Webhook

from anomalies.models import Change, Channel, Delivery, DeliveryAttempt, Severity
from anomalies.services import channels, deliveries, retention
from anomalies.services.deliveries import NotReplayableError
from tests import make
from tests.notifications.receiver import Receiver, receiving, status
from tests.services.channels import BOSS, SECRET, channel, say, tell

pytestmark = pytest.mark.usefixtures("calls_stay_here")

NOW = make.NOW
HOUR = timedelta(hours=1)


def types(there: Receiver) -> list[str]:
    return [one.json["type"] for one in there.received]


def until_told(there: Receiver, count: int) -> None:
    """Let the clock tick: transactions of other databases of the same server hold back the outbox, too."""
    deadline = time.monotonic() + 60
    while len(there.received) < count:
        assert time.monotonic() < deadline
        deliveries.fan_out(at=timezone.now())
        deliveries.deliver_due(clock=timezone.now, until=timezone.now() + HOUR)


def ids(there: Receiver) -> list[str]:
    return [one.headers["webhook-id"] for one in there.received]


@pytest.mark.django_db
@pytest.mark.usefixtures("at_its_own_time")
class TestOneWorker:
    def test_a_message_is_told_once_to_each_channel_with_its_link(self, there: Receiver) -> None:
        channel(there.url)
        channel(there.url, name="Second")
        anomaly = make.anomaly()
        say(anomaly)
        assert (tell(), tell()) == (2, 0)
        for received in there.received:
            assert received.json["data"]["url"] == f"https://anomalies.example/anomalies/{anomaly.public_id}/"
        assert sorted(ids(there)) == sorted(Delivery.objects.values_list("public_id", flat=True))
        assert {one.status for one in Delivery.objects.all()} == {"delivered"}
        assert DeliveryAttempt.objects.filter(ok=True).count() == 2

    def test_a_filter_of_a_type_that_is_no_more_keeps_no_other_channel_waiting(self, there: Receiver) -> None:
        old = channel(there.url)
        Channel.objects.filter(pk=old.pk).update(filter="type=a_detector_of_the_past")
        channel(there.url, name="Second")
        say(make.anomaly())
        tell()
        assert Delivery.objects.get().channel.name == "Second"

    def test_nobody_is_told_what_was_announced_before(self, there: Receiver) -> None:
        say(make.anomaly())
        channel(there.url)
        say(make.anomaly())
        assert tell() == 1

    def test_only_what_passes_type_severity_and_filter_is_told(self, there: Receiver) -> None:
        channel(there.url, least_severity=2, filter="/?type=rate_spike&agent=ag_billing&agent=ag_other",
                message_types=["anomaly.detected"])  # fmt: skip
        told = make.anomaly(severity=Severity.MEDIUM)
        say(told)
        say(told, "anomaly.updated")
        say(make.anomaly(severity=Severity.LOW))
        say(make.anomaly(type="high_failure_rate", severity=Severity.HIGH))
        say(make.anomaly(agent=make.agent("ag_third"), severity=Severity.HIGH))
        assert tell() == 1
        assert there.received[0].json["data"]["id"] == told.public_id

    def test_who_was_told_of_an_anomaly_is_told_its_end_too(self, there: Receiver) -> None:
        channel(there.url, least_severity=3)
        anomaly = make.anomaly(severity=Severity.HIGH)
        say(anomaly)
        anomaly.severity = Severity.LOW
        anomaly.save()
        say(anomaly, "anomaly.closed")
        assert tell() == 2
        assert types(there) == ["anomaly.detected", "anomaly.closed"]

    def test_what_fails_is_tried_for_a_day_then_dead_and_can_be_replayed(self, there: Receiver) -> None:
        there.answer = status(500)
        channel(there.url)
        say(make.anomaly())
        at, seen = NOW, []
        while tell(at):
            seen.append(at)
            at = max(Delivery.objects.get().next_attempt_at, Channel.objects.get().held_until or NOW)
        pauses = [later - earlier for earlier, later in pairwise(seen)]
        assert pauses[0] <= timedelta(seconds=15)
        assert max(pauses) <= HOUR
        assert seen[-1] - NOW >= timedelta(days=1)
        assert 24 < len(seen) < 70
        assert len(set(ids(there))) == 1
        delivery = Delivery.objects.get()
        assert (delivery.status, delivery.outcome) == ("dead", "answered 500")
        there.answer = status(200)
        deliveries.replay(delivery, by=BOSS, at=at)
        assert tell(at + HOUR) == 1
        assert ids(there)[-1] == delivery.public_id
        assert Delivery.objects.get().status == "delivered"
        assert Change.objects.latest("id").action == "replayed"

    def test_what_waits_or_has_no_channel_is_not_replayed(self, there: Receiver) -> None:
        made = channel(there.url)
        say(make.anomaly())
        deliveries.fan_out(at=NOW)
        delivery = Delivery.objects.get()
        with pytest.raises(NotReplayableError, match="waiting"):
            deliveries.replay(delivery, by=BOSS, at=NOW)
        tell()
        channels.switch(made, on=False, by=BOSS, at=NOW)
        with pytest.raises(NotReplayableError, match="Desk is off"):
            deliveries.replay(delivery, by=BOSS, at=NOW)

    def test_a_later_message_of_the_same_anomaly_waits_and_others_do_not(self, there: Receiver) -> None:
        def refuse_the_first(to: BaseHTTPRequestHandler) -> None:
            status(400 if there.received[-1].json["data"]["id"] == first.public_id else 200)(to)

        there.answer = refuse_the_first
        channel(there.url)
        first, second = make.anomaly(), make.anomaly()
        for anomaly in (first, second):
            for type_ in ("anomaly.detected", "anomaly.updated", "anomaly.closed"):
                say(anomaly, type_)
        assert tell() == 4
        there.answer = status(200)
        assert tell(NOW + HOUR) == 3
        told = [one.json["type"] for one in there.received if one.json["data"]["id"] == first.public_id]
        assert told == ["anomaly.detected", "anomaly.detected", "anomaly.updated", "anomaly.closed"]

    def test_a_channel_that_does_not_answer_is_held_while_the_others_go_on(self, there: Receiver) -> None:
        with receiving(status(503)) as dead:
            channel(dead.url, name="Dead")
            channel(there.url)
            for _ in range(5):
                say(make.anomaly())
            assert tell() == 6
            assert (len(dead.received), len(there.received)) == (1, 5)
            dead.answer = status(200)
            assert tell(NOW + HOUR) == 5
        assert not Delivery.objects.unfinished().exists()
        assert Channel.objects.get(name="Dead").failures == 0

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"template": '{"who": "{{ anomaly.nobody }}"}'}, "there is no placeholder “anomaly.nobody”"),
            ({"url": "http://inside.example/hook"}, "inside.example leads to 10.0.0.8, which is inside a private"),
            ({"url": "https://127.0.0.1:1/hook"}, "could not be reached"),
            ({"signing_secret": "of another key"}, "secret: it was encrypted with another key"),
        ],
        ids=["template", "private network", "nobody there", "secret"],
    )
    def test_what_cannot_be_sent_is_said_kept_and_holds_up_no_other_channel(
        self, there: Receiver, monkeypatch: pytest.MonkeyPatch, fields: dict[str, str], words: str
    ) -> None:
        real = socket.getaddrinfo

        def look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
            return real("10.0.0.8" if host == "inside.example" else host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        broken = channel(there.url, name="Broken")
        before = Channel.objects.filter(pk=broken.pk).values("settings", "secrets_encrypted").get()
        after = {
            where: {name: fields.get(name, value) for name, value in kept.items()} for where, kept in before.items()
        }
        assert after != before
        Channel.objects.filter(pk=broken.pk).update(**after)
        channel(there.url)
        say(make.anomaly())
        assert tell() == 2
        assert len(there.received) == 1
        delivery = Delivery.objects.get(channel=broken)
        assert delivery.status == "failed"
        assert delivery.outcome.startswith(words)
        error = DeliveryAttempt.objects.get(delivery=delivery).outcome["error"]
        assert error.removeprefix("url: ").startswith(words)
        Channel.objects.filter(pk=broken.pk).update(**before)
        assert tell(NOW + HOUR) == 1
        assert Delivery.objects.get(channel=broken).status == "delivered"

    def test_a_receiver_that_asks_for_more_time_gets_it(self, there: Receiver) -> None:
        there.answer = status(429, Retry_After="1800")
        channel(there.url)
        say(make.anomaly())
        tell()
        assert Delivery.objects.get().next_attempt_at == NOW + timedelta(minutes=30)

    def test_what_was_sent_and_not_recorded_is_sent_again_with_the_same_id(
        self, there: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def die(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        channel(there.url)
        anomaly = make.anomaly()
        say(anomaly)
        say(anomaly, "anomaly.closed")
        with monkeypatch.context() as patch:
            patch.setattr(deliveries, "_settle", die)
            with pytest.raises(KeyboardInterrupt):
                tell()
        assert tell(NOW + timedelta(seconds=20)) == 0
        assert tell(NOW + timedelta(seconds=60)) == 2
        assert types(there) == ["anomaly.detected", "anomaly.detected", "anomaly.closed"]
        assert ids(there)[0] == ids(there)[1]

    def test_an_attempt_that_outlived_its_lease_changes_nothing_but_to_delivered(self, there: Receiver) -> None:
        channel(there.url)
        say(make.anomaly())
        deliveries.fan_out(at=NOW)
        made = Channel.objects.get()
        slow = deliveries._claim(made.pk, NOW)
        assert slow is not None
        again = deliveries._claim(made.pk, NOW + HOUR)
        assert again is not None
        refused = channels.tell(made, deliveries._message(slow), at=NOW)
        there.answer = status(400)
        late = channels.tell(made, deliveries._message(slow), at=NOW)
        deliveries._settle(slow, late, begun_at=NOW, at=NOW + HOUR)
        assert Delivery.objects.get().status == "pending"
        deliveries._settle(slow, refused, begun_at=NOW, at=NOW + HOUR)
        assert Delivery.objects.get().status == "delivered"

    def test_what_came_to_its_end_long_ago_is_dropped(self, there: Receiver, settings: Any) -> None:
        settings.ANOMALIES_DELIVERY_RETENTION_DAYS = 90
        channel(there.url)
        say(make.anomaly())
        tell()
        assert retention.apply(now=NOW + timedelta(days=89)).deliveries_dropped == 0
        assert retention.apply(now=NOW + timedelta(days=91)).deliveries_dropped == 1
        assert not DeliveryAttempt.objects.exists()
        assert tell(NOW + timedelta(days=91)) == 0


@pytest.mark.alone
@pytest.mark.django_db(transaction=True)
def test_two_workers_send_each_message_once_and_in_order(
    there: Receiver, at_once: Callable[[Sequence[Callable[[], object]]], list[object]]
) -> None:
    channel(there.url)
    anomalies = [make.anomaly() for _ in range(8)]
    for type_ in ("anomaly.detected", "anomaly.updated", "anomaly.closed"):
        for anomaly in anomalies:
            say(anomaly, type_)
    made = 0
    deadline = time.monotonic() + 60
    while made < 24:  # transactions of other databases of the same server hold back the outbox
        assert time.monotonic() < deadline
        made += sum(at_once([tell, tell, tell]))  # type: ignore[arg-type]
    assert tell() == 0
    assert made == len(ids(there)) == len(set(ids(there))) == 24
    for anomaly in anomalies:
        told = [one.json["type"] for one in there.received if one.json["data"]["id"] == anomaly.public_id]
        assert told == ["anomaly.detected", "anomaly.updated", "anomaly.closed"]


@pytest.mark.alone
@pytest.mark.django_db(transaction=True)
def test_a_message_that_commits_late_is_told_all_the_same(there: Receiver) -> None:
    """Ids are given before the commit: who goes by them alone passes over it."""
    channel(there.url)
    slow, fast = make.anomaly(), make.anomaly()
    written, told = threading.Event(), threading.Event()

    def write_slowly() -> None:
        with transaction.atomic():
            say(slow)
            written.set()
            told.wait(30)
        connection.close()

    thread = threading.Thread(target=write_slowly)
    thread.start()
    written.wait(30)
    say(fast)
    tell()
    told.set()
    thread.join()
    until_told(there, 2)
    assert {one.json["data"]["id"] for one in there.received} == {slow.public_id, fast.public_id}
    assert len(there.received) == 2


@pytest.mark.alone
@pytest.mark.django_db(transaction=True)
def test_the_signature_of_what_arrives_verifies(there: Receiver) -> None:
    channel(there.url)
    say(make.anomaly())
    until_told(there, 1)
    (received,) = there.received
    assert Webhook(SECRET).verify(received.body, received.headers)["type"] == "anomaly.detected"
