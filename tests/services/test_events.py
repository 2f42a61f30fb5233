import json
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalies.ingest import reading
from anomalies.ingest.fields import MAX_LENGTHS
from anomalies.ingest.record import EventRecord, ReadOptions, Rejection, SourceError
from anomalies.ingest.registry import FORMATS
from anomalies.models import Agent, Batch, Event, Grant, Principal, Source
from anomalies.services import events
from tests.make import NOW

pytestmark = pytest.mark.django_db


def record(external_id: str = "e1", **fields: Any) -> EventRecord:
    return EventRecord(
        **{"external_id": external_id, "time": NOW, "agent_id": "ag_1", "action": "read", "status": "success", **fields}
    )


def store(*outcomes: EventRecord | Rejection, source_name: str = "test", **options: Any) -> events.Stored:
    return events.store(outcomes, **{"source_name": source_name, "format": "native", "received_at": NOW, **options})


def test_event_is_stored_as_it_is() -> None:
    given = record(
        principal_id="user_1",
        grant_id="g",
        request_id="r",
        resource="a\tb\\c\nd",
        resource_type="t",
        integration="i",
        permission="p",
        ip="2001:db8::1",
        country="DE",
        city="Köln",
        latitude=50.9,
        longitude=-7.5,
        user_agent="\\N",
        metadata={"a": ['"\\', None, {"b": 1.5}], "ü": "\u2028"},
    )

    stored = store(given)

    event = Event.objects.get()
    assert (stored.accepted, stored.duplicate, stored.rejected) == (1, 0, 0)
    assert event.batch == stored.batch
    for name in EventRecord.__struct_fields__:
        assert getattr(event, name) == getattr(given, name), name


def test_agents_and_principals_become_known_once() -> None:
    store(record("e1", principal_id="user_1"), record("e2", agent_id="ag_2", principal_id="user_1"))
    store(record("e3", agent_id="ag_2", principal_id="user_2"), record("e4"))

    assert set(Agent.objects.values_list("public_id", flat=True)) == {"ag_1", "ag_2"}
    assert set(Principal.objects.values_list("public_id", flat=True)) == {"user_1", "user_2"}


def test_grant_of_an_event_can_be_revoked_later() -> None:
    store(
        record("e1", grant_id="g1", principal_id="user_1", time=NOW),
        record("e2", grant_id="g1", principal_id="user_2", time=NOW - timedelta(hours=1)),
    )
    store(record("e3", grant_id="g1", principal_id="user_3", time=NOW - timedelta(days=9)))

    grant = Grant.objects.get()
    assert (grant.public_id, grant.agent_id, grant.principal_id) == ("g1", "ag_1", "user_2")
    assert (grant.status, grant.issued_at) == (Grant.Status.ACTIVE, NOW - timedelta(hours=1))


def test_second_time_is_a_duplicate() -> None:
    store(record("e1"), record("e2"))

    again = store(record("e1"), record("e2"), record("e3"))

    assert (again.accepted, again.duplicate) == (1, 2)
    assert Event.objects.count() == 3


def test_first_of_a_batch_wins() -> None:
    stored = store(*(record("e1", action=f"a{number}") for number in range(300)))

    assert (stored.accepted, stored.duplicate) == (1, 299)
    assert Event.objects.get().action == "a0"


def test_same_id_of_another_source_is_another_event() -> None:
    store(record("e1"))
    store(record("e1"), source_name="other")

    assert Event.objects.count() == 2


def test_rejections_are_counted_and_returned() -> None:
    rejection = Rejection(2, "no")

    stored = store(record(), rejection)

    assert (stored.accepted, stored.rejected, stored.rejections) == (1, 1, [rejection])
    batch = Batch.objects.get()
    assert (batch.accepted, batch.duplicate, batch.rejected) == (1, 0, 1)


def test_rejections_beyond_the_first_are_counted_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_REJECTIONS_KEPT", 2)

    stored = store(record(), *(Rejection(line, "no") for line in range(5)))

    assert (stored.rejected, len(stored.rejections)) == (5, 2)


def test_without_an_event_there_is_no_batch() -> None:
    stored = store(Rejection(1, "no"))

    assert stored.batch is None
    assert stored.rejected == 1
    assert not Batch.objects.exists()
    assert not Source.objects.exists()


def test_source_knows_its_newest_event_and_when_it_arrived() -> None:
    store(record("e1", time=NOW), received_at=NOW)
    store(record("e2", time=NOW - timedelta(days=1)), received_at=NOW - timedelta(minutes=1))

    source = Source.objects.get()
    assert (source.watermark, source.received_at) == (NOW, NOW)


def test_error_of_the_stream_undoes_the_batch() -> None:
    def broken() -> Iterator[EventRecord]:
        yield record()
        raise SourceError("It breaks off.")

    with pytest.raises(SourceError):
        events.store(broken(), source_name="test", format="native", received_at=NOW)

    assert not Event.objects.exists()
    assert store(record("e2")).accepted == 1


def test_stream_is_stored_in_batches_and_what_came_before_a_break_is_kept() -> None:
    def broken() -> Iterator[EventRecord | Rejection]:
        for number in range(7):
            yield record(f"e{number}")
        yield Rejection(8, "no")
        raise SourceError("It breaks off.")

    batches = []

    def store_all() -> None:
        stream = events.store_in_batches(broken(), source_name="test", format="native", received_at=NOW, size=3)
        batches.extend((stored.accepted, stored.rejected) for stored in stream)

    with pytest.raises(SourceError, match="It breaks off"):
        store_all()

    assert batches == [(3, 0), (3, 0), (1, 1)]
    assert Event.objects.count() == 7


