"""The form of a channel, made from what its kind declares.

A secret that is set is never in it: an empty field leaves it as it is.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone

from anomalies.models import Channel, Severity
from anomalies.notifications.http import HIDDEN
from anomalies.notifications.kind import Kind
from anomalies.notifications.setting import TARGET, Setting, Shape, headers_in
from anomalies.services import channels, pacing, routing

_TIME = forms.TimeInput(attrs={"type": "time"}, format="%H:%M")


class HeadersField(forms.CharField):
    """Headers, one a line, as a mapping."""

    def clean(self, value: Any) -> Any:
        try:
            return headers_in(super().clean(value))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


class ChannelForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="As deliveries and timelines call it")
    least_severity = forms.TypedChoiceField(
        label="From severity",
        coerce=int,
        choices=[(severity.value, severity.label.title()) for severity in Severity],
        initial=Severity.LOW,
    )
    filter = forms.CharField(
        required=False,
        max_length=2000,
        help_text="Empty: each. Else what follows the ? in the address of the list, such as type=rate_spike&agent=ag_1",
    )
    message_types = forms.MultipleChoiceField(
        label="Messages",
        choices=[*routing.MESSAGE_TYPES.items()],
        initial=routing.USUAL,
        widget=forms.CheckboxSelectMultiple,
    )
    pace = forms.ChoiceField(
        label="When",
        choices=[(pace.value, pace.label.capitalize()) for pace in Channel.Pace],
        initial=Channel.Pace.AT_ONCE,
    )
    digest_at = forms.CharField(label="Daily digest at", initial="09:00", widget=_TIME)
    time_zone = forms.CharField(
        max_length=64, initial=timezone.get_current_timezone_name, help_text="Of these times, such as Europe/Berlin"
    )
    quiet_from = forms.CharField(
        label="Quiet from", required=False, widget=_TIME, help_text="What comes then waits until they end"
    )
    quiet_to = forms.CharField(
        label="Quiet to", required=False, widget=_TIME, help_text="Not later than they begin: on the next day"
    )
    quiet_days = forms.TypedMultipleChoiceField(
        label="Quiet hours begin on",
        required=False,
        coerce=int,
        choices=[*enumerate(pacing.WEEKDAYS)],
        initial=[*range(7)],
        widget=forms.CheckboxSelectMultiple,
    )
    urgent_at_once = forms.BooleanField(label="High severity waits for neither digest nor quiet hours", required=False)
    seen_at = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, kind: Kind[Any], channel: Channel | None = None, typed: Any = None) -> None:
        super().__init__(typed, initial=_initial(channel))
        self.kind = kind
        if not kind.digests:
            self.fields["digest_at"].required = False
            self.fields["pace"] = forms.ChoiceField(
                label="When",
                choices=[(Channel.Pace.AT_ONCE.value, Channel.Pace.AT_ONCE.label.capitalize())],
                initial=Channel.Pace.AT_ONCE,
                help_text=f"{kind.label} keeps a record of each anomaly, and takes no digests",
            )
        for one in kind.settings:
            self.fields[one.name] = _field(one, channel)
        for field in self.fields.values():
            if not isinstance(field.widget, forms.Textarea | forms.CheckboxSelectMultiple | forms.CheckboxInput):
                field.widget.attrs.setdefault("autocomplete", "off")

    @property
    def parts(self) -> list[tuple[str, list[forms.BoundField]]]:
        """What the kind asks for, by heading."""
        found: dict[str, list[forms.BoundField]] = {TARGET: [self["name"]]}
        for one in self.kind.settings:
            found.setdefault(one.part, []).append(self[one.name])
        return [*found.items()]

    @property
    def routed(self) -> list[forms.BoundField]:
        return [self["least_severity"], self["filter"]]

    @property
    def paced(self) -> list[forms.BoundField]:
        times = ("digest_at",) if self.kind.digests else ()
        return [self[name] for name in ("pace", *times, "time_zone", "quiet_from", "quiet_to")]

    @property
    def complaints(self) -> list[str]:
        """One sentence for each field that cannot be saved, naming it."""
        known = {name: errors for name, errors in self.errors.items() if name in self.fields}
        return [f"{self[name].label}: {error}" for name, errors in known.items() for error in errors]

    @property
    def wanted(self) -> dict[str, Any]:
        """What services take."""
        found = {name: self.cleaned_data[name] for name in channels.COMMON}
        if not self.kind.digests:
            del found["digest_at"]  # it is not asked for
        for one in self.kind.settings:
            value = self.cleaned_data[one.name]
            found[one.name] = None if one.secret and value == "" else value
        return found

    def clean_seen_at(self) -> datetime | None:
        try:
            return datetime.fromisoformat(self.cleaned_data["seen_at"])
        except ValueError:
            return None

    def refuse(self, errors: Mapping[str, str]) -> None:
        """Show what services say is wrong, by field."""
        for name, text in errors.items():
            self.add_error(name, text)


def _field(one: Setting, channel: Channel | None) -> forms.Field:
    known: dict[str, Any] = {"label": one.label, "help_text": one.help, "initial": one.default}
    several_lines = forms.Textarea(attrs={"rows": one.rows, "spellcheck": "false"})
    match one.shape:
        case Shape.NUMBER:
            return forms.IntegerField(min_value=one.low, max_value=one.high, **known)
        case Shape.CHOICE:
            return forms.ChoiceField(choices=[*one.choices.items()], **known)
        case Shape.HEADERS:
            return HeadersField(required=False, widget=several_lines, **known | {"initial": ""})
        case Shape.TEXT:
            return forms.CharField(required=one.required, max_length=one.high, widget=several_lines, **known)
    if one.secret:
        known |= _about_secret(one, channel)
    return forms.CharField(required=one.required and not (one.secret and channel), max_length=one.high, **known)


def _about_secret(one: Setting, channel: Channel | None) -> dict[str, Any]:
    if channel:
        is_set = one.name in channel.secrets_encrypted
        return {"help_text": "Set; empty leaves it as it is" if is_set else "Not set", "initial": ""}
    if one.fresh:
        return {"help_text": "Copy it to the receiver now: it is never shown again", "initial": one.fresh}
    return {"help_text": f"{one.help}. It is never shown again" if one.help else "It is never shown again"}


def _initial(channel: Channel | None) -> dict[str, Any]:
    if channel is None:
        return {}
    shown = channels.shown(channel)
    return {
        **{name: value for name, value in shown.items() if value != HIDDEN and not isinstance(value, dict)},
        **{
            name: "\n".join(f"{header}: {HIDDEN}" for header in value)
            for name, value in shown.items()
            if isinstance(value, dict)
        },
        "seen_at": channel.updated_at.isoformat(),
    }
