"""services/track_records: what became of what each detector found."""

from datetime import timedelta

import pytest

from anomalies.models import Anomaly
from anomalies.services.track_records import TrackRecord, learners, track_records
from tests import make

pytestmark = pytest.mark.django_db


def _resolved(verdict: str, days: int = 1) -> Anomaly:
    at = make.NOW - timedelta(days=days)
    return make.anomaly(detected_at=at, status="resolved", resolved_at=make.NOW, verdict=verdict)


def test_precision_is_of_true_and_false_positives_and_benign_ones_are_apart() -> None:
    for verdict in ("true_positive", "true_positive", "false_positive", "benign", "test", "duplicate"):
        _resolved(verdict, days=2)
    _resolved("false_positive", days=91)
    make.anomaly()
    record = track_records(now=make.NOW)["rate_spike"]
    assert record == TrackRecord(day=1, month=7, true=2, false=1, benign=1)
    assert record.precision == pytest.approx(2 / 3)


def test_nothing_says_how_precise_a_detector_without_verdicts_is() -> None:
    assert TrackRecord(day=1).precision is None
    assert track_records(now=make.NOW) == {}


def test_parts_of_others_are_not_counted_again() -> None:
    make.anomaly(merged_into=make.anomaly())
    assert track_records(now=make.NOW)["rate_spike"].month == 1


def test_agents_that_are_still_learned_are_told_with_the_reason() -> None:
    make.agent("ag_young", last_seen=make.NOW)
    make.agent("ag_never_seen")
    found = learners(now=make.NOW)
    assert (found.agents, found.all_agents) == (1, 1)
    agent, state = found.by_type["off_hours_activity"][0]
    assert agent.public_id == "ag_young"
    assert "learned hours need 14 days" in str(state)
