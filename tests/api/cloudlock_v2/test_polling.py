"""api/cloudlock_v2: a poller as the contract describes it."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from anomalies.models import Anomaly, ReviewEntry, Scan
from anomalies.services import reviews
from anomalies.services.actor import Actor
from tests import make
from tests.api.cloudlock_v2.expected import CREATED
from tests.api.conftest import Call

pytestmark = pytest.mark.django_db

MICROSECOND = timedelta(microseconds=1)


class Poller:
    """Asks for what is new since the last item seen; knows nothing but the contract."""

    def __init__(self, call: Call, limit: int) -> None:
        self.call, self.limit = call, limit
        self.last, self.seen_at_last = "", 0

    def page(self) -> list[dict[str, Any]]:
        since = {"created_after": self.last, "offset": self.seen_at_last} if self.last else {}
        query = urlencode({"order": "created_at", "limit": self.limit, **since})
        items: list[dict[str, Any]] = self.call("GET", f"/api/v2/threats?{query}").json()["items"]
        if items:
            last = items[-1]["created_at"]
            sharing = sum(item["created_at"] == last for item in items)
            self.seen_at_last = sharing + (self.seen_at_last if last == self.last else 0)
            self.last = last
        return items

    def pages(self) -> Iterator[list[dict[str, Any]]]:
        while items := self.page():
            yield items


@pytest.mark.parametrize("limit", [300, 7000])
def test_a_poller_sees_each_of_10000_exactly_once_while_new_ones_arrive(call: Call, limit: int) -> None:
    one = make.anomaly(id=1, created_at=CREATED)
    times = [CREATED + number * MICROSECOND for number in range(1, 9000)]
    times[4000:4000] = [times[4000]] * 1000  # in the middle, each at the same time
    make.copies(one, times, first=2)
    poller, seen = Poller(call, limit), Counter[int]()
    arrived = 10_000
    latest = times[-1]
    for number, items in enumerate(poller.pages()):
        seen.update(item["id"] for item in items)
        if number < 12:  # two at one time, and one at the time of the last
            make.copies(one, [latest, latest + MICROSECOND, latest + MICROSECOND], first=arrived + 1)
            arrived, latest = arrived + 3, latest + MICROSECOND
        reviews.resolve(
            Anomaly.objects.get(pk=items[-1]["id"]), verdict="benign", by=Actor(name="ana"), at=make.NOW
        )  # what people decide meanwhile shifts nothing
    assert arrived > 10_000
    assert seen == Counter(range(1, arrived + 1))


def test_a_poller_misses_nothing_of_a_scan_whose_workers_are_not_done_in_order(call: Call) -> None:
    poller, seen = Poller(call, 10), Counter[int]()
    scan = make.scan(finished_at=None)
    make.anomaly(id=1, scan=scan, created_at=CREATED + MICROSECOND)  # of the worker that began later
    seen.update(item["id"] for item in poller.page())
    make.anomaly(id=2, scan=scan, created_at=CREATED)
    Scan.objects.filter(pk=scan.pk).update(finished_at=make.NOW)
    for items in poller.pages():
        seen.update(item["id"] for item in items)
    assert seen == Counter([1, 2])


@pytest.mark.parametrize("seed", range(5))
def test_a_poller_sees_each_exactly_once_however_scans_end_and_their_workers_commit(call: Call, seed: int) -> None:
    chance = random.Random(seed)
    poller, seen, made, clock = Poller(call, 7), Counter[int](), Counter[int](), CREATED
    for _ in range(10):
        scan = make.scan(finished_at=None)
        times = [clock + chance.randrange(5) * MICROSECOND for _ in range(chance.randrange(12))]
        clock += 5 * MICROSECOND
        for at in times:  # who was the first to insert is not the first to commit
            made[make.anomaly(scan=scan, created_at=at).pk] += 1
            if chance.random() < 0.4:
                seen.update(item["id"] for item in poller.page())
        if chance.random() < 0.7:  # else it dies, and the next one begins
            Scan.objects.filter(pk=scan.pk).update(finished_at=make.NOW)
    make.scan()
    for items in poller.pages():
        seen.update(item["id"] for item in items)
    assert seen == made


def test_a_poller_misses_nothing_when_what_it_saw_last_becomes_part_of_what_comes_next(call: Call) -> None:
    poller, seen = Poller(call, 10), Counter[int]()
    part = make.anomaly(id=1, created_at=CREATED)
    seen.update(item["id"] for item in poller.page())
    scan = make.scan(now=make.NOW + timedelta(minutes=1))
    whole = make.anomaly(id=2, created_at=CREATED + MICROSECOND, scan=scan)
    Anomaly.objects.filter(pk=part.pk).update(merged_into=whole)
    ReviewEntry.objects.create(anomaly=part, action="merged", at=scan.now, actor="detection")
    for items in poller.pages():
        seen.update(item["id"] for item in items)
    assert seen == Counter([1, 2])
