"""What must always hold: the same events give the same buckets and anomalies, however they come."""

import itertools
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from anomalies.ingest.record import EventRecord
from anomalies.models import Anomaly, BucketBlock, Metric, Scan, Series
from anomalies.services import scans, shares
from tests.services.days import MONDAY, burst, judge_all, record, run, store

pytestmark = [pytest.mark.django_db, pytest.mark.once]

DAY_OF_INCIDENTS = MONDAY + timedelta(days=16)
END = DAY_OF_INCIDENTS + timedelta(days=4)
EXAMPLES = 6
DELAYS = [timedelta(hours=hours) for hours in (0, 0.1, 3, 20, 36)]  # within the horizon of 48 hours


def _history() -> list[EventRecord]:
    """Two agents and their users, from their first day on."""
    return [
        record(
            MONDAY + timedelta(minutes=15 * n + number),
            n,
            agent_id=f"ag_{number}",
            principal_id=f"user_{number}{n % 2}",
            ip=f"192.0.2.{number}",
            action=("token.issue", "grant.list")[n % 2],
        )
        for number in range(2)
        for n in range(16 * 96)
    ]


def _spike(start: datetime) -> list[EventRecord]:
    return burst(start, 120, seconds=2, agent_id="ag_0", principal_id="user_00", ip="192.0.2.0")


def _refusals(start: datetime) -> list[EventRecord]:
    return burst(start, 30, seconds=8, agent_id="ag_1", principal_id="user_10", ip="192.0.2.1", status="blocked")


def _guessing(start: datetime) -> list[EventRecord]:
    failed = burst(start, 25, seconds=9, agent_id="sshd", principal_id="root", ip="198.51.100.7", status="failure")
    return [
        *failed,
        record(start + timedelta(minutes=5), 5000, agent_id="sshd", principal_id="root", ip="198.51.100.7"),
    ]


def _rise(start: datetime) -> list[EventRecord]:
    """More from then on, for so long that it becomes usual; with pauses, so that it shows in several spells."""
    more = burst(start, 400, seconds=300, agent_id="ag_0", principal_id="user_01", ip="192.0.2.0")
    return [event for event in more if event.time.hour % 8 < 5]


def _together(start: datetime) -> list[EventRecord]:
    """Three addresses that guess at one user and, slower, a fourth that guesses at others, too."""
    at_one = [
        event
        for n in range(3)
        for event in burst(start + timedelta(seconds=40 * n), 22, seconds=11, agent_id="vpn", principal_id="root",
                           ip=f"198.51.100.{n + 8}", status="failure")
    ]  # fmt: skip
    at_others = [
        record(start + timedelta(seconds=14 * n), 6000 + n, agent_id="vpn", principal_id=("root", "admin")[n % 2],
               ip="198.51.100.20", status="failure")
        for n in range(24)
    ]  # fmt: skip
    return [*at_one, *at_others]


def _slow_refusals(start: datetime) -> list[EventRecord]:
    return burst(start, 16, seconds=6000, agent_id="ag_1", principal_id="mal", ip="198.51.100.9", status="failure")


def _stranger(start: datetime) -> list[EventRecord]:
    return [record(start, 7000, agent_id="ag_1", principal_id="eve", ip="203.0.113.5")]


INCIDENTS = (_spike, _refusals, _guessing, _rise, _slow_refusals, _stranger)


@dataclass(frozen=True)
class Story:
    """What happens in two days, and how it is told; drawn as a few numbers, so that a failure can be read."""

    incidents: list[tuple[int, int]]  # which one, and at which minute
    batch_size: int
    shuffled: bool
    seed: int
    ticks_hours: int
    workers: int

    @property
    def events(self) -> list[EventRecord]:
        usual = [
            record(
                DAY_OF_INCIDENTS + timedelta(minutes=15 * n + number),
                n,
                agent_id=f"ag_{number}",
                principal_id=f"user_{number}{n % 2}",
                ip=f"192.0.2.{number}",
                action=("token.issue", "grant.list")[n % 2],
            )
            for number in range(2)
            for n in range(192)
        ]
        told = [INCIDENTS[which](DAY_OF_INCIDENTS + timedelta(minutes=minute)) for which, minute in self.incidents]
        return sorted(itertools.chain(usual, *told), key=lambda event: event.time)

    def arrivals(self) -> list[tuple[datetime, list[EventRecord]]]:
        """The events in batches, in the order in which they come: late, out of order, and some of them twice."""
        rng = random.Random(self.seed)
        events = self.events
        if self.shuffled:  # within a day, so that none is older than the horizon
            events.sort(key=lambda event: (event.time.date(), rng.random()))
        batches = [events[start : start + self.batch_size] for start in range(0, len(events), self.batch_size)]
        batches += rng.sample(batches, k=min(2, len(batches)))
        longest = DELAYS[:-1] if self.shuffled else DELAYS
        come = [(max(event.time for event in batch) + rng.choice(longest), batch) for batch in batches]
        return sorted(come, key=lambda arrival: arrival[0])


