"""Suppressions: made once it was seen what they would have hidden, and ended."""

import json
from dataclasses import asdict
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from anomalies.admin.base import WhetherFilter, actor_of
from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Severity, Suppression
from anomalies.services import suppressions
from anomalies.services.suppressions import Conditions, Preview

_CONDITIONS = tuple(Conditions.__dataclass_fields__)


class _SuppressionForm(forms.ModelForm):
    """Asks back, once, with what the conditions would have hidden; `seen` are those for which it did."""

    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), help_text="Why nobody needs to be asked.")
    type = forms.ChoiceField(
        required=False,
        choices=[("", "each type"), *((detector.type, detector.label) for detector in DETECTORS.values())],
    )
    agent_id = forms.CharField(label="Agent", required=False, help_text="Its whole id")
    principal_id = forms.CharField(label="User", required=False, help_text="Their whole id")
    network = forms.CharField(label="Address or network", required=False, help_text="Such as 192.0.2.7 or 192.0.2.0/24")
    highest_severity = forms.TypedChoiceField(
        choices=[*reversed(Severity.choices)],
        coerce=int,
        initial=Severity.HIGH,
        help_text="Worse ones are up for review all the same, also where they get worse later.",
    )
    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    class Meta:
        model = Suppression
        fields = ("reason", "owner", *_CONDITIONS, "expires_at")

    preview: Preview | None = None

    @property
    def conditions(self) -> Conditions:
        return Conditions(**{name: self.cleaned_data[name] for name in _CONDITIONS})

    def clean(self) -> dict[str, Any]:
        if self.errors:
            return self.cleaned_data
        conditions = self.conditions
        for field, reason in suppressions.errors_of(conditions).items():
            self.add_error(field if field in self.fields else None, capfirst(reason))
        expires_at = self.cleaned_data["expires_at"]
        if expires_at and expires_at <= timezone.now():
            self.add_error("expires_at", "It is past.")
        asked = json.dumps(asdict(conditions))
        if not self.errors and self.cleaned_data["seen"] != asked:
            self.preview = suppressions.preview(conditions, at=timezone.now())
            data = self.data.copy()  # type: ignore[attr-defined]  # what was posted is a QueryDict
            data["seen"] = asked
            self.data = data
            self.add_error(None, "Not saved yet: see below what it would have hidden, and save again.")
        return self.cleaned_data


@admin.register(Suppression)
class SuppressionAdmin(admin.ModelAdmin):
    """A suppression cannot be changed, only ended: what it hid, it hid for what it says."""

    form = _SuppressionForm
    add_form_template = "admin/anomalies/suppression_add.html"
    list_display = ("reason", "covers", "owner", "state", "hit_count", "last_hit", "expires_at")
    list_filter = (("ended_at", WhetherFilter),)
    search_fields = ("reason", "owner", "agent_id", "principal_id", "public_id")
    ordering = ("-id",)
    actions = ("end",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Suppression]:
        hits = {"hits": Count("anomalies"), "hit_last": Max("anomalies__detected_at")}
        return Suppression.objects.annotate(**hits).order_by(*self.ordering)

    def get_fieldsets(self, request: HttpRequest, obj: Suppression | None = None) -> Any:
        if obj is None:
            return (
                (None, {"fields": ("reason", "owner", "expires_at", "seen")}),
                ("Hides anomalies of all that is given", {"fields": _CONDITIONS}),
            )
        since = ("public_id", "state", "created_at", "created_by", "expires_at", "ended_at", "ended_by")
        return (
            (None, {"fields": ("reason", "owner", "covers", "hit_count", "last_hit")}),
            ("Since", {"fields": since}),
            ("In the 30 days until now", {"fields": ("matching",)}),
        )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        assert isinstance(request.user, AbstractBaseUser)  # the admin site lets nobody else in
        return {"owner": request.user.get_username(), **super().get_changeform_initial_data(request)}

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        preview = getattr(context["adminform"].form, "preview", None)
        if preview:
            context = {**context, "preview": _shown(preview), "errors": None}  # nothing is wrong
        return super().render_change_form(request, context, *args, **kwargs)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_end_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("anomalies.change_suppression")

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: bool) -> None:
        wanted = form.cleaned_data
        made = suppressions.create(
            reason=wanted["reason"],
            owner=wanted["owner"],
            conditions=form.conditions,
            expires_at=wanted["expires_at"],
            by=actor_of(request),
            at=timezone.now(),
        )
        obj.pk = made.pk
        obj.refresh_from_db()

    @admin.action(description="End selected suppressions", permissions=["end"])
    def end(self, request: HttpRequest, queryset: QuerySet[Suppression]) -> None:
        done = 0
        for suppression in queryset:
            try:
                suppressions.end(suppression, by=actor_of(request), at=timezone.now())
            except suppressions.AlreadyEndedError as error:
                self.message_user(request, str(error), messages.WARNING)
            else:
                self.log_change(request, suppression, "Ended.")
                done += 1
        if done:
            self.message_user(request, f"{done:,} ended. What they hid stays hidden.", messages.SUCCESS)

    @admin.display(description="hides")
    def covers(self, suppression: Suppression) -> str:
        given = asdict(suppressions.conditions_of(suppression))
        highest = given.pop("highest_severity")
        if given["type"] in DETECTORS:
            given["type"] = DETECTORS[given["type"]].label
        said = [f"{name.removesuffix('_id')} {value}" for name, value in given.items() if value]
        return ", ".join(said) + (f", up to {Severity(highest).label}" if highest < Severity.HIGH else "")

    @admin.display(description="state")
    def state(self, suppression: Suppression) -> str:
        if suppression.ended_at:
            return "ended"
        expired = suppression.expires_at and suppression.expires_at <= timezone.now()
        return "expired" if expired else "in force"

    @admin.display(description="anomalies hidden", ordering="hits")
    def hit_count(self, suppression: Suppression) -> str:
        return f"{suppression.hits:,}"  # type: ignore[attr-defined]  # annotated

    @admin.display(description="last hidden", ordering="hit_last")
    def last_hit(self, suppression: Suppression) -> str:
        last = suppression.hit_last  # type: ignore[attr-defined]  # annotated
        return localize(timezone.localtime(last)) if last else "never"

    @admin.display(description="anomalies that meet the conditions")
    def matching(self, suppression: Suppression) -> SafeString:
        return _shown(suppressions.preview(suppressions.conditions_of(suppression), at=timezone.now()))


def _shown(preview: Preview) -> SafeString:
    """A preview as a list, with the newest anomalies as links to their pages."""
    if not preview.total:
        return format_html("<p>No anomaly of the last {} days meets these conditions.</p>", preview.days)
    verdicts = {**dict(Anomaly.Status.choices), **dict(Anomaly.Verdict.choices)}
    counts = format_html_join(
        "",
        "<li>{} {}: {}</li>",
        (
            (DETECTORS[type_].label if type_ in DETECTORS else type_, str(verdicts[decided]).lower(), f"{count:,}")
            for type_, decided, count in preview.counts
        ),
    )
    newest = format_html_join(
        "",
        '<li>{} <a href="{}">{}</a></li>',
        (
            (f"{anomaly.detected_at:%Y-%m-%d %H:%M} UTC", f"/anomalies/{anomaly.public_id}/", anomaly.description)
            for anomaly in preview.newest
        ),
    )
    return format_html(
        "<p>{} of the last {} days:</p><ul>{}</ul><p>The newest of them:</p><ul>{}</ul>",
        f"{preview.total:,} {'anomaly' if preview.total == 1 else 'anomalies'}",
        preview.days,
        counts,
        newest,
    )
