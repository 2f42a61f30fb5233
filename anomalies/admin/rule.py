"""Reviewers' own rules: made, changed, switched off and deleted."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Max, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import localize
from django.utils.text import capfirst

from anomalies.admin.base import SeverityFilter, ToldChangesAdmin, actor_of
from anomalies.detection.registry import counting
from anomalies.detection.wording import plural, span
from anomalies.models import Anomaly, Rule, Severity
from anomalies.services import rules


class _RuleForm(forms.ModelForm):
    """Agents and scopes one a line, windows by name: nobody types JSON or seconds."""

    severity = forms.TypedChoiceField(choices=[*reversed(Severity.choices)], coerce=int, initial=Severity.MEDIUM)
    agents = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="An id a line; empty: all of them. One that is not known yet may come later.",
    )
    scopes = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="One a line; empty: each event. An event is about a scope if that is its permission, its action, or "
        "a scope of the grant that it names.",
    )
    window_seconds = forms.TypedChoiceField(
        label="Window", choices=[(seconds, span(seconds)) for seconds in rules.WINDOWS.values()], coerce=int
    )

    class Meta:
        model = Rule
        fields = ("name", "description", "severity", "agents", "scopes", "window_seconds", "threshold", "enabled")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in ("agents", "scopes"):
            self.initial[field] = "\n".join(getattr(self.instance, field))

    def clean_agents(self) -> list[str]:
        return _lines(self.cleaned_data["agents"])

    def clean_scopes(self) -> list[str]:
        return _lines(self.cleaned_data["scopes"])

    def clean(self) -> dict[str, Any]:
        for field, reason in rules.errors_of(self.cleaned_data, of=self.instance).items():
            self.add_error(field, capfirst(reason))
        return self.cleaned_data


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


@admin.register(Rule)
class RuleAdmin(ToldChangesAdmin):
    form = _RuleForm
    list_display = ("name", "says", "severity_named", "enabled", "raised", "last_raised", "updated_at", "updated_by")
    list_filter = ("enabled", SeverityFilter)
    search_fields = ("name", "description", "public_id")
    ordering = ("name",)
    actions = ("end",)
    fieldsets = (
        (None, {"fields": ("name", "description", "enabled", "severity")}),
        (
            "Raises an anomaly",
            {
                "fields": ("threshold", "window_seconds", "agents", "scopes"),
                "description": "It judges what happens from now on: a change does not look back.",
            },
        ),
        (
            "Since",
            {
                "fields": (
                    "public_id",
                    "raised",
                    "last_raised",
                    "in_force_since",
                    "created_at",
                    "created_by",
                    "updated_at",
                    "updated_by",
                )
            },
        ),
    )
    readonly_fields = (
        "public_id",
        "raised",
        "last_raised",
        "in_force_since",
        "created_at",
        "created_by",
        "updated_at",
        "updated_by",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rule]:
        of_it = (
            Anomaly.objects.filter(type__in=counting("rule_events"), topic=OuterRef("public_id"))
            .order_by()
            .values("topic")
        )
        return (
            Rule.objects.living()
            .annotate(
                raised_count=Subquery(of_it.annotate(n=Count("pk")).values("n")),
                raised_last=Subquery(of_it.annotate(last=Max("detected_at")).values("last")),
            )
            .order_by(*self.ordering)
        )

    def get_fieldsets(self, request: HttpRequest, obj: Rule | None = None) -> Any:
        return self.fieldsets if obj else self.fieldsets[:2]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # its row stays, for the anomalies that it raised

    def has_end_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("anomalies.delete_rule")

    def save_model(self, request: HttpRequest, obj: Rule, form: Any, change: bool) -> None:
        by, at, wanted = actor_of(request), timezone.now(), form.cleaned_data
        if change:
            rules.change(obj, by=by, at=at, **wanted)
        else:
            obj.pk = rules.create(by=by, at=at, **wanted).pk
            obj.refresh_from_db()
        if unknown := rules.unknown_agents(obj.agents):
            self.message_user(request, f"Nothing is known of {', '.join(unknown)} yet.", messages.WARNING)

    @admin.action(description="Delete selected rules; their anomalies stay", permissions=["end"])
    def end(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        for rule in queryset:
            rules.delete(rule, by=actor_of(request), at=timezone.now())
            self.log_change(request, rule, "Deleted.")
            self.message_user(request, f"{rule.name} is deleted.", messages.SUCCESS)

    @admin.display(description="raises an anomaly at")
    def says(self, rule: Rule) -> str:
        about = f" about {', '.join(rule.scopes)}" if rule.scopes else ""
        whose = f" of {', '.join(rule.agents)}" if rule.agents else ""
        return f"{plural(rule.threshold, 'event')} in {span(rule.window_seconds)}{about}{whose}"

    @admin.display(description="severity", ordering="severity")
    def severity_named(self, rule: Rule) -> str:
        return Severity(rule.severity).label

    @admin.display(description="anomalies raised", ordering="raised_count")
    def raised(self, rule: Rule) -> str:
        return f"{getattr(rule, 'raised_count', None) or 0:,}"

    @admin.display(description="last raised", ordering="raised_last")
    def last_raised(self, rule: Rule) -> str:
        last = getattr(rule, "raised_last", None)
        return localize(timezone.localtime(last)) if last else "never"
