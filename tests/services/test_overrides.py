"""services/detectors: one agent judged by other settings than the rest."""

import logging
from datetime import timedelta

import pytest

from anomalies.detection.parameter import ParameterError
from anomalies.models import Anomaly, Change, DetectorOverride, DetectorSettings, Scan
from anomalies.services import detectors, scans
from anomalies.services.access import AgentGoneError
from anomalies.services.actor import Actor
from anomalies.services.detectors import Judges, NoOverrideError, UnknownDetectorError
from tests import make
from tests.services.days import MONDAY, SPIKE_SEEN, burst, forget, record, store, usual

pytestmark = pytest.mark.django_db

ANA = Actor(name="ana")


def _override(agent: str, type_: str = "rate_spike", *, enabled: bool = True, **parameters: float) -> DetectorOverride:
    return detectors.override(
        type_, make.agent(agent), enabled=enabled, parameters=parameters, reason="asked", by=ANA, at=make.NOW
    )


def _two_spikes() -> None:
    """Two agents with the same three weeks and the same spike."""
    both = [*usual(20), *burst(MONDAY + timedelta(days=20, hours=10), 300)]
    twin = [record(one.time, number, agent_id="ag_twin") for number, one in enumerate(both)]
    store([*both, *twin])


def _replay() -> Scan:
    forget("anomaly")
    return scans.replay(now=SPIKE_SEEN)


def _spikes() -> dict[str, dict[str, object]]:
    spikes = Anomaly.objects.filter(type="rate_spike", kind="agent").order_by("entity")
    return {spike.entity: spike.evidence for spike in spikes}


def test_an_agent_switched_off_raises_nothing_and_others_what_they_did() -> None:
    _two_spikes()
    _replay()
    before = _spikes()
    _override("ag_twin", enabled=False)
    _replay()
    assert _spikes() == {"ag_billing": before["ag_billing"]}


def test_an_agent_is_judged_by_its_own_parameters_and_its_evidence_keeps_them() -> None:
    _two_spikes()
    _override("ag_twin", fit_days=7.0)
    _replay()
    parameters = {entity: evidence["parameters"]["fit_days"] for entity, evidence in _spikes().items()}  # type: ignore[index]
    assert parameters == {"ag_billing": 60.0, "ag_twin": 7.0}


def test_an_agent_may_be_judged_where_the_detector_is_off() -> None:
    _two_spikes()
    DetectorSettings.objects.create(type="rate_spike", enabled=False)
    _override("ag_twin")
    _replay()
    assert set(_spikes()) == {"ag_twin"}


def test_the_settings_are_below_an_override() -> None:
    DetectorSettings.objects.create(type="rate_spike", parameters={"min_excess": 9.0, "min_ratio": 3.0})
    _override("ag_billing", min_ratio=5.0)
    config = Judges.load().config_of("rate_spike", "agent", "ag_billing")
    assert (config.min_excess, config.min_ratio) == (9.0, 5.0)


def test_an_override_is_of_an_agent_not_of_a_user_of_the_same_name() -> None:
    _override("ag_billing", enabled=False)
    assert Judges.load().config_of("rate_spike", "agent", "ag_billing") is None
    assert Judges.load().config_of("rate_spike", "principal", "ag_billing") is not None


def test_only_what_differs_from_the_settings_is_kept_with_who_said_so_and_why() -> None:
    DetectorSettings.objects.create(type="rate_spike", parameters={"min_excess": 9.0})
    row = _override("ag_billing", min_excess=9.0, min_ratio=4.0)
    assert (row.parameters, row.reason, row.updated_by, row.updated_at) == (
        {"min_ratio": 4.0},
        "asked",
        "ana",
        make.NOW,
    )
    assert _override("ag_billing", min_ratio=3.0).pk == row.pk


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"min_excess": -1.0}, "min_excess: -1.0 is not between 0 and 1e"),
        ({"min_excess": float("nan")}, "min_excess: nan is not between"),
        ({"mood": 1.0}, "mood: no such parameter"),
        ({"min_excess": "many"}, "min_excess: 'many' is not a number"),
    ],
)
def test_a_wrong_parameter_is_named_and_nothing_kept(parameters: dict[str, float], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        _override("ag_billing", **parameters)
    assert not DetectorOverride.objects.exists()


def test_a_whole_number_that_is_none_is_named() -> None:
    with pytest.raises(ParameterError, match="min_requests: nan is not between"):
        _override("ag_billing", "high_failure_rate", min_requests=float("nan"))


def test_an_unknown_detector_is_named() -> None:
    with pytest.raises(UnknownDetectorError, match="type: 'weather' is no detector"):
        _override("ag_billing", "weather")


def test_a_deleted_agent_has_none() -> None:
    make.agent("ag_gone", deleted_at=make.NOW)
    with pytest.raises(AgentGoneError):
        _override("ag_gone")


def test_an_override_removed_is_gone_and_twice_raises() -> None:
    row = _override("ag_billing", enabled=False)
    detectors.remove_override("rate_spike", row.agent, by=ANA, at=make.NOW)
    assert Judges.load().config_of("rate_spike", "agent", "ag_billing") is not None
    with pytest.raises(NoOverrideError, match="ag_billing is judged by the settings of rate_spike"):
        detectors.remove_override("rate_spike", row.agent, by=ANA, at=make.NOW)


def test_what_can_no_longer_be_set_stops_no_scan_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    _two_spikes()
    DetectorSettings.objects.create(type="rate_spike", parameters={"min_excess": -5, "gone": 1})
    parameters = {"gone": 1, "min_ratio": 0.5, "min_excess": 4.0, "extend_alpha": "tiny"}
    DetectorOverride.objects.create(type="rate_spike", agent=make.agent(), parameters=parameters)
    DetectorOverride.objects.create(type="gone_type", agent=make.agent(), parameters={"x": 1})
    caplog.set_level(logging.WARNING)
    scan = _replay()
    assert scan.series_failed == 0
    assert set(_spikes()) == {"ag_billing", "ag_twin"}
    assert _spikes()["ag_billing"]["parameters"]["min_excess"] == 4.0  # type: ignore[index]
    assert "min_ratio: 0.5 is not between" in caplog.text


def test_an_anomaly_of_an_agent_switched_off_is_not_explained_by_late_events(spike: Anomaly) -> None:
    _override("ag_billing", enabled=False)
    scans.replay(now=SPIKE_SEEN + timedelta(minutes=1))
    spike.refresh_from_db()
    assert spike.state == Anomaly.State.CLOSED


def test_each_change_of_an_override_is_recorded() -> None:
    row = _override("ag_1", min_excess=9.0)
    _override("ag_1", min_excess=10.0)
    detectors.remove_override("rate_spike", row.agent, by=ANA, at=make.NOW)
    told = Change.objects.filter(subject_id="rate_spike ag_1").order_by("id")
    assert [one.action for one in told] == ["created", "changed", "removed"]
    assert told[1].changes == {"min_excess": [9.0, 10.0]}
