"""Overrides: agents that a detector judges by parameters of their own."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone

from anomalies.admin.backtest import TriedChangesAdmin
from anomalies.admin.base import actor_of
from anomalies.admin.parameter import ParametersForm, form_of, listed
from anomalies.detection.registry import DETECTORS
from anomalies.models import Agent, Backtest, DetectorOverride
from anomalies.services import backtests, detectors

_SINCE = ("updated_at", "updated_by")


class _OverrideForm(ParametersForm):
    agent_id = forms.CharField(label="Agent", max_length=200, help_text="Its whole id")
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), help_text="Why this agent differs.")

    class Meta:
        model = DetectorOverride
        fields = ("enabled", "reason")
        help_texts = {"enabled": "Holds for this agent whether or not the detector is on for others."}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = self.instance.pk is not None
        self.start_from(detectors.parameters_of(self.type_, self.instance.agent if known else None))
        if known:
            self.fields["agent_id"].disabled = True
            self.initial["agent_id"] = self.instance.agent_id

    def clean_agent_id(self) -> str:
        agent_id: str = self.cleaned_data["agent_id"]
        if not Agent.objects.filter(public_id=agent_id, deleted_at__isnull=True).exists():
            raise ValidationError(f"There is no agent {agent_id!r}.")
        if self.instance.pk is None and DetectorOverride.objects.filter(type=self.type_, agent_id=agent_id).exists():
            raise ValidationError(f"{agent_id} has an override of this detector already: change that.")
        return agent_id

    @property
    def agent(self) -> Agent:
        return Agent.objects.get(public_id=self.cleaned_data["agent_id"])


@admin.register(DetectorOverride)
class DetectorOverrideAdmin(TriedChangesAdmin):
    list_display = ("label", "agent_named", "enabled", "changed", "reason", "updated_at", "updated_by")
    search_fields = ("agent__public_id__exact", "reason")
    search_help_text = "The whole id of an agent, or words of the reason"
    ordering = ("type", "agent_id")
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[DetectorOverride]:
        return super().get_queryset(request).filter(type__in=DETECTORS)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        """Ask for the detector first: its parameters are the fields."""
        if request.GET.get("type") in DETECTORS or not self.has_add_permission(request):
            return super().add_view(request, form_url, extra_context)
        context = {
            **self.admin_site.each_context(request),
            "title": "Judge an agent otherwise",
            "opts": self.opts,
            "detectors": DETECTORS.values(),
        }
        return TemplateResponse(request, "admin/anomalies/override_of.html", context)

    def get_form(
        self, request: HttpRequest, obj: DetectorOverride | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        return form_of(self._type(request, obj), _OverrideForm)

    def get_fieldsets(self, request: HttpRequest, obj: DetectorOverride | None = None) -> Any:
        about = ["label", "meaning"] if obj else []
        if not self.has_change_permission(request, obj):
            return [
                (None, {"fields": [*about, "agent_named", "enabled", "reason", "changed", "updated_at", "updated_by"]})
            ]
        parameters = [parameter.name for parameter in DETECTORS[self._type(request, obj)].parameters]
        return [
            (None, {"fields": [*about, "agent_id", "enabled", "reason", *(_SINCE if obj else ())]}),
            ("Parameters: those equal to the detector's settings follow them", {"fields": parameters}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: DetectorOverride | None = None) -> list[str]:
        return ["label", "meaning", "agent_named", "changed", *_SINCE]

    def _type(self, request: HttpRequest, obj: DetectorOverride | None) -> str:
        return obj.type if obj and obj.type else request.GET["type"]

    def save_model(self, request: HttpRequest, obj: DetectorOverride, form: Any, change: bool) -> None:
        saved = detectors.override(
            form.type_,
            form.agent,
            enabled=obj.enabled,
            parameters=form.parameters,
            reason=obj.reason,
            by=actor_of(request),
            at=timezone.now(),
        )
        obj.pk = saved.pk
        obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: DetectorOverride) -> None:
        detectors.remove_override(obj.type, obj.agent, by=actor_of(request), at=timezone.now())

    def start_backtest(self, obj: DetectorOverride, form: Any, **days: Any) -> Backtest:
        return backtests.start(form.type_, agent=form.agent, enabled=obj.enabled, parameters=form.parameters, **days)

    @admin.display(description="detector", ordering="type")
    def label(self, row: DetectorOverride) -> str:
        return DETECTORS[row.type].label

    @admin.display(description="meaning")
    def meaning(self, row: DetectorOverride) -> str:
        return DETECTORS[row.type].meaning

    @admin.display(description="agent", ordering="agent_id")
    def agent_named(self, row: DetectorOverride) -> str:
        return row.agent_id

    @admin.display(description="parameters of its own")
    def changed(self, row: DetectorOverride) -> str:
        return listed(row.type, row.parameters) or "none"
