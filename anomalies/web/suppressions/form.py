"""The form of a suppression: its fields, how wide it may be, and what it would have hidden."""

import ipaddress
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Severity
from anomalies.services import suppressions
from anomalies.services.suppressions import MAX_REASON_LENGTH, Conditions, Preview
from anomalies.web.facets import bounded_count, said
from anomalies.web.listing.row import Row

FIELDS = tuple(Conditions.__dataclass_fields__)
NO_END, AT = "never", "at"
SPANS = {"1": "1 day", "7": "7 days", "30": "30 days", "90": "90 days", NO_END: "Until somebody ends it", AT: "Until…"}
DEFAULT_SPAN = "30"
NEIGHBOURS = {4: 24, 6: 64}  # bits of the network offered beside an address


class SuppressionForm(forms.Form):
    """What was posted as a suppression; `seen` says for which conditions the preview was shown, `until` up to where."""

    type = forms.ChoiceField(
        required=False,
        choices=[("", "Each type"), *((detector.type, detector.label) for detector in DETECTORS.values())],
    )
    agent_id = forms.CharField(label="Agent", required=False, help_text="Its whole id")
    principal_id = forms.CharField(label="User", required=False, help_text="Their whole id")
    network = forms.CharField(label="Address or network", required=False, help_text="192.0.2.7 or 192.0.2.0/24")
    resource = forms.CharField(required=False)
    integration = forms.CharField(required=False)
    highest_severity = forms.TypedChoiceField(
        label="Up to severity",
        choices=[(severity.value, severity.label.title()) for severity in reversed(Severity)],
        coerce=int,
        initial=Severity.HIGH,
        help_text="Worse ones are raised all the same",
    )
    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2, "maxlength": MAX_REASON_LENGTH}), help_text="Why nobody needs to look"
    )
    owner = forms.CharField(help_text="Who answers for it", max_length=suppressions.LENGTHS["owner"])
    span = forms.ChoiceField(label="Ends after", choices=[*SPANS.items()], initial=DEFAULT_SPAN)
    expires_at = forms.DateTimeField(
        label="Until",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
    )

    @property
    def conditions(self) -> Conditions:
        return Conditions(**{name: self.cleaned_data[name] for name in FIELDS})

    @property
    def narrow(self) -> list[forms.BoundField]:
        """The fields of the conditions."""
        return [self[name] for name in FIELDS]

    @property
    def about(self) -> list[forms.BoundField]:
        return [self[name] for name in ("reason", "owner", "span", "expires_at")]

    def clean(self) -> dict[str, Any]:
        given = {name: self.cleaned_data.get(name, "") for name in FIELDS}
        if "highest_severity" not in self.errors:
            for field, reason in suppressions.errors_of(Conditions(**given)).items():
                known = field in self.fields
                label = self.fields[field].label or capfirst(field) if known else "Conditions"
                self.add_error(field if known else None, f"{label}: {reason}")
        return self.cleaned_data

    def clean_reason(self) -> str:
        reason: str = self.cleaned_data["reason"]
        if len(reason) > MAX_REASON_LENGTH:
            raise forms.ValidationError(f"Reason: {len(reason):,} characters, at most {MAX_REASON_LENGTH:,} are kept.")
        return reason

    def clean_expires_at(self) -> datetime | None:
        """When it ends, from either field; None: when somebody ends it."""
        span, at, now = self.cleaned_data.get("span"), self.cleaned_data["expires_at"], timezone.now()
        if span == NO_END or span is None:
            return None
        if span != AT:
            return now + timedelta(days=int(span))
        if at is None:
            raise forms.ValidationError("Until: a date and time is needed.")
        if at <= now:
            raise forms.ValidationError(f"Until: {timezone.localtime(at):%-d %b %Y %H:%M %Z} is past.")
        moment: datetime = at
        return moment

    @property
    def has_conditions(self) -> bool:
        """Whether there are conditions to preview, whatever else is missing."""
        return not ({*FIELDS, "__all__"} & set(self.errors))

    def asked(self) -> str:
        """The conditions as `seen` keeps them."""
        return json.dumps(asdict(self.conditions))


@dataclass(frozen=True, slots=True)
class Width:
    """A choice of how wide: which conditions, in words, and how many anomalies of 30 days meet them."""

    words: str
    url: str
    count: str
    chosen: bool


def initial_of(anomaly: Anomaly, query: QueryDict) -> dict[str, Any]:
    """Return the conditions that the address gives, or the type and whose it is."""
    of_it = _of(anomaly)
    named = {name: query.get(name, "") for name in FIELDS if name in query}
    usual = {name: of_it[name] for name in ("type", *_whose(anomaly)) if of_it.get(name)}
    return {**(named or usual), "highest_severity": int(anomaly.severity)}


