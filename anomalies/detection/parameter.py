"""Parameters of detectors: a default with its unit, bounds and meaning, so that pages and checks need no other list."""

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    name: str
    default: Any
    unit: str
    low: float
    high: float
    help: str


class ParameterError(Exception):
    """A parameter that does not exist or is out of bounds; its text names it."""


def parameter(default: Any, *, unit: str, low: float, high: float, help: str) -> Any:  # noqa: A002  as in argparse
    """Declare a field of a detector's frozen `Config`; both bounds are allowed values."""
    return dataclasses.field(default=default, metadata={"unit": unit, "low": low, "high": high, "help": help})


def parameters_of(config: Any) -> tuple[Parameter, ...]:
    """Return the parameters that a detector's `Config` declares."""
    return tuple(
        Parameter(name=field.name, default=field.default, **field.metadata) for field in dataclasses.fields(config)
    )


def build_config(config: Any, changed: Mapping[str, Any]) -> Any:
    """Return a `Config` with those parameters changed.

    Raises ParameterError for an unknown name, a value of another type, or one out of bounds.
    """
    known = {p.name: p for p in parameters_of(config)}
    for name, value in changed.items():
        if name not in known:
            raise ParameterError(f"{name}: no such parameter; there are {', '.join(known)}.")
        wanted = known[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ParameterError(f"{name}: {value!r} is not a number.")
        if not wanted.low <= value <= wanted.high:
            raise ParameterError(f"{name}: {value} is not between {wanted.low:g} and {wanted.high:g} {wanted.unit}.")
        if isinstance(wanted.default, int) and value != int(value):
            raise ParameterError(f"{name}: {value} is not a whole number.")
    return config(**{name: type(known[name].default)(value) for name, value in changed.items()})
