"""Detectors: switched on and off, with their parameters as fields that know their bounds."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import localize

from anomalies.admin.base import ToldChangesAdmin
from anomalies.detection.parameter import Parameter, ParameterError, check_words
from anomalies.detection.registry import DETECTORS
from anomalies.models import DetectorSettings
from anomalies.services import detectors


class _SettingsForm(forms.ModelForm):
    """Made for one detector: its parameters are fields (`_form_of`)."""

    class Meta:
        model = DetectorSettings
        fields = ("enabled",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for parameter in DETECTORS[self.instance.type].parameters:
            value = self.instance.parameters.get(parameter.name, parameter.default)
            self.initial[parameter.name] = tuple(value) if parameter.is_words else value

    @property
    def parameters(self) -> dict[str, Any]:
        return {p.name: self.cleaned_data[p.name] for p in DETECTORS[self.instance.type].parameters}


class _WordsField(forms.CharField):
    """Words between commas, as a tuple; nobody types JSON."""

    def __init__(self, parameter: Parameter, **kwargs: Any) -> None:
        self._parameter = parameter
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else _shown(value)

    def to_python(self, value: Any) -> tuple[str, ...]:  # type: ignore[override]  # words, not their text
        words = value if isinstance(value, tuple) else (word.strip() for word in (value or "").split(","))
        return tuple(dict.fromkeys(word for word in words if word))

    def validate(self, value: Any) -> None:
        super().validate(value)
        if value:
            try:
                check_words(self._parameter, value)
            except ParameterError as error:
                raise forms.ValidationError(str(error)) from error

    def run_validators(self, value: Any) -> None:
        """Those of a text do not fit words."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return self.to_python(initial) != self.to_python(data)


def _shown(value: Any) -> str:
    """A parameter as people read and type it: `0.5`, `admin, owner`."""
    return ", ".join(value) if isinstance(value, list | tuple) else f"{value:g}" if value is not None else ""


def _field(parameter: Parameter) -> forms.Field:
    if parameter.is_words:
        label = parameter.name.replace("_", " ")
        return _WordsField(
            parameter,
            label=label,
            help_text=f"{parameter.help.rstrip('.')}. Commas between them, default {_shown(parameter.default)}.",
            error_messages={"required": f"{label}: a word is needed."},
        )
    kind: Callable[..., forms.Field] = forms.IntegerField if isinstance(parameter.default, int) else forms.FloatField
    name = parameter.name.replace("_", " ")
    label = f"{name} ({parameter.unit})" if parameter.unit else name
    range_ = f"{parameter.low:g} to {parameter.high:g}"
    bounds = f"{label}: it must be from {range_}."
    return kind(
        label=label,
        min_value=parameter.low,
        max_value=parameter.high,
        help_text=f"{parameter.help.rstrip('.')}. {range_}, default {parameter.default:g}.",
        error_messages={
            "required": f"{label}: a number is needed.",
            "invalid": f"{label}: it must be a {'whole ' if isinstance(parameter.default, int) else ''}number.",
            "min_value": bounds,
            "max_value": bounds,
        },
    )


def _history_of(settings: DetectorSettings) -> QuerySet[LogEntry]:
    of_settings = ContentType.objects.get_for_model(DetectorSettings)
    return LogEntry.objects.filter(content_type=of_settings, object_id=str(settings.pk))


def _form_of(type_: str) -> type[_SettingsForm]:
    fields = {parameter.name: _field(parameter) for parameter in DETECTORS[type_].parameters}
    return type("SettingsForm", (_SettingsForm,), fields)


@admin.register(DetectorSettings)
class DetectorSettingsAdmin(ToldChangesAdmin):
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
        return _form_of(obj.type) if obj else _SettingsForm

    def get_fieldsets(self, request: HttpRequest, obj: DetectorSettings | None = None) -> Any:
        parameters = [parameter.name for parameter in DETECTORS[obj.type].parameters] if obj else []
        about = (None, {"fields": ["label", "meaning", "enabled", "last_changed"]})
        if not self.has_change_permission(request, obj):
            return [about, ("Parameters", {"fields": ["changed"]})]
        return [about, ("Parameters", {"fields": parameters})]

    def get_readonly_fields(self, request: HttpRequest, obj: DetectorSettings | None = None) -> list[str]:
        return ["label", "meaning", "changed", "last_changed"]

    def save_model(self, request: HttpRequest, obj: DetectorSettings, form: Any, change: bool) -> None:
        detectors.configure(obj, enabled=obj.enabled, parameters=form.parameters, at=timezone.now())

    @admin.display(description="detector", ordering="type")
    def label(self, settings: DetectorSettings) -> str:
        return DETECTORS[settings.type].label

    @admin.display(description="meaning")
    def meaning(self, settings: DetectorSettings) -> str:
        return DETECTORS[settings.type].meaning

    @admin.display(description="changed parameters")
    def changed(self, settings: DetectorSettings) -> str:
        return (
            ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in settings.parameters.items())
            or "none"
        )

    @admin.display(description="last changed", ordering="updated_at")
    def last_changed(self, settings: DetectorSettings) -> str:
        """Each change is made by a person, here, so that the history has it."""
        return localize(timezone.localtime(settings.updated_at)) if _history_of(settings).exists() else "never"
