"""services/actions: which single actions of an agent have counts of their own."""

import random
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from anomalies.ingest.record import EventRecord
from anomalies.models import BucketBlock, Series
from anomalies.services import actions, counts
from tests import make
from tests.services.days import MONDAY, counted, record, store

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("token.issue", "token.issue"),
        ("oauth2.token", "oauth2.token"),
        ("s3:ListObjectsV2", "s3:ListObjectsV2"),
        ("mfa.2fa.verify", "mfa.2fa.verify"),
        ("api/v2/users/42/files/7", "api/v2/users/*/files/*"),
        ("document.read.550e8400-e29b-41d4-a716-446655440000", "document.read.*"),
        ("job_01HXYZ9K2M3N4P5Q6R7S8T9V0W.run", "job_*.run"),
        ("order-8f3a9c1d", "order-*"),
        ("sync:2026-11-21T10:00:00Z", "sync:*-*-*:*:*"),
        ("feedback.added", "feedback.added"),
    ],
)
def test_ids_are_left_out_of_the_names_of_actions(action: str, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT regexp_replace(%s, %s, '*', 'g')", [action, actions.ID_LIKE])
        assert cursor.fetchone() == (name,)


def test_an_id_in_each_action_makes_one_series() -> None:
    store([record(MONDAY + timedelta(seconds=n), n, action=f"document.{1000 + n}.read") for n in range(50)])
    counts.count_some()
    assert _names() == {"", "document.*.read"}
    assert counted()["action", 3600] == 50


def _events(seed: int = 1) -> list[EventRecord]:
    """Two days of an agent with 12 actions, of which some fail, and of one with 2."""
    rng = random.Random(seed)
    names = [f"{stem}.{'x' * length}" for stem in ("read", "write", "list") for length in (1, 2, 3, 9)]
    return [
        record(
            MONDAY + timedelta(minutes=4 * n),
            n,
            action=rng.choice(names),
            status=rng.choice(["success", "failure"]),
        )
        for n in range(720)
    ] + [record(MONDAY + timedelta(hours=n), n, agent_id="ag_b", action=f"a{'b' * (n % 2)}") for n in range(48)]


def _names(agent: str = "ag_billing") -> set[str]:
    return set(Series.objects.filter(kind="agent", entity=agent, metric="requests").values_list("action", flat=True))


def _known() -> list[Any]:
    blocks = BucketBlock.objects.values_list(
        "series__entity", "series__action", "series__metric", "resolution_seconds", "start", "counts"
    )
    series = Series.objects.values_list("kind", "entity", "action", "metric", "first_time", "last_time")
    return [*sorted(blocks), *sorted(series)]


def test_with_too_many_actions_those_with_the_shortest_names_are_counted_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(actions, "MOST_ACTIONS", 5)
    store(_events())
    counts.count_some()
    assert _names() == {"", "list.x", "read.x", "list.xx", "read.xx", "write.x", "other actions"}
    assert _names("ag_b") == {"", "a", "ab"}
    assert {counted()["action", width] for width in (60, 300, 3600)} == {768}
    agent = make.agent("ag_billing")
    assert actions.counted(agent) == "5 one by one, all with longer names together as other actions"


@pytest.mark.parametrize("seed", range(4))
def test_in_whatever_order_and_batches_events_come_the_same_actions_have_the_same_counts(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(actions, "MOST_ACTIONS", 5)
    events = _events()
    with transaction.atomic():
        store(events)
        counts.count_some()
        at_once = _known()
        transaction.set_rollback(True)
    rng = random.Random(seed)
    rng.shuffle(events)
    while events:
        size = rng.choice([1, 3, 40, 200])
        store(events[:size])
        counts.count_some()
        events = events[size:]
    assert _known() == at_once
