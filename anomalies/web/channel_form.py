"""The form of a channel. A secret that is set is never in it: an empty field leaves it as it is."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms

from anomalies.models import Channel, Severity
from anomalies.notifications import signature
from anomalies.notifications.http import HIDDEN
from anomalies.notifications.kind import AUTHS
from anomalies.notifications.webhook import (
    DEFAULT_TEMPLATE,
    LONGEST_TIMEOUT_SECONDS,
    METHODS,
    PLACEHOLDERS,
    headers_in,
)
from anomalies.services import channels, encryption, routing
from anomalies.services.channels import PLAIN

_ROWS = {"headers": 2, "validators": 2, "template": 12}


class ChannelForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="As deliveries and timelines call it")
    method = forms.ChoiceField(choices=[(name, name) for name in METHODS])
    url = forms.CharField(label="URL", max_length=2000, help_text="Begins with https://")
    timeout_seconds = forms.IntegerField(
        label="Timeout, seconds", min_value=1, max_value=LONGEST_TIMEOUT_SECONDS, initial=10
    )
    headers = forms.CharField(
        required=False, help_text=f"One a line, such as X-Team: security. Values are shown as {HIDDEN} once saved"
    )
    auth = forms.ChoiceField(label="Authentication", choices=[*AUTHS.items()])
    secret = forms.CharField(label="Token or client secret", required=False, max_length=4000)
    token_url = forms.CharField(label="Token URL", required=False, max_length=2000, help_text="Of OAuth")
    client_id = forms.CharField(label="Client ID", required=False, max_length=500, help_text="Of OAuth")
    scope = forms.CharField(required=False, max_length=500, help_text="Of OAuth, if it is needed")
    signing_secret = forms.CharField(label="Signing secret", required=False, max_length=200)
    template = forms.CharField(
        label="Body, JSON", initial=DEFAULT_TEMPLATE, help_text=f"Placeholders: {', '.join(PLACEHOLDERS)}"
    )
    validators = forms.CharField(
        label="The answer must say",
        required=False,
        help_text="A JSON path and what may stand there, one a line: $.status = ok, accepted",
    )
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
    seen_at = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, channel: Channel | None, typed: Any = None) -> None:
        super().__init__(typed, initial=_initial(channel))
        for name, field in self.fields.items():
            if name in _ROWS:
                field.widget = forms.Textarea(attrs={"rows": _ROWS[name], "spellcheck": "false"})
            elif name != "message_types":
                field.widget.attrs["autocomplete"] = "off"
        if channel is None:
            self.fields["signing_secret"].help_text = "Copy it to the receiver now: it is never shown again"
        else:
            for name in ("secret", "signing_secret"):
                is_set = bool(getattr(channel, f"{name}_encrypted"))
                self.fields[name].help_text = "Set; empty leaves it as it is" if is_set else "Not set"
            self.fields["secret"].widget.attrs["autocomplete"] = "new-password"

    @property
    def target(self) -> list[forms.BoundField]:
        return [self[name] for name in ("name", "method", "url", "timeout_seconds")]

    @property
    def access(self) -> list[forms.BoundField]:
        return [self[n] for n in ("auth", "secret", "token_url", "client_id", "scope", "signing_secret", "headers")]

    @property
    def body(self) -> list[forms.BoundField]:
        return [self[name] for name in ("template", "validators")]

    @property
    def routed(self) -> list[forms.BoundField]:
        return [self[name] for name in ("least_severity", "filter")]

    @property
    def complaints(self) -> list[str]:
        """One sentence for each field that cannot be saved, naming it."""
        known = {name: errors for name, errors in self.errors.items() if name in self.fields}
        return [f"{self[name].label}: {error}" for name, errors in known.items() for error in errors]

    @property
    def wanted(self) -> dict[str, Any]:
        """What services take."""
        secrets = {name: self.cleaned_data[name] or None for name in ("secret", "signing_secret")}
        return {**{name: self.cleaned_data[name] for name in PLAIN}, **secrets, "headers": self.cleaned_data["headers"]}

    def clean_headers(self) -> dict[str, str]:
        try:
            return headers_in(self.cleaned_data["headers"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_seen_at(self) -> datetime | None:
        try:
            return datetime.fromisoformat(self.cleaned_data["seen_at"])
        except ValueError:
            return None

    def refuse(self, errors: Mapping[str, str]) -> None:
        """Show what services say is wrong, by field."""
        for name, text in errors.items():
            self.add_error(name, text)


def _initial(channel: Channel | None) -> dict[str, Any]:
    if channel is None:
        return {"signing_secret": signature.new_secret()}
    try:
        names = list(channels.headers_of(channel))
    except encryption.UnreadableSecretError:
        names = []
    return {
        **{name: getattr(channel, name) for name in PLAIN},
        "headers": "\n".join(f"{name}: {HIDDEN}" for name in names),
        "seen_at": channel.updated_at.isoformat(),
    }
