"""services/pacing: when a channel is told, in its own time zone."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from anomalies.models import Channel
from anomalies.services import pacing

BERLIN = ZoneInfo("Europe/Berlin")
GOOD: dict[str, Any] = {
    "pace": "at_once",
    "digest_at": "09:00",
    "time_zone": "UTC",
    "quiet_from": "",
    "quiet_to": "",
    "quiet_days": [*range(7)],
    "urgent_at_once": False,
}


def berlin(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


def paced(**fields: Any) -> Channel:
    return Channel(**{"time_zone": "Europe/Berlin", **fields})


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-11-20T21:59", None),
        ("2026-11-20T22:00", "2026-11-21T07:00"),  # a Friday
        ("2026-11-21T06:59", "2026-11-21T07:00"),
        ("2026-11-21T07:00", None),
        ("2026-11-21T23:00", None),  # a Saturday: not one of the days
        ("2026-11-22T03:00", None),
        ("2026-10-25T01:00", None),
        ("2026-03-27T23:00", "2026-03-28T07:00"),
    ],
)
def test_quiet_hours_go_over_midnight_from_the_days_on_which_they_begin(at: str, until: str | None) -> None:
    channel = paced(quiet_from="22:00", quiet_to="07:00", quiet_days=[0, 1, 2, 3, 4])
    assert pacing.quiet_until(channel, berlin(at)) == (until and berlin(until))


def test_quiet_days_that_join_are_one_time() -> None:
    weekend = paced(quiet_from="00:00", quiet_to="00:00", quiet_days=[5, 6])
    assert pacing.quiet_until(weekend, berlin("2026-11-20T23:59")) is None
    assert pacing.quiet_until(weekend, berlin("2026-11-21T12:00")) == berlin("2026-11-23T00:00")


def test_quiet_hours_end_by_the_clock_on_the_wall_when_it_is_set_back() -> None:
    channel = paced(quiet_from="22:00", quiet_to="07:00")
    night = berlin("2026-10-24T22:00")
    until = pacing.quiet_until(channel, night)
    assert until == berlin("2026-10-25T07:00")
    assert (until - night).total_seconds() == 10 * 3600


@pytest.mark.parametrize(
    ("pace", "at", "last", "next_"),
    [
        ("hourly", "2026-11-20T14:05", "2026-11-20T14:00", "2026-11-20T15:00"),
        ("hourly", "2026-11-20T14:00", "2026-11-20T14:00", "2026-11-20T15:00"),
        ("daily", "2026-11-20T08:59", "2026-11-19T09:00", "2026-11-20T09:00"),
        ("daily", "2026-11-20T09:00", "2026-11-20T09:00", "2026-11-21T09:00"),
        ("daily", "2026-10-24T10:00", "2026-10-24T09:00", "2026-10-25T09:00"),
    ],
)
def test_digests_are_due_at_the_hour_and_at_a_time_of_the_day(pace: str, at: str, last: str, next_: str) -> None:
    channel = paced(pace=pace)
    assert pacing.last_slot(channel, berlin(at)) == berlin(last)
    assert pacing.next_turn(channel, berlin(at)) == berlin(next_)


def test_a_digest_that_is_due_in_quiet_hours_comes_when_they_end() -> None:
    channel = paced(pace="daily", digest_at="06:00", quiet_from="22:00", quiet_to="07:30")
    assert pacing.next_turn(channel, berlin("2026-11-20T14:00")) == berlin("2026-11-21T07:30")
    assert pacing.next_turn(paced(), berlin("2026-11-20T14:00")) is None


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("pace", {"pace": "weekly"}),
        ("digest_at", {"digest_at": ""}),
        ("digest_at", {"digest_at": "25:00"}),
        ("digest_at", {"digest_at": 9}),
        ("time_zone", {"time_zone": "Mars/Base"}),
        ("time_zone", {"time_zone": None}),
        ("quiet_from", {"quiet_from": "8", "quiet_to": "09:00"}),
        ("quiet_from", {"quiet_to": "09:00"}),
        ("quiet_to", {"quiet_from": "22:00"}),
        ("quiet_to", {"quiet_from": "22:00", "quiet_to": "22:00"}),
        ("quiet_days", {"quiet_from": "22:00", "quiet_to": "07:00", "quiet_days": []}),
        ("quiet_days", {"quiet_days": [7]}),
        ("quiet_days", {"quiet_days": "all"}),
        ("urgent_at_once", {"urgent_at_once": "yes"}),
    ],
)
def test_what_makes_no_sense_is_named(field: str, wanted: dict[str, Any]) -> None:
    assert pacing.errors_of(GOOD, digests=True) == {}
    assert list(pacing.errors_of({**GOOD, **wanted}, digests=True)) == [field]


def test_a_kind_that_takes_no_digests_is_told_at_once() -> None:
    assert list(pacing.errors_of({**GOOD, "pace": "daily"}, digests=False)) == ["pace"]
    assert pacing.errors_of(GOOD, digests=False) == {}
