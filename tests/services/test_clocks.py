"""services/histories and off hours: hours as each agent's own clock shows them, whatever that clock does."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

from anomalies.detection.history import History
from anomalies.models import Agent, Anomaly, Series
from anomalies.services import counts, histories, scans
from tests.services.days import burst, record, store

pytestmark = pytest.mark.django_db

BERLIN = ZoneInfo("Europe/Berlin")
SPRING, AUTUMN = date(2026, 3, 29), date(2026, 10, 25)  # days of 23 and of 25 hours
WEEKDAYS = {str(day): [9, 17] for day in range(5)}


def _history(first: datetime, hours: int, **agent: object) -> History:
    """One event in each of those hours of an agent."""
    store([record(first + timedelta(hours=hour, minutes=1)) for hour in range(hours)])
    counts.count_some()
    Agent.objects.update(**agent)
    last = first + timedelta(hours=hours)
    return histories.load(Series.Kind.AGENT, [histories.Window("ag_billing", first, first, last)], until=last)


def _clock(history: History, day: date, zone: ZoneInfo) -> list[int]:
    """The local hours of that local day, as the calendar has them."""
    starts = [datetime.fromtimestamp(start, zone) for start in history.hours.starts]
    return [
        int(hour) % 24
        for start, hour in zip(starts, history.calendar.hour_of_week[0], strict=True)
        if start.date() == day
    ]


def _local(*when: int, zone: str) -> datetime:
    return datetime(*when, tzinfo=ZoneInfo(zone)).astimezone(UTC)  # type: ignore[misc,arg-type]


def _at_work(history: History, first: datetime, last: datetime) -> list[bool]:
    inside = [first.timestamp() <= start < last.timestamp() for start in history.hours.starts]
    return [bool(one) for one in history.calendar.at_work[0][np.array(inside)]]


def test_the_day_the_clock_goes_forward_has_no_two_oclock() -> None:
    history = _history(datetime(2026, 3, 27, tzinfo=UTC), 96, time_zone="Europe/Berlin")
    assert _clock(history, SPRING, BERLIN) == [0, 1, *range(3, 24)]


def test_the_day_the_clock_goes_back_has_two_oclock_twice() -> None:
    history = _history(datetime(2026, 10, 23, tzinfo=UTC), 96, time_zone="Europe/Berlin")
    assert _clock(history, AUTUMN, BERLIN) == [0, 1, 2, *range(2, 24)]


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
def test_no_event_is_lost_or_doubled_when_the_clock_changes(day: date) -> None:
    first = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=2)
    history = _history(first, 96, time_zone="Europe/Berlin")
    assert history.hours.requests[0].sum() == 96
    assert history.hours.requests[0].max() == 1
    week: NDArray[np.int64] = history.calendar.hour_of_week[0].astype(np.int64)
    steps = np.diff(week) % 168
    assert sorted(set(steps.tolist())) == ([1, 2] if day == SPRING else [0, 1])
    assert np.count_nonzero(steps != 1) == 1


@pytest.mark.parametrize(("day", "shift"), [(SPRING, 1), (AUTUMN, -1)])
def test_working_hours_begin_an_hour_of_utc_apart_before_and_after_the_change(day: date, shift: int) -> None:
    first = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=3)
    history = _history(first, 6 * 24, time_zone="Europe/Berlin", working_hours=WEEKDAYS)
    begins = [
        datetime.fromtimestamp(history.hours.starts[hour], UTC)
        for hour in np.flatnonzero(np.diff(history.calendar.at_work[0].astype(int)) == 1) + 1
    ]
    assert begins[0].hour - begins[-1].hour == shift
    assert [start.astimezone(BERLIN).hour for start in begins] == [9] * len(begins)
    assert history.calendar.at_work[0].sum() == 8 * len(begins) == 40


def test_a_holiday_is_a_day_of_the_agents_own_clock() -> None:
    zone = "Pacific/Kiritimati"  # UTC+14: its Monday begins on Sunday, 10:00 UTC
    first = datetime(2026, 10, 2, tzinfo=UTC)
    hours = {"time_zone": zone, "working_hours": WEEKDAYS, "holidays": ["2026-10-06"]}
    history = _history(first, 6 * 24, **hours)
    monday, tuesday, wednesday = (_local(2026, 10, day, zone=zone) for day in (5, 6, 7))
    assert monday == datetime(2026, 10, 4, 10, tzinfo=UTC)
    assert sum(_at_work(history, monday, tuesday)) == 8
    assert sum(_at_work(history, tuesday, wednesday)) == 0
    free = history.calendar.free[0][np.searchsorted(history.hours.starts, tuesday.timestamp())]
    assert free


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_no_minute_at_work_is_off_hours_where_clocks_are_off_by_half_an_hour(zone: str) -> None:
    first = datetime(2026, 10, 2, tzinfo=UTC)
    history = _history(first, 6 * 24, time_zone=zone, working_hours=WEEKDAYS, holidays=["2026-10-06"])
    minutes = [first + timedelta(minutes=15 * n) for n in range(4 * 6 * 24)]
    off = 0
    for minute in minutes:
        local = minute.astimezone(ZoneInfo(zone))
        works = local.weekday() < 5 and 9 <= local.hour < 17 and local.date() != date(2026, 10, 6)
        said = bool(history.calendar.at_work[0][history.hours.index(minute.timestamp())])
        assert said or not works
        off += said and not works
    assert off <= 4 * 4  # of each day at work at most an hour


def _nights(zone: str, first: date, days: int, extra: Sequence[datetime]) -> list[Anomaly]:
    """What is raised of an agent at work from 9 to 17 on weekdays of its clock, and at these other times."""
    records = []
    for day in range(days):
        for quarter in range(4 * 24):
            local = datetime(
                first.year, first.month, first.day, quarter // 4, 15 * (quarter % 4), tzinfo=ZoneInfo(zone)
            )
            local += timedelta(days=day)  # by the wall clock
            if local.weekday() < 5 and 9 <= local.hour < 17:
                records.append(record(local.astimezone(UTC)))
    for number, at in enumerate(extra):
        records += burst(at, 3, seconds=60 + number)
    store(records)
    Agent.objects.update(time_zone=zone, working_hours=WEEKDAYS)
    scans.replay(now=max(one.time for one in records) + timedelta(days=2))
    return list(Anomaly.objects.filter(type="off_hours_activity").order_by("started_at"))


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Kiritimati", "America/St_Johns"]
)
def test_an_agent_that_keeps_its_hours_is_never_raised(zone: str) -> None:
    assert _nights(zone, date(2026, 10, 12), 21, []) == []  # Berlin's clock goes back on the 25th


@pytest.mark.parametrize(
    ("zone", "start", "told"),
    [
        ("Asia/Kolkata", (2026, 10, 21, 2, 30), "between 02:30 and 04:30 on Wednesday (Asia/Kolkata)"),
        ("Pacific/Kiritimati", (2026, 10, 21, 2), "between 02:00 and 04:00 on Wednesday (Pacific/Kiritimati)"),
        ("Europe/Berlin", (2026, 10, 25, 1), "between 01:00 CEST and 02:00 CET on Sunday (Europe/Berlin)"),
    ],
)
def test_a_night_is_told_by_the_agents_clock(zone: str, start: tuple[int, ...], told: str) -> None:
    first = _local(*start, zone=zone)
    times = [first + timedelta(minutes=10 * number) for number in range(12)]
    [night] = _nights(zone, date(2026, 10, 12), 16, times)
    assert told in night.description
    assert night.evidence["event_count"] == 36
    assert night.evidence["observed"] >= 12


def test_the_hour_that_comes_twice_counts_twice() -> None:
    """From 02:00 of summer time on: twice an hour, both of them called two o'clock."""
    first = datetime(2026, 10, 25, 0, tzinfo=UTC)
    [night] = _nights("Europe/Berlin", date(2026, 10, 12), 16, [first + timedelta(minutes=10 * n) for n in range(12)])
    assert "between 02:00 CEST and 03:00 CET on Sunday" in night.description
    assert night.active_until - night.started_at == timedelta(hours=2)
    assert night.evidence["event_count"] == 36
