"""Parameters of detectors: a default with its unit, bounds and meaning, so that pages and checks need no other list."""

import dataclasses
from collections.abc import Mapping
from typing import Any

MOST_WORDS = 50
LONGEST_WORD = 100  # characters


@dataclasses.dataclass(frozen=True, slots=True)
class Parameter:
    name: str  # by which it is stored and sent
    label: str  # what people call it
    default: Any  # a number, or a tuple of words; of these, the bounds are of how many there are
    unit: str
    low: float
    high: float
    help: str

    @property
    def is_words(self) -> bool:
        return isinstance(self.default, tuple)


class ParameterError(Exception):
    """A parameter that does not exist or is out of bounds; its text names it."""


def parameter(
    default: Any,
    *,
    label: str,
    unit: str,
    low: float,
    high: float,
    help: str,  # noqa: A002  as in argparse
) -> Any:
    """Declare a field of a detector's frozen `Config`; both bounds are allowed values."""
    return dataclasses.field(
        default=default, metadata={"label": label, "unit": unit, "low": low, "high": high, "help": help}
    )


def words(*default: str, label: str, help: str) -> Any:  # noqa: A002  as in argparse
    """Declare a field of a detector's frozen `Config` that is a tuple of words or phrases."""
    return parameter(default, label=label, unit="words", low=1, high=MOST_WORDS, help=help)


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
        if known[name].is_words:
            check_words(known[name], value)
        else:
            _check_number(known[name], value)
    return config(**{name: type(known[name].default)(value) for name, value in changed.items()})


def _check_number(wanted: Parameter, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ParameterError(f"{wanted.name}: {value!r} is not a number.")
    if not wanted.low <= value <= wanted.high:
        raise ParameterError(f"{wanted.name}: {value} is not between {wanted.low:g} and {wanted.high:g} {wanted.unit}.")
    if isinstance(wanted.default, int) and value != int(value):
        raise ParameterError(f"{wanted.name}: {value} is not a whole number.")


def check_words(wanted: Parameter, value: Any) -> None:
    """Raise ParameterError if these are no words that the parameter may have."""
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise ParameterError(f"{wanted.name}: {value!r} is not a list of words.")
    if not wanted.low <= len(value) <= wanted.high:
        raise ParameterError(f"{wanted.name}: {len(value)} is not between {wanted.low:g} and {wanted.high:g} words.")
    for word in value:
        if not word.strip() or len(word) > LONGEST_WORD:
            raise ParameterError(f"{wanted.name}: a word has 1 to {LONGEST_WORD} characters, not {word!r}.")
