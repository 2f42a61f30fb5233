"""Parameters of a detector as fields: what was typed, what it means, and what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anomalies.detection.parameter import Parameter, ParameterError, build_config
from anomalies.detection.registry import DETECTORS


@dataclass(frozen=True, slots=True)
class ParameterField:
    parameter: Parameter
    text: str
    error: str = ""

    @property
    def name(self) -> str:
        return self.parameter.name

    @property
    def label(self) -> str:
        return self.parameter.label

    @property
    def default(self) -> str:
        return told(self.parameter.default)

    @property
    def bounds(self) -> str:
        """`1 to 100 events`."""
        return f"{self.range} {self.parameter.unit}".strip()

    @property
    def range(self) -> str:
        return f"{number(self.parameter.low)} to {number(self.parameter.high)}"

    @property
    def differs(self) -> bool:
        """Whether it is another than the default."""
        return self.text != self.default


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed into all fields of a type; `values` are those that make sense."""

    fields: list[ParameterField]
    values: dict[str, Any]

    @property
    def is_valid(self) -> bool:
        return not any(field.error for field in self.fields)


def number(value: float) -> str:
    """`1,000,000`, `0.000001`, `1e-12`: what may be typed, as people read it."""
    return f"{value:g}" if 0 < abs(value) < 1e-8 else f"{value:,.9f}".rstrip("0").rstrip(".")


def told(value: Any) -> str:
    """A parameter as people read and type it: `0.5`, `admin, owner`."""
    return ", ".join(value) if isinstance(value, list | tuple) else number(value).replace(",", "")


def label_of(type_: str, name: str) -> str:
    """What people call a parameter of a type; of a type that is no more, its name in words."""
    return DETECTORS[type_].label_of(name) if type_ in DETECTORS else name.replace("_", " ").capitalize()


def fields_of(type_: str, values: Mapping[str, Any]) -> list[ParameterField]:
    """Return the fields of a type with these values, the default where one is left out."""
    return [ParameterField(one, told(values.get(one.name, one.default))) for one in DETECTORS[type_].parameters]


def typed(type_: str, posted: Mapping[str, Any]) -> Typed:
    """Return what was posted for a type. What is wrong names its field, range and unit."""
    fields, values = [], {}
    for parameter in DETECTORS[type_].parameters:
        text = str(posted.get(parameter.name, told(parameter.default))).strip()
        field = ParameterField(parameter, text)
        try:
            value = _value(parameter, text)
            build_config(DETECTORS[type_].config, {parameter.name: value})
        except (ValueError, OverflowError, ParameterError) as error:
            kind = "whole number" if isinstance(parameter.default, int) else "number"
            said = str(error).partition(": ")[2] if parameter.is_words else ""
            given = f"“{text[:40]}” is not a" if text else "enter a"
            wrong = said or f"{given} {kind} from {field.bounds}."
            field = ParameterField(parameter, text, f"{field.label}: {wrong}")
        else:
            values[parameter.name] = value
        fields.append(field)
    return Typed(fields, values)


def _value(parameter: Parameter, text: str) -> Any:
    if parameter.is_words:
        return list(dict.fromkeys(word for word in map(str.strip, text.split(",")) if word))
    number = float(text)
    return int(number) if isinstance(parameter.default, int) and number == int(number) else number
