"""The form by which reviewers say to which group an agent belongs, and when it works."""

from datetime import datetime
from typing import Any

from django import forms

from anomalies.models import Agent
from anomalies.services import working_hours
from anomalies.services.working_hours import WEEKDAYS, WorkingHoursError


class AgentForm(forms.Form):
    """A line a weekday; `cleaned_data` has `hours_by_day` (None: learned) and `holidays` as services take them."""

    group = forms.CharField(required=False, max_length=100)
    time_zone = forms.CharField(label="Time zone", max_length=64)
    monday, tuesday, wednesday, thursday, friday, saturday, sunday = (
        forms.CharField(required=False, max_length=40) for _ in WEEKDAYS
    )
    holidays = forms.CharField(required=False, max_length=20_000)
    seen_at = forms.CharField(required=False)

    def __init__(self, agent: Agent, typed: Any = None) -> None:
        hours = {int(day): span for day, span in (agent.working_hours or {}).items()}
        initial = {
            "group": agent.group,
            "time_zone": agent.time_zone,
            **{name: f"{hours[day][0]}-{hours[day][1]}" for day, name in enumerate(WEEKDAYS) if day in hours},
            "holidays": "\n".join(agent.holidays),
            "seen_at": agent.updated_at.isoformat(),
        }
        super().__init__(typed, initial=initial)

    @property
    def weekdays(self) -> list[forms.BoundField]:
        return [self[name] for name in WEEKDAYS]

    @property
    def complaints(self) -> list[str]:
        """One sentence for each field that cannot be saved, naming it."""
        found = []
        for name, errors in self.errors.items():
            label = f"{self[name].label}: " if name in self.fields else ""
            found += [f"{label}{error}" for error in errors]
        return found

    def clean_time_zone(self) -> str:
        time_zone: str = self.cleaned_data["time_zone"]
        self._raised(time_zone=time_zone)
        return time_zone

    def clean_holidays(self) -> list[str]:
        days: list[str] = self.cleaned_data["holidays"].replace(",", " ").split()
        self._raised(holidays=days)
        return days

    def clean_seen_at(self) -> datetime | None:
        try:
            return datetime.fromisoformat(self.cleaned_data["seen_at"])
        except ValueError:
            return None

    def clean(self) -> dict[str, Any]:
        hours: dict[str, list[int]] = {}
        for day, name in enumerate(WEEKDAYS):
            if text := self.cleaned_data.get(name):
                try:
                    hours[str(day)] = working_hours.hours_of(text)
                except WorkingHoursError as error:
                    self.add_error(name, str(error))
        self.cleaned_data["hours_by_day"] = hours or None
        return self.cleaned_data

    def _raised(self, **given: Any) -> None:
        try:
            working_hours.check(**{"time_zone": "UTC", "working_hours": None, "holidays": [], **given})
        except WorkingHoursError as error:
            raise forms.ValidationError(str(error)) from error
