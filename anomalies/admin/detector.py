"""Detectors: switched on and off, with their parameters as fields that know their bounds."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from anomalies.admin.backtest import TriedChangesAdmin
from anomalies.admin.base import actor_of, link_to
from anomalies.admin.parameter import ParametersForm, form_of, listed
from anomalies.detection.registry import DETECTORS
from anomalies.models import Backtest, DetectorOverride, DetectorSettings
from anomalies.services import backtests, detectors


class _SettingsForm(ParametersForm):
    class Meta:
        model = DetectorSettings
        fields = ("enabled",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.start_from(self.instance.parameters)


def _history_of(settings: DetectorSettings) -> QuerySet[LogEntry]:
    of_settings = ContentType.objects.get_for_model(DetectorSettings)
    return LogEntry.objects.filter(content_type=of_settings, object_id=str(settings.pk))


@admin.register(DetectorSettings)
class DetectorSettingsAdmin(TriedChangesAdmin):
    list_display = ("label", "enabled", "changed", "last_changed")
    ordering = ("type",)
    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # there is a row for each that exists

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[DetectorSettings]:
        return super().get_queryset(request).filter(type__in=DETECTORS)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        detectors.add_missing_settings()
        return super().changelist_view(request, extra_context)

    def get_form(
        self, request: HttpRequest, obj: DetectorSettings | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        return form_of(obj.type, _SettingsForm) if obj else _SettingsForm

    def get_fieldsets(self, request: HttpRequest, obj: DetectorSettings | None = None) -> Any:
        parameters = [parameter.name for parameter in DETECTORS[obj.type].parameters] if obj else []
        about = (None, {"fields": ["label", "meaning", "enabled", "last_changed", "overrides"]})
        if not self.has_change_permission(request, obj):
            return [about, ("Parameters", {"fields": ["changed"]})]
        return [about, ("Parameters", {"fields": parameters})]

    def get_readonly_fields(self, request: HttpRequest, obj: DetectorSettings | None = None) -> list[str]:
        return ["label", "meaning", "changed", "last_changed", "overrides"]

    def save_model(self, request: HttpRequest, obj: DetectorSettings, form: Any, change: bool) -> None:
        detectors.configure(
            obj, enabled=obj.enabled, parameters=form.parameters, by=actor_of(request), at=timezone.now()
        )

    def start_backtest(self, obj: DetectorSettings, form: Any, **days: Any) -> Backtest:
        return backtests.start(obj.type, enabled=obj.enabled, parameters=form.parameters, **days)

    @admin.display(description="detector", ordering="type")
    def label(self, settings: DetectorSettings) -> str:
        return DETECTORS[settings.type].label

    @admin.display(description="meaning")
    def meaning(self, settings: DetectorSettings) -> str:
        return DETECTORS[settings.type].meaning

    @admin.display(description="changed parameters")
    def changed(self, settings: DetectorSettings) -> str:
        return listed(settings.type, settings.parameters) or "none"

    @admin.display(description="overrides")
    def overrides(self, settings: DetectorSettings) -> SafeString:
        """Which agents are judged by other parameters, and a way to make another."""
        known = DetectorOverride.objects.filter(type=settings.type).order_by("agent_id")
        listed = format_html_join(", ", '<a href="{}">{}</a>', ((link_to(row), row.agent_id) for row in known))
        add = f"{reverse('admin:anomalies_detectoroverride_add')}?type={settings.type}"
        return format_html('{}. <a href="{}">Judge an agent otherwise</a>', listed or "none", add)

    @admin.display(description="last changed", ordering="updated_at")
    def last_changed(self, settings: DetectorSettings) -> str:
        """Each change is made by a person, here, so that the history has it."""
        return localize(timezone.localtime(settings.updated_at)) if _history_of(settings).exists() else "never"