STORIES = st.builds(
    Story,
    incidents=st.lists(
        st.tuples(st.integers(0, len(INCIDENTS) - 1), st.integers(0, 2 * 1440 - 10)),
        min_size=1,
        max_size=3,
        unique_by=lambda incident: incident[0],
    ),
    batch_size=st.integers(20, 200),
    shuffled=st.booleans(),
    seed=st.integers(0, 1000),
    ticks_hours=st.sampled_from([3, 7, 17]),
    workers=st.integers(2, 6),
)


def _known() -> dict[str, list[Any]]:
    standing = (
        Anomaly.objects.standing()
        .exclude(state=Anomaly.State.WITHDRAWN)
        .order_by("type", "kind", "entity", "started_at")
    )
    facts = (
        "type",
        "kind",
        "entity",
        "topic",
        "severity",
        "state",
        "started_at",
        "active_until",
        "description",
        "evidence",
    )
    metrics = Metric.objects.filter(anomaly__in=standing).order_by("name", "anomaly__started_at")
    return {
        "buckets": sorted(
            BucketBlock.objects.values_list(
                "series__kind", "series__entity", "series__action", "resolution_seconds", "start", "counts"
            )
        ),
        "series": sorted(Series.objects.values_list("kind", "entity", "action", "metric", "first_time", "last_time")),
        "anomalies": list(standing.values(*facts)),
        "metrics": list(metrics.values("name", "score", "evidence")),
    }


def _difference(expected: dict[str, list[Any]], found: dict[str, list[Any]]) -> list[Any]:
    """What differs, in few words; empty if nothing does."""
    said: list[Any] = []
    for name in expected:
        pairs = itertools.zip_longest(expected[name], found[name])
        for one, other in itertools.islice((pair for pair in pairs if pair[0] != pair[1]), 3):
            if isinstance(one, dict) and isinstance(other, dict):
                said.append((name, {key: (one[key], other[key]) for key in one if one[key] != other[key]}))
                if "evidence" in said[-1][1]:
                    told = [one["evidence"], other["evidence"]]
                    said[-1][1]["evidence"] = {
                        key: [evidence.get(key) for evidence in told]
                        for key in told[0]
                        if told[0][key] != told[1].get(key)
                    }
            else:
                said.append((name, one, other))
    return said


@pytest.fixture
def history() -> None:
    """Stored once, as every story goes on from it."""
    store(_history())


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@example(  # a replay as of an earlier time than the last scan
    story=Story(incidents=[(3, 2458), (2, 0)], batch_size=20, shuffled=False, seed=0, ticks_hours=3, workers=2)
)
@given(story=STORIES)
def test_any_order_batching_duplication_delay_and_number_of_workers_gives_the_same_buckets_and_anomalies(
    story: Story, history: None
) -> None:
    with transaction.atomic():
        store(story.events)
        run(END)
        at_once = _known()
        transaction.set_rollback(True)
    with transaction.atomic():
        run(DAY_OF_INCIDENTS)
        _tell(story)
        run(END)
        as_it_came = _known()
        run(END + timedelta(minutes=1))
        again = _known()
        scans.replay(now=END)
        replayed = _known()
        transaction.set_rollback(True)
    with transaction.atomic():
        store(story.events)
        judge_all(shares.begin(now=END, trigger=Scan.Trigger.SCHEDULE, shares=story.workers), story.seed)
        shared = _known()
        transaction.set_rollback(True)
    assert _difference(at_once, as_it_came) == []
    assert _difference(as_it_came, again) == []
    assert _difference(at_once, replayed) == []
    assert _difference(at_once, shared) == []


def _tell(story: Story) -> None:
    """Store each batch when it comes, and scan at each tick until the last has come."""
    waiting, tick = story.arrivals(), DAY_OF_INCIDENTS
    while waiting:
        tick += timedelta(hours=story.ticks_hours)
        while waiting and waiting[0][0] <= tick:
            store(waiting.pop(0)[1])
        run(tick)
