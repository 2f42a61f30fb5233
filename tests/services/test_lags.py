"""services/lags: how late a source is, whatever the order of its batches, and what came too late."""

import itertools
import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pytest

from anomalies.models import Series, Source
from anomalies.services import counts, events, histories, lags
from tests.make import NOW
from tests.services.days import record, run

pytestmark = [pytest.mark.django_db, pytest.mark.once]

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


def _lag(agent: str = "ag_billing", now: datetime = NOW) -> float:
    """For how long events of an agent are waited for."""
    window = histories.Window(agent, NOW - DAY, NOW - DAY, NOW)
    return float(histories.load(Series.Kind.AGENT, [window], until=now).lag[0])


@pytest.mark.parametrize("order", list(itertools.permutations(["quick", "slow", "slower"])))
@pytest.mark.parametrize("at_once", [True, False])
def test_a_series_is_waited_for_as_its_slowest_source_needs_whichever_came_last(
    order: Sequence[str], at_once: bool
) -> None:
    delays = {"quick": 3.0, "slow": 200.0, "slower": 400.0}
    for source in order:
        store([delays[source]], name=source, source=source)
        if not at_once:
            run(NOW)
    run(NOW)
    assert _lag() == 512.0
    assert set(Series.objects.filter(kind="agent").values_list("lag_seconds", flat=True)) == {512.0}


def test_a_series_is_waited_for_as_long_as_its_source_needs_by_now() -> None:
    store([3.0])
    run(NOW)
    assert _lag() == lags.LEAST_LAG
    late = [record(NOW - timedelta(seconds=1000), n, agent_id="ag_other") for n in range(9)]
    events.store(late, source_name="test", format="native", received_at=NOW)
    run(NOW)
    assert _lag() == 1024.0


def test_a_source_that_sends_nothing_any_more_is_not_waited_for() -> None:
    store([1000.0], source="slow")
    store([3.0], name="quick", source="quick")
    run(NOW)
    assert _lag(now=NOW + lags.LATELY_DAYS * DAY) == 1024.0
    assert _lag(now=NOW + lags.LATELY_DAYS * DAY + HOUR) == lags.LEAST_LAG


def test_events_of_more_sources_than_there_are_bits_are_counted_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "MAX_SOURCES", 2)
    for number in range(5):
        store([200.0 * number], name=str(number), source=f"source {number}")
    scan = run(NOW)
    assert (scan.batches_counted, scan.events_counted) == (5, 5)
    [series] = Series.objects.filter(kind="tenant", metric="requests")
    assert series.source_ids == sorted(Source.objects.values_list("id", flat=True))


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


def test_a_clock_that_is_ahead_makes_no_source_complete_beyond_now() -> None:
    store([3600.0, 60.0])
    store([-7200.0], name="ahead")
    assert Source.objects.get().watermark == NOW


def test_events_of_a_clock_that_is_ahead_or_jumps_back_are_counted_at_the_time_they_say() -> None:
    store([-7200.0])
    store([7200.0], name="back")
    assert run(NOW).events_counted == 2
    [series] = Series.objects.filter(kind="agent", metric="requests", action="")
    assert (series.first_time, series.last_time) == (NOW - 2 * HOUR, NOW + 2 * HOUR)
    assert (series.judged_until, series.dirty_from) == (NOW, NOW)  # it is looked at again once that time has come
    assert Source.objects.get().late_events == 0


def test_the_watermark_never_falls_though_a_clock_jumps_back() -> None:
    store([10.0])
    store([7200.0], name="back")
    assert Source.objects.get().watermark == NOW - timedelta(seconds=10)
