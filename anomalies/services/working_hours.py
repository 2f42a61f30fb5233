"""When an agent is at work: its zone, its hours and its holidays."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from zoneinfo import ZoneInfo

from anomalies.models import Agent
from anomalies.services.access import AgentGoneError
from anomalies.services.actor import Actor

MOST_HOLIDAYS = 1000


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WRONG_SPAN = "from an hour to a later one, 0 to 24, such as 9-17."
_HOURS = re.compile(r"(\d{1,2})(?::00)?\s*(?:-|to)\s*(\d{1,2})(?::00)?")


class WorkingHoursError(Exception):
    """What cannot be set; `field` is that of the agent."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        super().__init__(reason)


def hours_of(text: str) -> list[int]:
    """Return the hours of a day as they are typed: `9-17`, `09:00 to 17:00`. Raises WorkingHoursError."""
    if not (found := _HOURS.fullmatch(text.strip())):
        raise WorkingHoursError("working_hours", f"“{text[:40]}” is no span of hours such as 9-17.")
    hours = [int(found[1]), int(found[2])]
    if not _is_span(hours):
        raise WorkingHoursError("working_hours", _WRONG_SPAN)
    return hours


def _is_span(hours: Sequence[int]) -> bool:
    return len(hours) == 2 and 0 <= hours[0] < hours[1] <= 24


def check(*, time_zone: str, working_hours: Mapping[str, Sequence[int]] | None, holidays: Sequence[str]) -> None:
    """Raise WorkingHoursError if they cannot be an agent's."""
    try:
        ZoneInfo(time_zone)
    except (KeyError, OSError, ValueError) as error:  # a wrong name raises any of them
        raise WorkingHoursError(
            "time_zone", f"“{time_zone}” is no time zone; it is a name such as Europe/Berlin."
        ) from error
    for weekday, hours in (working_hours or {}).items():
        if weekday not in ("0", "1", "2", "3", "4", "5", "6"):
            raise WorkingHoursError("working_hours", f"“{weekday}” is no weekday; 0 is Monday, 6 is Sunday.")
        if not _is_span(hours):
            raise WorkingHoursError("working_hours", f"{WEEKDAYS[int(weekday)].title()}: {_WRONG_SPAN}")
    if len(holidays) > MOST_HOLIDAYS:
        raise WorkingHoursError("holidays", f"{len(holidays):,} dates, at most {MOST_HOLIDAYS:,} are kept.")
    for day in holidays:
        try:
            date.fromisoformat(day)
        except ValueError as error:
            raise WorkingHoursError("holidays", f"“{day}” is no date such as 2026-12-25.") from error


def change(
    agent: Agent,
    *,
    time_zone: str,
    working_hours: Mapping[str, Sequence[int]] | None,
    holidays: Sequence[str],
    by: Actor,
    at: datetime,
) -> None:
    """Set them; without working hours, detection learns them. Raises WorkingHoursError, or AgentGoneError."""
    check(time_zone=time_zone, working_hours=working_hours, holidays=holidays)
    changed = Agent.objects.filter(pk=agent.pk, deleted_at__isnull=True).update(
        time_zone=time_zone,
        working_hours=working_hours,
        holidays=sorted({date.fromisoformat(day).isoformat() for day in holidays}),
        updated_at=at,
        updated_by=by.name,
    )
    if not changed:
        raise AgentGoneError(agent)
    agent.refresh_from_db()
