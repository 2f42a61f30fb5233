"""The form by which reviewers edit an access flow. Rows are added and removed without JavaScript, too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django import forms
from django.http import QueryDict

from anomalies.models import AccessFlow

UNITS = {"minutes": 60, "hours": 3600, "days": 86400}
LONGEST_SECONDS = 2**31 - 1
MOST_TARGETS = 50
MOST_LISTED = 200  # names in one field
NAME_LENGTH = 200
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
POLICIES = {"automatic": "Nobody: granted at once", "any": "Any one of the approvers", "all": "All of the approvers"}


@dataclass(slots=True)
class Target:
    """A row of the form: what a request may ask for, as it was typed."""

    integration: str = ""
    resource_type: str = ""
    permissions: str = ""
    resources: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not any((self.integration, self.resource_type, self.permissions, self.resources))

    def as_json(self) -> dict[str, Any]:
        return {
            "integration": self.integration,
            "resource_type": self.resource_type,
            "permissions": listed(self.permissions),
            "resources": listed(self.resources),
        }


PARTS = ("integration", "resource_type", "permissions", "resources")


class FlowForm(forms.Form):
    name = forms.CharField(max_length=NAME_LENGTH)
    description = forms.CharField(required=False, max_length=10_000, widget=forms.Textarea(attrs={"rows": 2}))
    active = forms.BooleanField(required=False, label="Active")
    duration = forms.CharField(required=False, max_length=12, label="Grant duration", help_text="Empty: without end")
    duration_unit = forms.ChoiceField(
        required=False, choices=[(unit, unit) for unit in UNITS], label="Unit of the duration"
    )
    requestors = forms.CharField(
        required=False,
        max_length=20_000,
        help_text="A user or group a line. Empty: everybody",
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    policy = forms.ChoiceField(choices=[*POLICIES.items()], label="Who approves")
    approvers = forms.CharField(
        required=False,
        max_length=20_000,
        help_text="A user or group a line",
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    days = forms.MultipleChoiceField(
        required=False,
        choices=[(str(number), day.capitalize()) for number, day in enumerate(WEEKDAYS)],
        label="Days",
        widget=forms.CheckboxSelectMultiple,
    )
    opens = forms.TimeField(
        required=False, label="From", widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    closes = forms.TimeField(
        required=False, label="Until", widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    time_zone = forms.CharField(required=False, max_length=64, label="Time zone", help_text="Such as Europe/Berlin")
    justification_required = forms.BooleanField(required=False, label="A justification is required")
    requester_cannot_approve_self = forms.BooleanField(required=False, label="Requesters cannot approve themselves")
    mfa_required = forms.BooleanField(required=False, label="A second factor is required (MFA)")
    seen_at = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, flow: AccessFlow, typed: QueryDict | None = None) -> None:
        super().__init__(typed, initial=_initial(flow))
        self.targets = _typed_targets(typed) if typed is not None else _stored_targets(flow)
        for name, bound in self.fields.items():
            if self.is_bound and self.errors.get(name):
                bound.widget.attrs |= {"aria-invalid": "true", "aria-describedby": f"id_{name}_error"}

    @property
    def complaints(self) -> list[str]:
        """One sentence for each field that cannot be saved, naming it."""
        found = [f"{self._called(name)}{' '.join(map(str, errors))}" for name, errors in self.errors.items()]
        for number, target in enumerate(self.targets, 1):
            found += [f"Target {number}, {part.replace('_', ' ')}: {text}" for part, text in target.errors.items()]
        return found

    def _called(self, name: str) -> str:
        return f"{self[name].label}: " if name in self.fields else ""

    def is_valid(self) -> bool:
        fits = super().is_valid()
        return fits and not any(target.errors for target in self.targets)

    def clean_duration(self) -> int | None:
        text: str = self.cleaned_data["duration"].strip()
        if not text:
            return None
        unit = UNITS.get(self.data.get("duration_unit", ""), 1)
        if not (text.isascii() and text.isdigit()) or not 0 < int(text) * unit <= LONGEST_SECONDS:
            raise forms.ValidationError(f"“{text[:20]}” is no whole number above 0, or lasts longer than 68 years.")
        return int(text) * unit

    def clean_requestors(self) -> list[str]:
        return self._names("requestors")

    def clean_approvers(self) -> list[str]:
        return self._names("approvers")

    def _names(self, name: str) -> list[str]:
        names = listed(self.cleaned_data[name])
        if complaint := _about(names):
            raise forms.ValidationError(complaint)
        return names

    def clean_time_zone(self) -> str:
        name: str = self.cleaned_data["time_zone"].strip()
        try:
            return ZoneInfo(name).key if name else ""
        except (ValueError, ZoneInfoNotFoundError, OSError) as error:
            raise forms.ValidationError(f"There is no “{name[:40]}”.") from error

    def clean_seen_at(self) -> datetime:
        try:
            return datetime.fromisoformat(self.cleaned_data["seen_at"])
        except ValueError as error:
            raise forms.ValidationError("The form is incomplete; open it again.") from error

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        if given.get("policy") in ("any", "all") and "approvers" in given and not given["approvers"]:
            self.add_error("approvers", "Name at least one, or choose that nobody approves.")
        opens, closes = given.get("opens"), given.get("closes")
        if "opens" not in self.errors and "closes" not in self.errors and (opens is None) != (closes is None):
            self.add_error("opens" if opens is None else "closes", "Give both times, or none for the whole day.")
        if opens and opens == closes:
            self.add_error("closes", "It is the same time as From.")
        return given

    def wanted(self) -> dict[str, Any]:
        """What is to be saved, as services take it."""
        given = self.cleaned_data
        frame: dict[str, Any] = {}
        if given["days"] or given["opens"]:
            frame = {
                "days": sorted(int(day) for day in given["days"]),
                "from": f"{given['opens']:%H:%M}" if given["opens"] else "",
                "until": f"{given['closes']:%H:%M}" if given["closes"] else "",
                "time_zone": given["time_zone"] or "UTC",
            }
        plain = ("name", "description", "active", "requestors", "justification_required",
                 "requester_cannot_approve_self", "mfa_required")  # fmt: skip
        return {
            **{name: given[name] for name in plain},
            "grant_duration_seconds": given["duration"],
            "targets": [target.as_json() for target in self.targets if not target.is_empty],
            "approver_policy": {"mode": given["policy"], "approvers": given["approvers"]},
            "timeframe": frame,
        }

    def with_rows(self, action: str, number: str) -> None:
        """Add a row, or take one away; nothing is saved."""
        if action == "add" and len(self.targets) < MOST_TARGETS:
            self.targets.append(Target())
        if action == "remove" and number.isascii() and number.isdigit() and int(number) < len(self.targets):
            del self.targets[int(number)]


def listed(text: str) -> list[str]:
    """Return the names of a field, of which there is one a line or between commas, each once."""
    return list(dict.fromkeys(filter(None, (name.strip() for name in text.replace(",", "\n").splitlines()))))


def _about(names: list[str]) -> str:
    if len(names) > MOST_LISTED:
        return f"{len(names):,} names; at most {MOST_LISTED} are kept."
    long = next((name for name in names if len(name) > NAME_LENGTH), "")
    return f"“{long[:40]}…” has more than {NAME_LENGTH} characters." if long else ""


def _initial(flow: AccessFlow) -> dict[str, Any]:
    seconds = flow.grant_duration_seconds
    unit = next((word for word, size in reversed(UNITS.items()) if seconds and seconds % size == 0), "minutes")
    policy: Mapping[str, Any] = flow.approver_policy if isinstance(flow.approver_policy, dict) else {}
    frame: Mapping[str, Any] = flow.timeframe if isinstance(flow.timeframe, dict) else {}
    return {
        **{name: getattr(flow, name) for name in ("name", "description", "active", "justification_required",
                                                  "requester_cannot_approve_self", "mfa_required")},
        "duration": "" if seconds is None else f"{seconds / UNITS[unit]:g}",
        "duration_unit": unit if seconds else "hours",
        "requestors": _lines(flow.requestors),
        "policy": policy.get("mode") if policy.get("mode") in POLICIES else "automatic",
        "approvers": _lines(policy.get("approvers")),
        "days": [str(day) for day in frame.get("days") or []],
        "opens": frame.get("from") or None,
        "closes": frame.get("until") or None,
        "time_zone": frame.get("time_zone") or "",
        "seen_at": flow.updated_at.isoformat(),
    }  # fmt: skip


def _lines(names: Any) -> str:
    return "\n".join(str(name) for name in names) if isinstance(names, list) else ""


def _stored_targets(flow: AccessFlow) -> list[Target]:
    stored = [one for one in flow.targets if isinstance(one, dict)] if isinstance(flow.targets, list) else []
    return [
        Target(
            str(one.get("integration") or ""),
            str(one.get("resource_type") or ""),
            ", ".join(map(str, one.get("permissions") or [])),
            ", ".join(map(str, one.get("resources") or [])),
        )
        for one in stored
    ] or [Target()]


def _typed_targets(typed: QueryDict) -> list[Target]:
    columns = [typed.getlist(f"target_{part}") for part in PARTS]
    rows = [Target(*(text.replace("\x00", "").strip() for text in row)) for row in zip(*columns, strict=False)]
    for row in rows[:MOST_TARGETS]:
        if row.is_empty:
            continue
        if not row.integration:
            row.errors["integration"] = "Name the integration."
        for part in ("integration", "resource_type"):
            if len(getattr(row, part)) > NAME_LENGTH:
                row.errors[part] = f"It has more than {NAME_LENGTH} characters."
        for part in ("permissions", "resources"):
            if complaint := _about(listed(getattr(row, part))):
                row.errors[part] = complaint
    if len(rows) > MOST_TARGETS:
        rows[MOST_TARGETS].errors["integration"] = f"There are {len(rows)} targets; at most {MOST_TARGETS} are kept."
    return rows or [Target()]
