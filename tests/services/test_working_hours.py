"""services/working_hours: when an agent is at work."""

from typing import Any

import pytest

from anomalies.services import working_hours
from anomalies.services.access import AgentGoneError
from anomalies.services.actor import Actor
from anomalies.services.working_hours import WorkingHoursError
from tests import make

pytestmark = pytest.mark.django_db

BY = Actor(name="ana")
GOOD: dict[str, Any] = {
    "time_zone": "Europe/Berlin",
    "working_hours": {"0": [9, 17], "6": [0, 24]},
    "holidays": ["2026-12-26", "2026-12-25", "2026-12-25"],
}


def test_they_are_kept_with_who_set_them_and_each_holiday_once() -> None:
    agent = make.agent()
    working_hours.change(agent, **GOOD, by=BY, at=make.NOW)
    assert (agent.time_zone, agent.working_hours) == ("Europe/Berlin", {"0": [9, 17], "6": [0, 24]})
    assert agent.holidays == ["2026-12-25", "2026-12-26"]
    assert (agent.updated_by, agent.updated_at) == ("ana", make.NOW)


def test_a_holiday_written_in_two_ways_is_one() -> None:
    agent = make.agent()
    working_hours.change(agent, **{**GOOD, "holidays": ["20261225", "2026-12-25"]}, by=BY, at=make.NOW)
    assert agent.holidays == ["2026-12-25"]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("time_zone", "Nowhere", "“Nowhere” is no time zone"),
        ("time_zone", "", "“” is no time zone"),
        ("time_zone", "/etc/passwd", "is no time zone"),
        ("working_hours", {"7": [9, 17]}, "“7” is no weekday"),
        ("working_hours", {"0": [9]}, "Monday: from an hour to a later one"),
        ("working_hours", {"0": [17, 9]}, "Monday: from an hour to a later one"),
        ("working_hours", {"0": [0, 25]}, "Monday: from an hour to a later one"),
        ("time_zone", "Europe/Atlantis", "“Europe/Atlantis” is no time zone"),
        ("time_zone", "Europe", "“Europe” is no time zone"),
        ("holidays", ["25.12.2026"], r"“25\.12\.2026” is no date"),
        ("holidays", ["2026-02-30"], "“2026-02-30” is no date"),
        ("holidays", ["Christmas"], "“Christmas” is no date"),
        ("holidays", [""], "“” is no date"),
        ("holidays", ["2026-01-01"] * 1001, "1,001 dates, at most 1,000"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_kept(field: str, value: object, sentence: str) -> None:
    agent = make.agent()
    with pytest.raises(WorkingHoursError, match=sentence) as error:
        working_hours.change(agent, **{**GOOD, field: value}, by=BY, at=make.NOW)
    assert error.value.field == field
    agent.refresh_from_db()
    assert (agent.time_zone, agent.working_hours) == ("UTC", None)


def test_a_deleted_agent_has_none() -> None:
    with pytest.raises(AgentGoneError):
        working_hours.change(make.agent(deleted_at=make.NOW), **GOOD, by=BY, at=make.NOW)
