"""services/lags: how late a source is, whatever the order of its batches, and what came too late."""

import random
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from anomalies.models import Series, Source
from anomalies.services import events, lags
from tests.make import NOW
from tests.services.days import record, run

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def store(delays: Sequence[float], *, name: str = "", source: str = "test", live: bool = True) -> None:
    given = [record(NOW - timedelta(seconds=delay), n, external_id=f"{name}{n}") for n, delay in enumerate(delays)]
    events.store(given, source_name=source, format="native", received_at=NOW, live=live)


@pytest.mark.parametrize(
    ("delays", "expected"),
    [
        ([], 0.0),
        ([-300.0, 0.2, 1.0], 1.0),
        ([1.2], 2**0.5),
        ([60.0] * 99 + [3600.0], 64.0),
        ([60.0] * 98 + [3600.0] * 2, 4096.0),
        ([172_800.0], 172_800.0),
        ([172_801.0, 1e8], 0.0),
    ],
)
def test_lag_is_the_end_of_the_class_that_holds_99_of_100(delays: list[float], expected: float) -> None:
    assert lags.lag_of(np.array(lags.classified(np.array(delays)))) == pytest.approx(expected)


def test_lag_is_the_same_in_whatever_order_and_batches_events_come() -> None:
    chance = random.Random(3)
    delays = [chance.expovariate(1 / 300) for _ in range(600)]
    for name, size in (("whole", 600), ("parts", 70)):
        random.Random(size).shuffle(delays)
        for start in range(0, 600, size):
            store(delays[start : start + size], name=f"{name}{start}", source=name)
            if start % 140 == 0:
                run(NOW)
    run(NOW)
    whole, parts = Source.objects.order_by("-name").values_list("lag_seconds", flat=True)
    assert whole == parts > 1000


def test_files_and_what_is_older_than_the_horizon_tell_nothing() -> None:
    store([3 * 365 * 86400.0] * 50)
    store([40 * 3600.0] * 50, name="file", live=False)
    store([5.0] * 50, name="live")
    run(NOW)
    assert Source.objects.get().lag_seconds == pytest.approx(2**2.5)


def test_a_series_knows_the_lag_of_the_source_that_fed_it_last() -> None:
    store([200.0])
    run(NOW)
    assert set(Series.objects.filter(kind="agent").values_list("lag_seconds", flat=True)) == {256.0}


def test_what_is_later_than_the_horizon_is_counted_once_for_its_source() -> None:
    store([0.0, 60.0])
    run(NOW)
    assert Source.objects.get().late_events == 0
    store([47 * 3600.0, 49 * 3600.0, 90 * 3600.0], name="late")
    store([50 * 3600.0], name="other", source="other")
    for _ in range(2):
        run(NOW + timedelta(minutes=1))
        store([47 * 3600.0, 49 * 3600.0], name="late")  # duplicates
    assert dict(Source.objects.values_list("name", "late_events")) == {"test": 2, "other": 1}


def test_the_first_log_of_an_agent_is_not_late_however_old() -> None:
    store([0.0])
    run(NOW)
    old = [record(NOW - 90 * DAY, agent_id="ag_new")]
    list(events.store_in_batches(old, source_name="test", format="native", received_at=NOW))
    run(NOW + timedelta(minutes=1))
    assert Source.objects.get().late_events == 0


def test_the_watermark_never_falls_though_a_clock_jumps_back() -> None:
    store([10.0])
    store([7200.0], name="back")
    assert Source.objects.get().watermark == NOW - timedelta(seconds=10)
