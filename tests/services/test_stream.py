"""services/stream: no message missed, none doubled, and five listeners a key."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction

from anomalies.models import ApiKey, OutboxMessage, StreamLease
from anomalies.services import stream
from anomalies.services.outbox import announce
from tests import make

AT = make.NOW
SECONDS = 60


def _until_all_is_settled() -> None:
    """Transactions of other databases of the server, such as those of other tests, hold messages back as well."""
    deadline = time.monotonic() + SECONDS
    while OutboxMessage.objects.settled().count() < OutboxMessage.objects.count():
        assert time.monotonic() < deadline, "it does not become so"
        time.sleep(0.01)


@pytest.fixture
def key(db: None) -> ApiKey:
    make.api_key()
    return ApiKey.objects.get()


@pytest.mark.alone
@pytest.mark.django_db(transaction=True)
def test_messages_come_once_each_in_settled_order() -> None:
    start = stream.newest_position()
    assert stream.messages_after(start) == []
    anomaly = make.anomaly()
    for number in range(3):
        with transaction.atomic():
            announce(f"first.{number}", anomaly)
            announce(f"second.{number}", anomaly)
    _until_all_is_settled()
    seen = []
    position = start
    while messages := stream.messages_after(position)[:1]:
        position = stream.Position.of(messages[0])
        seen.append(messages[0].type)
    assert seen == ["first.0", "second.0", "first.1", "second.1", "first.2", "second.2"]
    assert stream.messages_after(stream.newest_position()) == []


@pytest.mark.alone
@pytest.mark.django_db(transaction=True)
def test_a_message_of_a_transaction_still_running_holds_back_later_ones() -> None:
    anomaly = make.anomaly()
    start = stream.newest_position()
    slow = connections.create_connection("default")
    try:
        with slow.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(
                "INSERT INTO anomalies_outboxmessage (type, anomaly_id, payload) VALUES ('slow', %s, '{}')",
                [anomaly.pk],
            )
            with transaction.atomic():
                announce("fast", anomaly)
            assert stream.messages_after(start) == []
            cursor.execute("COMMIT")
    finally:
        slow.close()
    _until_all_is_settled()
    assert [message.type for message in stream.messages_after(start)] == ["slow", "fast"]


@pytest.mark.alone
@pytest.mark.django_db(transaction=True)
def test_more_messages_than_fit_at_once_come_in_the_next_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MESSAGES_AT_ONCE", 2)
    anomaly = make.anomaly()
    start = stream.newest_position()
    with transaction.atomic():
        for _ in range(3):
            announce("anomaly.updated", anomaly)
    _until_all_is_settled()
    first = stream.messages_after(start)
    rest = stream.messages_after(stream.Position.of(first[-1]))
    assert [message.pk for message in first + rest] == list(
        OutboxMessage.objects.order_by("id").values_list("pk", flat=True)
    )


@pytest.mark.alone
@pytest.mark.django_db(transaction=True)
def test_an_event_id_is_the_position_after_it() -> None:
    anomaly = make.anomaly()
    with transaction.atomic():
        message = announce("anomaly.updated", anomaly)
    _until_all_is_settled()
    message.refresh_from_db()
    position = stream.position_of(f"evt_{message.transaction}_{message.pk}")
    assert position == stream.Position.of(message)
    assert str(position) == f"evt_{message.transaction}_{message.pk}"


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["", "evt_1", "evt_1_2_3", "evt_a_b", " evt_1_2", "evt_1_2\n", "evt_٣_٤"])
def test_anything_else_is_no_event_id(text: str) -> None:
    with pytest.raises(stream.UnknownPositionError, match="Last-Event-ID"):
        stream.position_of(text)


@pytest.mark.django_db
def test_an_event_id_ahead_of_all_events_is_refused_and_not_waited_for() -> None:
    ahead = stream.newest_position().transaction + 1_000
    with pytest.raises(stream.UnknownPositionError):
        stream.position_of(f"evt_{ahead}_1")


def test_a_key_has_at_most_five_streams(key: ApiKey) -> None:
    leases = [stream.open_stream(key, at=AT) for _ in range(5)]
    with pytest.raises(stream.TooManyStreamsError, match="ci has 5 event streams open already"):
        stream.open_stream(key, at=AT)
    stream.close_stream(leases[0])
    stream.open_stream(key, at=AT)


def test_streams_of_a_server_that_died_stop_counting(key: ApiKey) -> None:
    kept, *_ = [stream.open_stream(key, at=AT) for _ in range(5)]
    assert stream.renew(kept, at=AT + timedelta(seconds=20))
    later = AT + stream.LEASE
    for _ in range(4):
        stream.open_stream(key, at=later)
    with pytest.raises(stream.TooManyStreamsError):
        stream.open_stream(key, at=later)


def test_a_lease_that_ran_out_or_whose_key_is_gone_is_not_renewed(key: ApiKey) -> None:
    lease = stream.open_stream(key, at=AT)
    ApiKey.objects.update(revoked_at=AT)
    assert not stream.renew(lease, at=AT)
    ApiKey.objects.update(revoked_at=None)
    assert stream.renew(lease, at=AT)
    stream.close_stream(lease)
    assert not stream.renew(lease, at=AT)


@pytest.mark.django_db(transaction=True)
def test_streams_opened_at_once_are_five_too(at_once: Callable[..., list[bool]]) -> None:
    make.api_key()
    key = ApiKey.objects.get()

    def opened() -> bool:
        try:
            stream.open_stream(key, at=AT)
        except stream.TooManyStreamsError:
            return False
        return True

    assert sorted(at_once([opened] * 8)) == [False] * 3 + [True] * 5
    assert StreamLease.objects.count() == 5
    assert connection.is_usable()
