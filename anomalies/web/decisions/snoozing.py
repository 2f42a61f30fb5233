"""Until when something may be snoozed, as reviewers say it."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta

from django.http import QueryDict
from django.utils import timezone

from anomalies.services.reviews import ReviewError

MORNING = time(9)  # in the reviewer's zone
AT = "at"  # a date and time that they write


@dataclass(frozen=True, slots=True)
class Choice:
    word: str
    label: str
    until: datetime


def choices(now: datetime) -> list[Choice]:
    """Return what can be chosen without writing a time."""
    today = timezone.localdate(now)
    monday = today + timedelta(days=7 - today.weekday())
    return [
        Choice("1h", "1 hour", timezone.localtime(now + timedelta(hours=1))),
        Choice("4h", "4 hours", timezone.localtime(now + timedelta(hours=4))),
        Choice("tomorrow", "Tomorrow", _own_zone(datetime.combine(today + timedelta(days=1), MORNING))),
        Choice("monday", "Next Monday", _own_zone(datetime.combine(monday, MORNING))),
    ]


def until_of(posted: QueryDict, *, now: datetime) -> datetime:
    """Return the time that was chosen or written. Raises ReviewError."""
    word = posted.get("until", "")
    if word != AT:
        known = {choice.word: choice.until for choice in choices(now)}
        if word not in known:
            raise ReviewError(f"until: “{word[:40]}” is none of {', '.join([*known, AT])}.")
        return known[word]
    written = posted.get("until_at", "")
    try:
        return _own_zone(datetime.fromisoformat(written))
    except ValueError:
        raise ReviewError(f"until: “{written[:40]}” is no date and time.") from None


def _own_zone(at: datetime) -> datetime:
    return at if timezone.is_aware(at) else timezone.make_aware(at)
