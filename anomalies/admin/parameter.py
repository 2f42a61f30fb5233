"""Parameters of detectors as fields that know their bounds."""

from collections.abc import Callable, Mapping
from typing import Any

from django import forms

from anomalies.detection.parameter import Parameter, ParameterError, check_words
from anomalies.detection.registry import DETECTORS


class ParametersForm(forms.ModelForm):
    """A form with a field for each parameter of its detector (`form_of`)."""

    type_: str

    def start_from(self, values: dict[str, Any]) -> None:
        """Show these values, the default for those that are left out."""
        for parameter in DETECTORS[self.type_].parameters:
            value = values.get(parameter.name, parameter.default)
            self.initial[parameter.name] = tuple(value) if parameter.is_words else value

    @property
    def parameters(self) -> dict[str, Any]:
        return {p.name: self.cleaned_data[p.name] for p in DETECTORS[self.type_].parameters}


def form_of(type_: str, base: type[ParametersForm]) -> type[ParametersForm]:
    """Return that form made for one detector."""
    fields = {parameter.name: field_of(parameter) for parameter in DETECTORS[type_].parameters}
    return type(base.__name__, (base,), {**fields, "type_": type_})


class _WordsField(forms.CharField):
    """Words between commas, as a tuple; nobody types JSON."""

    def __init__(self, parameter: Parameter, **kwargs: Any) -> None:
        self._parameter = parameter
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else shown(value)

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


def shown(value: Any) -> str:
    """A parameter as people read and type it: `0.5`, `admin, owner`."""
    return ", ".join(value) if isinstance(value, list | tuple) else f"{value:g}" if value is not None else ""


def listed(type_: str, parameters: Mapping[str, Any]) -> str:
    """`Above the expected, at least 3; ...`: parameters in a line."""
    known = DETECTORS.get(type_)
    return "; ".join(f"{known.label_of(name) if known else name} {shown(value)}" for name, value in parameters.items())


def field_of(parameter: Parameter) -> forms.Field:
    if parameter.is_words:
        label = parameter.label
        return _WordsField(
            parameter,
            label=label,
            help_text=f"{parameter.help.rstrip('.')}. Commas between them, default {shown(parameter.default)}.",
            error_messages={"required": f"{label}: a word is needed."},
        )
    kind: Callable[..., forms.Field] = forms.IntegerField if isinstance(parameter.default, int) else forms.FloatField
    label = f"{parameter.label} ({parameter.unit})" if parameter.unit else parameter.label
    range_ = f"{parameter.low:,.12g} to {parameter.high:,.12g}"
    bounds = f"{label}: it must be from {range_}."
    return kind(
        label=label,
        min_value=parameter.low,
        max_value=parameter.high,
        help_text=f"{parameter.help.rstrip('.')}. {range_}, default {parameter.default:,.12g}.",
        error_messages={
            "required": f"{label}: a number is needed.",
            "invalid": f"{label}: it must be a {'whole ' if isinstance(parameter.default, int) else ''}number.",
            "min_value": bounds,
            "max_value": bounds,
        },
    )
