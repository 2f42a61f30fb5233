"""web/period: relative and absolute times, in the reviewer's zone."""

from datetime import UTC, datetime
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from anomalies.web.listing.period import NAMES, Period, PeriodField, before, floor

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 31, 14, 25, 9, tzinfo=UTC)


def period(**typed: str) -> Period | None:
    field = PeriodField(required=False)
    with patch("django.utils.timezone.now", return_value=NOW), timezone.override(BERLIN):
        return field.clean({name: typed.get(name.rstrip("_"), typed.get(f"{name}_", "")) for name in NAMES})


@pytest.mark.parametrize(
    ("typed", "start", "summary"),
    [
        ({"last": "3", "unit": "hours"}, datetime(2026, 3, 31, 11, 25, 9, tzinfo=UTC), "Last 3 hours"),
        ({"last": "3", "unit": "hours", "round": "1"}, datetime(2026, 3, 31, 11, 0, tzinfo=UTC), "Last 3 hours"),
        ({"last": "1"}, datetime(2026, 3, 30, 14, 25, 9, tzinfo=UTC), "Last day"),
        ({"last": "1", "round": "1"}, datetime(2026, 3, 29, 22, 0, tzinfo=UTC), "Last day"),
        ({"last": "1", "unit": "months"}, datetime(2026, 2, 28, 15, 25, 9, tzinfo=UTC), "Last month"),
        ({"last": "1", "unit": "months", "round": "1"}, datetime(2026, 1, 31, 23, 0, tzinfo=UTC), "Last month"),
        ({"last": "14", "unit": "months"}, datetime(2025, 1, 31, 15, 25, 9, tzinfo=UTC), "Last 14 months"),
    ],
)
def test_relative_reaches_back_from_now(typed: dict[str, str], start: datetime, summary: str) -> None:
    found = period(**typed)
    assert found is not None
    assert (found.start, found.end, found.summary) == (start, None, summary)


def test_absolute_is_in_the_reviewers_zone_or_in_utc() -> None:
    local = period(from_="2026-07-01T10:00", to="2026-07-02T10:00")
    assert local is not None
    assert (local.start, local.end) == (datetime(2026, 7, 1, 8, tzinfo=UTC), datetime(2026, 7, 2, 8, tzinfo=UTC))
    assert local.summary == "1 Jul 10:00 to 2 Jul 10:00"
    utc = period(from_="2025-07-01T10:00", utc="1")
    assert utc is not None
    assert (utc.start, utc.end) == (datetime(2025, 7, 1, 10, tzinfo=UTC), None)
    assert utc.summary == "From 1 Jul 2025 10:00 UTC"


def test_the_tab_that_is_chosen_decides() -> None:
    both = {"last": "3", "unit": "days", "to": "2026-01-01"}
    relative, absolute = period(when="relative", **both), period(when="absolute", **both)
    assert relative is not None
    assert relative.query == {"last": "3", "unit": "days"}
    assert absolute is not None
    assert absolute.query == {"to": "2026-01-01"}


def test_an_hour_is_an_hour_when_the_clocks_change() -> None:
    after = datetime(2026, 3, 29, 4, 0, tzinfo=BERLIN)
    assert before(after, 3, "hours") == datetime(2026, 3, 28, 23, 0, tzinfo=UTC)


def test_floors() -> None:
    moment = datetime(2026, 5, 17, 14, 25, 9, 7, tzinfo=UTC)
    assert [floor(moment, unit).isoformat()[:16] for unit in ("hours", "days", "months")] == [
        "2026-05-17T14:00",
        "2026-05-17T00:00",
        "2026-05-01T00:00",
    ]
