"""detection/scoring, wording and parameter."""

import pytest

from anomalies.detection import scoring, wording
from anomalies.detection.detectors.rate_spike import Config
from anomalies.detection.parameter import ParameterError, build_config


@pytest.mark.parametrize(
    ("p", "s", "severity"), [(1e-4, 0.2, 1), (1e-6, 0.4, 2), (1e-9, 0.7, 3), (0.0, 1.0, 3), (1, 0, 1)]
)
def test_scores(p: float, s: float, severity: int) -> None:
    surprise = scoring.surprise(p)
    assert scoring.score(surprise) == pytest.approx(s)
    assert scoring.severity(surprise + 1e-9) == severity


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1204, "1,204"),
        (38.2, "38"),
        (4.23, "4.2"),
        (0.31, "0.31"),
        (0.5, "0.5"),
        (0.0213, "0.02"),
        (1e-9, "under 0.01"),
        (0, "0"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (8.3e-5, "about 1 in 12,048"),
        (8.3e-8, "about 1 in 12 million"),
        (1e-9, "less than 1 in a billion"),
        (0, "less than 1 in a billion"),
    ],
)
def test_chances(p: float, text: str) -> None:
    assert wording.chance(p) == text


@pytest.mark.parametrize(
    ("names", "text"), [([], "none"), (["a"], "a"), (["a", "b"], "a and b"), (list("abcde"), "a, b, c and 2 more")]
)
def test_listings(names: list[str], text: str) -> None:
    assert wording.listing(names) == text


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"alpha": 1}, "alpha: no such parameter"),
        ({"min_ratio": 0.5}, "min_ratio: 0.5 is not between 1 and 1000 times"),
        ({"min_ratio": "2"}, "min_ratio: '2' is not a number"),
        ({"min_ratio": True}, "min_ratio: True is not a number"),
        ({"min_ratio": float("nan")}, "min_ratio: nan is not between"),
    ],
)
def test_a_parameter_that_cannot_be_is_named(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        build_config(Config, changed)


def test_a_parameter_within_its_bounds_is_taken() -> None:
    assert build_config(Config, {"min_ratio": 3}).min_ratio == 3.0
