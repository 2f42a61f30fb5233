"""detection/history: what is known of some entities alone."""

import dataclasses

import numpy as np

from anomalies.detection.detector import Detector
from anomalies.detection.finding import Finding
from anomalies.detection.history import Attempts, Calendar, Counts, History, Meeting, Rule
from anomalies.detection.registry import DETECTORS
from tests.detection import build


def _busy() -> History:
    """Four agents, of whom the second spikes, the third is refused, and each did two actions."""
    counts = np.concatenate([build.office(30, n=4), build.office(30, n=4, seed=2)])
    counts[1, -14:-12] *= 20
    counts[3, -22:-20] = 30
    failures = np.random.default_rng(1).binomial(counts, 0.03)
    failures[2, -14] = counts[2, -14]
    agents = [f"ag_{number}" for number in range(4)]
    time = build.START + 29 * 86400.0
    history = build.history(
        counts,
        failures=failures,
        entities=agents * 2,
        meetings=[
            Meeting(agent, "user_9", time, failed=True, new_address=True, new_country=False, known_share=0.0)
            for agent in agents
        ],
        attempts={agent: build.attempts((3600.0, True, "user_9")) for agent in agents},
    )
    return dataclasses.replace(
        history,
        actions=("",) * 4 + ("token.issue",) * 4,
        judge_from=history.judge_from + np.arange(8),
        first_time=history.first_time + np.arange(8),
        lag=np.arange(8.0),
        rules=(Rule("rule_1", "many", 2, 60.0, 1, (), {agent: np.array([time]) for agent in agents}),),
    )


def _full() -> History:
    """The same, with something of each agent in every mapping."""
    history = _busy()
    named = [field.name for field in dataclasses.fields(History) if isinstance(getattr(history, field.name), dict)]
    return dataclasses.replace(history, **{name: dict.fromkeys(history.entities, name) for name in named})


def _same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)  # type: ignore[arg-type]
    if isinstance(one, History | Counts | Calendar | Attempts | Rule):
        return all(_same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    return one == other


def test_that_of_all_entities_is_the_whole() -> None:
    history = _full()
    assert _same(history.of(history.entities), history)


def test_that_of_some_names_no_other() -> None:
    history = _full()
    some = history.of({"ag_1", "ag_3"})
    assert some.entities == ("ag_1", "ag_3", "ag_1", "ag_3")
    assert some.actions == ("", "", "token.issue", "token.issue")
    assert some.totals == range(2)
    assert np.array_equal(some.hours.requests, history.hours.requests[[1, 3, 5, 7]])
    assert np.array_equal(some.lag, [1, 3, 5, 7])
    assert some.tenant is history.tenant
    assert {meeting.agent for meeting in some.meetings} == {"ag_1", "ag_3"}
    assert set(some.attempts) == set(some.rules[0].matches) == {"ag_1", "ag_3"}


def test_every_row_and_mapping_is_cut() -> None:
    """A new field that names entities and is not cut shows here: it makes the history of one too long."""
    history = _full()
    one = history.of({"ag_1"})
    for field in dataclasses.fields(History):
        value = getattr(one, field.name)
        for part in dataclasses.astuple(value) if isinstance(value, Counts | Calendar) else (value,):
            rows = len(part) if isinstance(part, np.ndarray | tuple | dict) else 1
            assert rows <= 2 or field.name in ("tenant", "fits"), field.name


def _found(detector: Detector, history: History) -> list[Finding]:
    return sorted(detector.detect(history, detector.config()), key=lambda finding: (finding.entity, finding.start))


def test_an_entity_alone_gives_the_findings_it_gives_among_others() -> None:
    history = _busy()
    for detector in DETECTORS.values():
        together = _found(detector, history)
        alone = [
            finding for entity in sorted(set(history.entities)) for finding in _found(detector, _busy().of({entity}))
        ]
        assert alone == together
    assert {finding.type for detector in DETECTORS.values() for finding in _found(detector, history)} >= {
        "rate_spike",
        "high_failure_rate",
    }
