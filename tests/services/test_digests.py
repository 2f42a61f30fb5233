"""services/digests: what waits is told together, once, in order, whatever dies meanwhile; nothing in quiet hours."""

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import QuerySet

from anomalies.models import Channel, Delivery, DeliveryAttempt, Severity
from anomalies.services import channels, deliveries, digests, pacing
from tests import make
from tests.notifications.receiver import Receiver, status
from tests.services.channels import BOSS, channel, say, tell

pytestmark = pytest.mark.usefixtures("calls_stay_here")

NOW = make.NOW.replace(hour=12, minute=20, second=0, microsecond=0)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
AT_ONE = NOW.replace(hour=13, minute=0)


def told(there: Receiver) -> list[Any]:
    """By request what it is about: the anomalies of a digest with what is told of them, or one with its type."""
    found: list[Any] = []
    for one in there.received:
        body = one.json
        if body["type"] == "digest":
            found.append({line["id"]: line["told"] for line in body["data"]["anomalies"]})
        else:
            found.append((body["data"]["id"], body["type"].removeprefix("anomaly.")))
    return found


@pytest.mark.django_db
@pytest.mark.usefixtures("at_its_own_time")
class TestDigest:
    def test_what_came_in_an_hour_is_one_request_when_it_is_over(self, there: Receiver) -> None:
        channel(there.url, pace="hourly")
        first, second = make.anomaly(severity=Severity.LOW), make.anomaly(severity=Severity.HIGH)
        say(first)
        say(second)
        say(first, "anomaly.closed")
        assert [tell(NOW), tell(NOW + 30 * MINUTE)] == [0, 0]
        assert [tell(AT_ONE), tell(AT_ONE + MINUTE)] == [1, 0]
        assert told(there) == [{second.public_id: ["detected"], first.public_id: ["detected", "closed"]}]
        body = there.received[0].json
        rows = Delivery.objects.order_by("id")
        assert {row.digest for row in rows} == {body["data"]["id"]} == {there.received[0].headers["webhook-id"]}
        assert [(row.status, row.attempts, row.outcome) for row in rows] == [("delivered", 1, "answered 200")] * 3
        assert body["data"]["counts"] == {"high": 1, "low": 1}
        assert body["data"]["url"] == f"https://anomalies.example/notifications/?digest={rows[0].digest}"
        assert DeliveryAttempt.objects.get().delivery == rows[0]

    def test_what_comes_after_it_waits_for_the_next_one(self, there: Receiver) -> None:
        channel(there.url, pace="daily", digest_at="09:00", time_zone="Europe/Berlin")
        nine = NOW.replace(hour=8, minute=0) + timedelta(days=1)
        early, late = make.anomaly(), make.anomaly()
        say(early)
        assert [tell(NOW), tell(nine - MINUTE), tell(nine)] == [0, 0, 1]
        say(late)
        assert [tell(nine + MINUTE), tell(nine + 23 * HOUR), tell(nine + 24 * HOUR)] == [0, 0, 1]
        assert told(there) == [{early.public_id: ["detected"]}, {late.public_id: ["detected"]}]

    def test_one_that_fails_is_tried_again_as_it_was_for_a_day(self, there: Receiver) -> None:
        there.answer = status(500)
        channel(there.url, pace="hourly")
        say(make.anomaly())
        tell(NOW)
        assert tell(AT_ONE) == 1
        say(make.anomaly())
        there.answer = status(200)
        assert tell(AT_ONE + 2 * MINUTE) == 1
        ids = [one.headers["webhook-id"] for one in there.received]
        assert ids[0] == ids[1]
        assert there.received[0].json["data"] == there.received[1].json["data"]
        assert tell(AT_ONE + HOUR) == 1
        assert not Delivery.objects.unfinished().exists()

    def test_what_waited_longer_than_a_message_is_tried_for_is_tried_for_a_day_all_the_same(
        self, there: Receiver
    ) -> None:
        there.answer = status(500)
        channel(there.url, pace="daily", digest_at="12:00", quiet_from="00:00", quiet_to="00:00", quiet_days=[5, 6])
        say(make.anomaly())
        tell(NOW)
        row = Delivery.objects.get()
        due = pacing.next_turn(Channel.objects.get(), NOW)
        assert due is not None
        tell(due + 40 * HOUR)
        row.refresh_from_db()
        assert row.status == "failed"

    def test_what_was_sent_and_not_recorded_is_sent_again_with_the_same_id_and_nothing_more(
        self, there: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def die(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        channel(there.url, pace="hourly")
        anomaly = make.anomaly()
        say(anomaly)
        tell(NOW)
        with monkeypatch.context() as patch:
            patch.setattr(deliveries, "_settle", die)
            with pytest.raises(KeyboardInterrupt):
                tell(AT_ONE)
        say(anomaly, "anomaly.closed")
        assert tell(AT_ONE + MINUTE) == 1
        assert told(there) == [{anomaly.public_id: ["detected"]}] * 2
        assert len({one.headers["webhook-id"] for one in there.received}) == 1
        assert tell(AT_ONE + HOUR) == 1
        assert told(there)[-1] == {anomaly.public_id: ["closed"]}

    def test_what_is_later_of_an_anomaly_waits_for_a_digest_that_is_tried_still(self, there: Receiver) -> None:
        there.answer = status(400)
        channel(there.url, pace="hourly")
        first, second = make.anomaly(), make.anomaly()
        say(first)
        tell(NOW)
        tell(AT_ONE)
        say(first, "anomaly.closed")
        say(second)
        tell(AT_ONE + MINUTE)
        there.answer = status(200)
        Delivery.objects.exclude(digest="").update(next_attempt_at=AT_ONE + 3 * HOUR)
        assert tell(AT_ONE + HOUR) == 1
        assert told(there)[-1] == {second.public_id: ["detected"]}
        tell(AT_ONE + 3 * HOUR)
        assert told(there)[-2:] == [{first.public_id: ["detected"]}, {first.public_id: ["closed"]}]

    def test_a_digest_is_replayed_as_a_whole(self, there: Receiver) -> None:
        channel(there.url, pace="hourly")
        for _ in range(3):
            say(make.anomaly())
        tell(NOW)
        tell(AT_ONE)
        deliveries.replay(Delivery.objects.order_by("id")[1], by=BOSS, at=AT_ONE + MINUTE)
        assert tell(AT_ONE + MINUTE) == 1
        assert there.received[0].json == there.received[1].json
        assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}

    def test_a_channel_that_is_told_at_once_again_sends_what_waited_one_by_one(self, there: Receiver) -> None:
        made = channel(there.url, pace="hourly")
        for _ in range(2):
            say(make.anomaly())
        tell(NOW)
        channels.change(made, {"pace": "at_once"}, seen_at=None, by=BOSS, at=NOW)
        assert tell(NOW + MINUTE) == 2

    def test_of_many_nothing_is_left_out(self, there: Receiver) -> None:
        channel(there.url, pace="hourly")
        for anomaly in [make.anomaly() for _ in range(130)]:
            say(anomaly)
        tell(NOW)
        assert tell(AT_ONE) == 1
        assert len(told(there)[0]) == 130


@pytest.mark.django_db
@pytest.mark.usefixtures("at_its_own_time")
class TestQuietHours:
    def test_what_comes_then_waits_until_they_end_and_keeps_its_order(self, there: Receiver) -> None:
        channel(there.url, quiet_from="12:00", quiet_to="14:00")
        anomaly = make.anomaly(severity=Severity.HIGH)
        say(anomaly)
        say(anomaly, "anomaly.closed")
        assert [tell(NOW), tell(NOW + HOUR)] == [0, 0]
        assert tell(NOW.replace(hour=14, minute=0)) == 2
        assert told(there) == [(anomaly.public_id, "detected"), (anomaly.public_id, "closed")]

    def test_what_failed_before_waits_as_well(self, there: Receiver) -> None:
        there.answer = status(500)
        channel(there.url, quiet_from="12:21", quiet_to="14:00")
        say(make.anomaly())
        assert [tell(NOW), tell(NOW + 30 * MINUTE), tell(NOW + 2 * HOUR)] == [1, 0, 1]

    def test_high_severity_passes_with_what_came_before_of_the_same_anomaly(self, there: Receiver) -> None:
        channel(there.url, quiet_from="12:00", quiet_to="14:00", urgent_at_once=True)
        worse, mild = make.anomaly(severity=Severity.LOW), make.anomaly(severity=Severity.LOW)
        say(mild)
        say(worse)
        assert tell(NOW) == 0
        worse.severity = Severity.HIGH
        worse.save()
        say(worse, "anomaly.updated")
        assert tell(NOW + MINUTE) == 2
        assert told(there) == [(worse.public_id, "detected"), (worse.public_id, "updated")]
        assert tell(NOW + 2 * HOUR) == 1

    def test_what_is_more_than_a_digest_takes_comes_in_the_next_one_at_once(
        self, there: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(digests, "MOST", 3)
        channel(there.url, pace="hourly")
        anomalies = [make.anomaly() for _ in range(7)]
        for anomaly in anomalies:
            say(anomaly)
        assert tell(NOW) == 0
        assert tell(AT_ONE) == 3
        assert [[*one] for one in told(there)] == [
            [anomaly.public_id for anomaly in anomalies[start : start + 3]] for start in (0, 3, 6)
        ]

    def test_high_severity_waits_for_no_digest(self, there: Receiver) -> None:
        channel(there.url, pace="hourly", urgent_at_once=True)
        high, low = make.anomaly(severity=Severity.HIGH), make.anomaly(severity=Severity.LOW)
        say(low)
        say(high)
        assert tell(NOW) == 1
        assert tell(AT_ONE) == 1
        assert told(there) == [(high.public_id, "detected"), {low.public_id: ["detected"]}]

    def test_a_digest_that_is_due_then_comes_when_they_end(self, there: Receiver) -> None:
        channel(there.url, pace="hourly", quiet_from="12:30", quiet_to="15:30")
        say(make.anomaly())
        say(make.anomaly())
        assert [tell(NOW), tell(AT_ONE), tell(NOW.replace(hour=15, minute=30))] == [0, 0, 1]

    def test_a_test_waits_for_nothing(self, there: Receiver) -> None:
        made = channel(there.url, pace="daily", quiet_from="00:00", quiet_to="23:00")
        assert channels.test(made, by=BOSS, at=NOW).delivered


@pytest.mark.alone
@pytest.mark.django_db(transaction=True)
def test_several_workers_send_a_digest_once(
    there: Receiver, at_once: Callable[[Sequence[Callable[[], object]]], list[object]]
) -> None:
    channel(there.url, pace="hourly")
    for anomaly in [make.anomaly() for _ in range(5)]:
        say(anomaly)
    deadline = time.monotonic() + 60  # transactions of other databases of the same server hold back the outbox, too
    while Delivery.objects.count() < 5:
        assert time.monotonic() < deadline
        tell(NOW)
    made = at_once([lambda: tell(AT_ONE)] * 3)
    assert sum(made) + tell(AT_ONE) == 1  # type: ignore[arg-type]
    assert len(told(there)[0]) == 5


@pytest.mark.django_db(transaction=True)
def test_two_who_replay_parts_of_a_digest_do_not_wait_in_a_ring(
    there: Receiver, in_turn: Callable[[QuerySet[Any], Sequence[Callable[[], object]]], list[object]]
) -> None:
    made = channel(there.url, pace="hourly")
    for anomaly in [make.anomaly() for _ in range(3)]:
        message = say(anomaly)
        Delivery.objects.create(
            message=message, channel=made, anomaly=anomaly, digest="dig_1", status="delivered", finished_at=NOW,
            next_attempt_at=NOW, give_up_at=NOW, created_at=NOW,
        )  # fmt: skip
    first, middle, last = Delivery.objects.order_by("pk")

    def replay(delivery: Delivery) -> bool:
        try:
            deliveries.replay(delivery, by=BOSS, at=NOW)
        except deliveries.NotReplayableError:
            return False
        return True

    done = in_turn(Delivery.objects.filter(pk=middle.pk), [lambda: replay(first), lambda: replay(last)])
    assert done == [True, False]
    assert set(Delivery.objects.values_list("status", flat=True)) == {"pending"}