def test_empty_stream_stores_nothing() -> None:
    assert list(events.store_in_batches([], source_name="test", format="native", received_at=NOW)) == []


@pytest.mark.parametrize("name", ["", " ", "a\x00b", "a\nb", "x" * 101])
def test_source_name_without_sense_is_refused(name: str) -> None:
    with pytest.raises(events.SourceNameError, match="source: "):
        store(record(), source_name=name)


def test_same_key_and_body_is_answered_as_before() -> None:
    first = store(record("e1"), Rejection(2, "no"), idempotency_key="k", body_sha256="a")

    again = store(record("e1"), Rejection(2, "no"), idempotency_key="k", body_sha256="a")

    assert again.replayed
    assert (again.batch, again.accepted, again.duplicate, again.rejections) == (first.batch, 1, 0, first.rejections)
    assert Batch.objects.count() == 1


def test_same_key_with_another_body_is_refused() -> None:
    store(record("e1"), idempotency_key="k", body_sha256="a")

    with pytest.raises(events.IdempotencyError, match="another body"):
        store(record("e2"), idempotency_key="k", body_sha256="b")

    assert Event.objects.count() == 1


def test_same_key_of_another_source_is_another_call() -> None:
    store(record("e1"), idempotency_key="k", body_sha256="a")

    assert not store(record("e1"), source_name="other", idempotency_key="k", body_sha256="a").replayed


AtOnce = Callable[[Sequence[Callable[[], object]]], list[Any]]


@pytest.mark.django_db(transaction=True)
def test_writers_of_the_same_ids_give_each_event_once_and_never_deadlock(at_once: AtOnce) -> None:
    def writer(number: int) -> Callable[[], int]:
        names = [f"e{index}" for index in range(400)]
        random.Random(number).shuffle(names)
        records = [
            record(name, agent_id=f"ag_{name}", principal_id=f"user_{name}", grant_id=f"g_{name}") for name in names
        ]

        def write() -> int:
            stored = events.store_in_batches(records, source_name="test", format="native", received_at=NOW, size=150)
            return sum(batch.accepted for batch in stored)

        return write

    accepted = at_once([writer(number) for number in range(4)])

    assert sum(accepted) == 400
    assert Event.objects.count() == Agent.objects.count() == Grant.objects.count() == 400
    assert sum(Batch.objects.values_list("accepted", flat=True)) == 400


@pytest.mark.django_db(transaction=True)
def test_calls_with_the_same_key_at_once_make_one_batch(at_once: AtOnce) -> None:
    def call() -> events.Stored:
        return store(record("e1"), record("e2"), idempotency_key="k", body_sha256="a")

    stored = at_once([call] * 4)

    assert {each.batch for each in stored} == {Batch.objects.get()}
    assert [each.accepted for each in stored] == [2] * 4
    assert sorted(each.replayed for each in stored) == [False, True, True, True]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.dictionaries(st.sampled_from([*MAX_LENGTHS, "ip", "country", "latitude", "metadata", "other"]), json_values),
        min_size=5,
        max_size=20,
    )
)
def test_whatever_a_reader_accepts_can_be_stored(odd: list[dict[str, Any]]) -> None:
    good = {"time": NOW.isoformat(), "agent_id": "ag_1", "action": "read", "status": "success"}
    content = b"\n".join(json.dumps({**good, **fields}).encode() for fields in [{}, *odd])
    outcomes = list(reading.read(FORMATS["native"], BytesIO(content), ReadOptions(now=NOW)))

    stored = store(*outcomes, source_name="odd", idempotency_key=str(uuid4()))

    assert stored.accepted + stored.duplicate + stored.rejected == len(odd) + 1


def test_times_keep_their_microseconds() -> None:
    time = datetime(2026, 11, 20, 1, 2, 3, 456_789, tzinfo=UTC)

    store(record(time=time))

    assert Event.objects.get().time == time


def test_same_id_with_another_time_is_another_event() -> None:
    later = NOW + timedelta(microseconds=1)
    assert store(record("e1"), record("e1", time=later), record("e1", action="again")).duplicate == 1
    assert store(record("e1"), record("e1", time=later)).duplicate == 2
    assert Event.objects.count() == 2


def test_a_batch_with_some_known_events_keeps_the_others_and_its_figures() -> None:
    store(record("e1"), record("e3"))
    stored = store(*(record(f"e{number}") for number in range(5)), record("e4"))
    assert (stored.accepted, stored.duplicate) == (3, 3)
    batch = Batch.objects.latest("id")
    assert (batch.accepted, batch.duplicate, batch.first_time, batch.last_time) == (3, 3, NOW, NOW)
    assert Event.objects.filter(batch=batch).count() == 3


def test_an_agent_renamed_in_flight_stays_the_same_agent() -> None:
    store(record("e1"))
    Agent.objects.update(name="Billing, new")
    store(record("e2", metadata={"agent_name": "Billing, old"}))
    assert Agent.objects.get().name == "Billing, new"
    assert set(Event.objects.values_list("agent__name", flat=True)) == {"Billing, new"}
