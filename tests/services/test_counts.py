"""services/counts: every event in its buckets, once."""

from datetime import timedelta

import pytest
from django.db.models import Sum

from anomalies.models import (
    Agent,
    AgentPrincipal,
    Batch,
    BucketBlock,
    Event,
    Series,
)
from anomalies.services import counts
from tests.services.days import MONDAY, burst, counted, record, run, store, usual

pytestmark = pytest.mark.django_db


def test_every_event_is_in_one_bucket_of_each_resolution() -> None:
    store([*usual(2), *burst(MONDAY, 40, agent_id="ag_b", principal_id="ana", ip="192.0.2.1", status="blocked")])
    run(MONDAY + timedelta(days=3))
    total = Event.objects.count()
    sums = counted()
    assert {sums[kind, width] for kind in ("agent", "action", "tenant") for width in (60, 300, 3600)} == {total}
    assert sums["principal", 300] == sums["address", 3600] == 40
    assert Series.objects.filter(metric="failures", entity="192.0.2.1").exists()


def test_a_bucket_holds_the_events_of_its_time() -> None:
    store([record(MONDAY + timedelta(hours=23, minutes=59, seconds=59)), record(MONDAY + timedelta(days=1), 1)])
    run(MONDAY + timedelta(days=2))
    of_agent = BucketBlock.objects.filter(series__kind="agent", series__action="", resolution_seconds=300)
    assert [(block.counts[287], block.counts[0]) for block in of_agent.order_by("start")] == [(1, 0), (0, 1)]


def test_batches_are_counted_once_however_often_it_runs() -> None:
    store(usual(1))
    first, second = run(MONDAY + timedelta(days=1)), run(MONDAY + timedelta(days=1, minutes=1))
    assert (first.events_counted, second.events_counted) == (Event.objects.count(), 0)
    assert counted()["agent", 300] == Event.objects.count()
    assert not Batch.objects.filter(counted_at=None).exists()


def test_a_crash_while_counting_counts_nothing_and_the_next_run_all(monkeypatch: pytest.MonkeyPatch) -> None:
    store(usual(1))
    with monkeypatch.context() as patched:
        patched.setattr(counts, "_DONE", "SELECT 1 / (%s::int[] IS NULL)::int")
        with pytest.raises(Exception, match="division by zero"):
            counts.count_some()
    assert not Series.objects.exists()
    run(MONDAY + timedelta(days=1))
    assert counted()["agent", 3600] == Event.objects.count()


def test_sums_of_accepted_match_the_buckets() -> None:
    store(usual(3))
    store(usual(3))  # duplicates
    run(MONDAY + timedelta(days=4))
    accepted = Batch.objects.aggregate(total=Sum("accepted"))["total"]
    assert accepted == Event.objects.count() == counted()["agent", 300]


def test_meetings_and_first_seen_are_kept() -> None:
    store([record(MONDAY, 1, principal_id="ana"), record(MONDAY - timedelta(hours=1), 2, principal_id="ana")])
    run(MONDAY + timedelta(minutes=1))
    pair = AgentPrincipal.objects.get()
    assert (pair.first_seen, pair.last_seen) == (MONDAY - timedelta(hours=1), MONDAY)
    assert Agent.objects.get().first_seen == MONDAY - timedelta(hours=1)
