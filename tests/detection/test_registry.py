"""What holds for every detector; a new one is tested here without a line."""

import json

import numpy as np
import pytest

from anomalies.detection.detector import Detector
from anomalies.detection.history import History
from anomalies.detection.parameter import build_config
from anomalies.detection.registry import DETECTORS
from tests.detection import build

EVIDENCE = {
    "observed", "expected", "lower", "upper", "p", "unit", "resolution_seconds", "start", "end", "event_count",
    "history_days", "parameters", "detector_version", "why",
}  # fmt: skip


@pytest.fixture(params=sorted(DETECTORS))
def detector(request: pytest.FixtureRequest) -> Detector:
    return DETECTORS[request.param]


def _busy() -> History:
    counts = build.office(30, n=4)
    counts[1, -14:-12] *= 20
    failures = np.random.default_rng(1).binomial(counts, 0.03)
    failures[2, -14] = counts[2, -14]
    return build.history(counts, failures=failures)


def test_it_says_what_people_need(detector: Detector) -> None:
    assert detector.label
    assert detector.meaning.endswith(".")
    assert detector.risk
    assert detector.may_indicate
    assert detector.recommended_actions
    for parameter in detector.parameters:
        assert parameter.help
        assert parameter.low <= (len(parameter.default) if parameter.is_words else parameter.default) <= parameter.high


def test_its_defaults_and_bounds_are_allowed(detector: Detector) -> None:
    for parameter in detector.parameters:
        for bound in (parameter.low, parameter.high):
            value = ("word",) * bound if parameter.is_words else type(parameter.default)(bound)
            build_config(detector.config, {parameter.name: value})
        build_config(detector.config, {parameter.name: parameter.default})


def test_scoring_twice_gives_the_same(detector: Detector) -> None:
    history = _busy()
    assert detector.detect(history, detector.config()) == detector.detect(history, detector.config())


def test_nothing_happened_finds_nothing(detector: Detector) -> None:
    assert detector.detect(build.history(np.zeros((3, 24 * 30))), detector.config()) == []


def test_its_findings_are_explained_and_plain(detector: Detector) -> None:
    for finding in detector.detect(_busy(), detector.config()):
        assert finding.type == detector.type
        assert finding.metrics[0].what == detector.counts
        assert finding.evidence.keys() >= EVIDENCE
        assert json.loads(json.dumps(finding.evidence)) == finding.evidence
        assert 0 <= finding.score <= 1
        assert finding.start < finding.end


def test_its_chart_covers_what_is_judged(detector: Detector) -> None:
    counts = build.office(30)
    for width, buckets in ((300, 288), (3600, 24)):
        shown = detector.chart(build.history(counts), detector.config(), width)
        assert len(shown.starts) == len(shown.observed) == len(shown.expected) == buckets
        assert (shown.lower <= shown.upper).all()


def test_by_its_code_a_type_stands_where_its_label_does() -> None:
    """The list sorts by the codes, which have an index, and shows the short labels."""
    by_code = [DETECTORS[type_] for type_ in sorted(DETECTORS)]
    assert sorted(by_code, key=lambda one: one.label.casefold()) == by_code
    assert sorted(by_code, key=lambda one: one.short_label.casefold()) == by_code


def test_each_parameter_is_called_otherwise_in_words(detector: Detector) -> None:
    labels = [one.label for one in detector.parameters]
    assert len(set(labels)) == len(labels)
    assert all(label[:1].isupper() and "_" not in label and not label.endswith(".") for label in labels)
    assert [detector.label_of(one.name) for one in detector.parameters] == labels
    assert detector.label_of("of_the_past") == "Of the past"