def widths(anomaly: Anomaly, initial: Mapping[str, Any], *, now: datetime) -> list[Width]:
    """Return from narrow to wide what may be suppressed because of an anomaly."""
    of_it = _of(anomaly)
    whose = _whose(anomaly)
    choices = [
        tuple(of_it),
        *(("type", *whose, name) for name in ("principal_id", "network", "resource", "integration") if of_it.get(name)),
        ("type", *whose),
        *((("type", "around"),) if of_it.get("network") else ()),
        whose,
    ]
    found: dict[tuple[str, ...], Width] = {}
    for names in choices:
        values = {name: of_it[name] for name in dict.fromkeys(names) if of_it.get(name)}
        if "around" in names:
            values["network"] = _around(of_it["network"])
        key = tuple(sorted(values.items()))
        if not values or str(key) in map(str, found):
            continue
        query = QueryDict(mutable=True)
        query.update({"from": anomaly.public_id, **values})
        conditions = Conditions(**values, highest_severity=int(anomaly.severity))
        count = bounded_count(suppressions.meeting(conditions, since=now - timedelta(days=30)))
        chosen = values == {name: value for name, value in initial.items() if name != "highest_severity"}
        found[key] = Width(  # type: ignore[index]
            worded(conditions, severity=False), f"{reverse('suppression_new')}?{query.urlencode()}", said(count), chosen
        )
    return list(found.values())


def _of(anomaly: Anomaly) -> dict[str, str]:
    return {
        name: value
        for name, value in {
            "type": anomaly.type,
            "agent_id": anomaly.agent_id or "",
            "principal_id": anomaly.principal_id or "",
            "network": anomaly.ip or "",
            "resource": anomaly.resource,
            "integration": anomaly.integration,
        }.items()
        if value
    }


def _whose(anomaly: Anomaly) -> tuple[str, ...]:
    """By what an anomaly is told: its agent, else its user, else its address."""
    of_it = _of(anomaly)
    return next(((name,) for name in ("agent_id", "principal_id", "network") if name in of_it), ())


def _around(ip: str) -> str:
    address = ipaddress.ip_address(ip)
    return str(ipaddress.ip_network(f"{ip}/{NEIGHBOURS[address.version]}", strict=False))


def parts_of(conditions: Conditions, *, severity: bool = True) -> list[tuple[str, str]]:
    """Return conditions as pairs, `("of agent", "ag_1")`, in the order in which a sentence says them."""
    type_ = DETECTORS[conditions.type].label if conditions.type in DETECTORS else conditions.type
    parts = [
        ("", type_ or "Anything"),
        ("of agent", conditions.agent_id),
        ("for user", conditions.principal_id),
        ("from", conditions.network),
        ("on", conditions.resource),
        ("in", conditions.integration),
    ]
    if severity and conditions.highest_severity < Severity.HIGH:
        parts.append(("up to", Severity(conditions.highest_severity).label))
    return [(word, value) for word, value in parts if value]


def worded(conditions: Conditions, *, severity: bool = True) -> str:
    """`Rate spike of agent ag_1 from 192.0.2.0/24, up to medium`."""
    return " ".join(f"{word} {value}" if word else value for word, value in parts_of(conditions, severity=severity))


@dataclass(frozen=True, slots=True)
class Shown:
    """What conditions would have hidden, as the page says it."""

    preview: Preview
    rows: list[Row]
    by_type: list[tuple[str, int, str]]  # label, how many, how they were decided
    true_positives: int
    open_now: str
    seen: str  # the conditions it is of
    until: int  # the newest anomaly it knows of
    meets: bool  # whether the anomaly it is made because of meets them


def shown(form: SuppressionForm, because_of: Anomaly | None, *, until: int, now: datetime) -> Shown:
    """Look at what the form's conditions would have hidden in the last 30 days."""
    conditions = form.conditions
    preview = suppressions.preview(conditions, at=now)
    words = {**dict(Anomaly.Status.choices), **dict(Anomaly.Verdict.choices)}
    by_type: dict[str, list[str]] = {}
    totals: Counter[str] = Counter()
    for type_, decided, count in preview.counts:
        totals[type_] += count
        by_type.setdefault(type_, []).append(f"{count:,} {str(words[decided]).lower()}")
    open_now = suppressions.asked_about(conditions).filter(pk__lte=until)
    return Shown(
        preview=preview,
        rows=[Row(anomaly) for anomaly in preview.newest],
        by_type=[
            (DETECTORS[type_].label if type_ in DETECTORS else type_, totals[type_], ", ".join(said_))
            for type_, said_ in by_type.items()
        ],
        true_positives=sum(count for _, decided, count in preview.counts if decided == Anomaly.Verdict.TRUE_POSITIVE),
        open_now=said(bounded_count(open_now.exclude(pk=because_of.pk) if because_of else open_now)),
        seen=form.asked(),
        until=until,
        meets=because_of is not None and suppressions.meets(because_of, conditions),
    )
