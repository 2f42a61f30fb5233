"""services/detectors: what is still being learned about an agent, why, and until when."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from anomalies.detection.detector import Seen
from anomalies.detection.detectors import off_hours_activity
from anomalies.detection.registry import DETECTORS
from anomalies.models import Agent, DetectorSettings
from anomalies.services import counts, detectors
from tests import make
from tests.services.days import MONDAY, record, store, usual

pytestmark = pytest.mark.django_db


def _count(days: int, per_hour: int = 12) -> Agent:
    store(usual(days, per_hour))
    counts.count_some()
    return Agent.objects.get(public_id="ag_billing")


def _learning(agent: Agent, at: datetime) -> dict[str, str]:
    return {learns.detector.type: str(learns) for learns in detectors.learning_of(agent, at=at)}


def test_a_young_agent_says_what_it_lacks_and_until_when() -> None:
    learning = _learning(_count(2), MONDAY + timedelta(days=2))
    first = MONDAY.replace(tzinfo=UTC)
    assert f"{first + timedelta(days=14):%Y-%m-%d}" == "2026-10-19"
    assert learning["rate_spike"] == (
        "a baseline of its own needs 3 days, an anomaly above medium needs 7 days and the full sensitivity needs "
        "14 days: until 2026-10-19 00:00 UTC at the earliest"
    )
    assert learning["off_hours_activity"].startswith(
        "learned hours need 14 days, 100 events and 5 active days, it has 6"
    )
    assert learning["off_hours_activity"].endswith("until 2026-10-19 00:00 UTC at the earliest")
    assert "until 2026-10-12 00:00 UTC" in learning["new_principal"]
    assert "until 2026-10-12 00:00 UTC" in learning["high_failure_rate"]


def test_a_settled_agent_learns_nothing_more() -> None:
    assert _learning(_count(16), MONDAY + timedelta(days=16)) == {}


def test_what_it_lacked_then_is_told_of_the_past() -> None:
    agent = _count(16)
    assert "rate_spike" in _learning(agent, MONDAY + timedelta(days=5))


def test_an_old_agent_that_hardly_acts_lacks_events_only() -> None:
    store([record(MONDAY + timedelta(days=day)) for day in range(20)])
    counts.count_some()
    learning = _learning(make.agent(), MONDAY + timedelta(days=20))
    assert learning == {
        "new_principal": "its new principals are raised after 7 days and 50 events, it has 20: until they have come",
        "off_hours_activity": "learned hours need 14 days, 100 events and 5 active days, it has 20 events so far: "
        "until they have come",
    }


def test_an_agent_that_never_acted_learns_all() -> None:
    assert set(_learning(make.agent(), MONDAY)) >= {"rate_spike", "new_principal", "off_hours_activity"}


def test_set_working_hours_need_not_be_learned() -> None:
    agent = _count(2)
    agent.working_hours = {"0": [9, 17]}
    assert "off_hours_activity" not in _learning(agent, MONDAY + timedelta(days=2))


def test_a_detector_switched_off_learns_nothing() -> None:
    DetectorSettings.objects.create(type="rate_spike", enabled=False)
    assert "rate_spike" not in _learning(_count(2), MONDAY + timedelta(days=2))


def test_parameters_say_how_long_it_learns() -> None:
    DetectorSettings.objects.create(type="high_failure_rate", parameters={"settled_days": 1.0})
    assert "high_failure_rate" not in _learning(_count(2), MONDAY + timedelta(days=2))


def test_events_after_that_time_do_not_count() -> None:
    agent = _count(10)
    [learns] = [
        learns
        for learns in detectors.learning_of(agent, at=MONDAY + timedelta(hours=5, minutes=30))
        if learns.detector.type == "new_principal"
    ]
    assert "it has 7" in learns.why  # 6 hours of about 12


def test_days_without_events_bring_no_end_nearer() -> None:
    seen = Seen(30.0, np.array([60, 0, 60, 0]), hours_are_set=False)
    learning = off_hours_activity.learning(seen, off_hours_activity.Config())
    assert learning is not None
    assert learning.days == 3


def test_every_detector_learns_nothing_of_an_agent_known_for_long() -> None:
    seen = Seen(400.0, np.full(90, 1000), hours_are_set=False)
    assert [type_ for type_, detector in DETECTORS.items() if detector.learning(seen, detector.config())] == []
