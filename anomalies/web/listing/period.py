"""The filter by time: the last so many hours, days or months, or from one moment to another."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django.utils import timezone

from anomalies.web.zone import clock_time

UNITS = ("hours", "days", "months")
EXAMPLES = {"hours": 24, "days": 7, "months": 3}  # beside each unit
MOST = 9999
NAMES = ("when", "last", "unit", "round", "from", "to", "utc")


@dataclass(frozen=True, slots=True)
class Period:
    """`start` is included, `end` is not; `query` is what the URL says of it."""

    start: datetime | None
    end: datetime | None
    summary: str
    query: dict[str, str] = field(default_factory=dict)


class PeriodWidget(forms.Widget):
    """Reads the parameters of both tabs; the template draws them."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, str]:  # noqa: ARG002  as in Django
        return {key: str(data.get(key, "")).strip() for key in NAMES}


class PeriodField(forms.Field):
    """Turns the parameters into a Period, or None for all time.

    What makes no sense is left out and named by a sentence in `complaints`; the rest applies.
    """

    widget = PeriodWidget

    def clean(self, value: dict[str, str]) -> Period | None:
        self.complaints: list[str] = []
        relative = value["when"] == "relative" or (value["when"] != "absolute" and bool(value["last"]))
        return self._relative(value) if relative else self._absolute(value)

    def _relative(self, value: dict[str, str]) -> Period | None:
        last, unit = value["last"], value["unit"] or "days"
        if not last:
            return None
        if not (last.isascii() and last.isdigit() and len(last) < 10 and 1 <= int(last) <= MOST):
            self.complaints.append(f"Last: “{last[:40]}” is not a whole number from 1 to {MOST:,}.")
            return None
        if unit not in UNITS:
            self.complaints.append(f"Unit: “{unit[:40]}” is none of {', '.join(UNITS)}.")
            return None
        count = int(last)
        start = before(timezone.localtime(), count, unit)
        query = {"last": str(count), "unit": unit}
        if value["round"]:
            start = floor(start, unit)
            query["round"] = "1"
        summary = f"Last {count:,} {unit}" if count > 1 else f"Last {unit[:-1]}"
        return Period(start, None, summary, query)

    def _absolute(self, value: dict[str, str]) -> Period | None:
        zone = UTC if value["utc"] else timezone.get_current_timezone()
        moments: dict[str, datetime] = {}
        for name in ("from", "to"):
            if value[name]:
                try:
                    moment = datetime.fromisoformat(value[name])
                    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
                    moment.astimezone(UTC)
                except (ValueError, OverflowError):
                    self.complaints.append(
                        f"{name.title()}: “{value[name][:40]}” is no date and time such as 2026-11-20T14:05."
                    )
                else:
                    moments[name] = moment
        start, end = moments.get("from"), moments.get("to")
        if not moments:
            return None
        if start and end and start >= end:
            self.complaints.append("The start is after the end." if start > end else "The start is the end.")
        query = {name: value[name] for name in moments} | ({"utc": "1"} if value["utc"] else {})
        said = {name: clock_time(moment.astimezone(zone)) for name, moment in moments.items()}
        if len(said) == 2:
            words = f"{said['from']} to {said['to']}"
        else:
            words = "".join(f"{name.title()} {moment}" for name, moment in said.items())
        return Period(start, end, f"{words} UTC" if value["utc"] else words, query)


def as_typed(data: Any) -> dict[str, Any]:
    """What was typed into the filter by time, to be shown in its fields again."""
    typed = PeriodWidget().value_from_datadict(data, None, "time")
    absolute = typed["when"] == "absolute" or (not typed["when"] and bool(typed["from"] or typed["to"]))
    unit = typed["unit"] if typed["unit"] in UNITS else "days"
    return {
        **typed,
        "start": typed["from"],
        "end": typed["to"],
        "absolute": absolute,
        "unit": unit,
        "units": EXAMPLES,
        "example": EXAMPLES[unit],
    }


class PeriodFilter(django_filters.Filter):  # type: ignore[misc]  # django-filter has no types
    field_class = PeriodField

    def filter(self, rows: QuerySet[Any, Any], value: Period | None) -> QuerySet[Any, Any]:
        if value and value.start:
            rows = rows.filter(**{f"{self.field_name}__gte": value.start})
        if value and value.end:
            rows = rows.filter(**{f"{self.field_name}__lt": value.end})
        return rows


def before(moment: datetime, count: int, unit: str) -> datetime:
    """Return the moment so many units earlier; months keep the day where the month has it."""
    if unit == "hours":
        return (moment.astimezone(UTC) - timedelta(hours=count)).astimezone(moment.tzinfo)
    if unit == "days":
        return moment - timedelta(days=count)
    month = moment.year * 12 + moment.month - 1 - count
    for day in (moment.day, 30, 29, 28):
        try:
            return moment.replace(year=month // 12, month=month % 12 + 1, day=day)
        except ValueError:  # no such day in that month
            continue
    raise AssertionError("every month has a 28th")


def floor(moment: datetime, unit: str) -> datetime:
    """Return the start of the hour, day or month in which the moment lies."""
    start = moment.replace(minute=0, second=0, microsecond=0)
    if unit != "hours":
        start = start.replace(hour=0)
    return start.replace(day=1) if unit == "months" else start
