"""services/detectors: what people set about detectors."""

from datetime import timedelta

import pytest

from anomalies.detection.parameter import ParameterError
from anomalies.detection.registry import DETECTORS
from anomalies.models import Change, DetectorSettings
from anomalies.services import detectors
from anomalies.services.actor import Actor
from anomalies.services.detectors import StaleSettingsError, UnknownDetectorError
from tests import make

pytestmark = pytest.mark.django_db


def test_missing_rows_are_added_and_others_kept() -> None:
    DetectorSettings.objects.create(type="rate_spike", enabled=False)
    detectors.add_missing_settings()
    detectors.add_missing_settings()
    assert DetectorSettings.objects.count() == len(DETECTORS)
    assert not DetectorSettings.objects.get(type="rate_spike").enabled


def test_only_what_differs_from_the_default_is_kept() -> None:
    row = DetectorSettings.objects.create(type="rate_spike")
    defaults = {parameter.name: parameter.default for parameter in DETECTORS["rate_spike"].parameters}
    detectors.configure(row, enabled=False, parameters={**defaults, "min_excess": 9.0}, by=Actor("ana"), at=make.NOW)
    row.refresh_from_db()
    assert (row.enabled, row.parameters, row.updated_at) == (False, {"min_excess": 9.0}, make.NOW)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [({"min_excess": -1.0}, "min_excess: -1.0 is not between"), ({"mood": 1.0}, "mood: no such parameter")],
)
def test_a_wrong_parameter_is_refused_and_nothing_kept(parameters: dict[str, float], sentence: str) -> None:
    row = DetectorSettings.objects.create(type="rate_spike")
    with pytest.raises(ParameterError, match=sentence):
        detectors.configure(row, enabled=False, parameters=parameters, by=Actor("ana"), at=make.NOW)
    row.refresh_from_db()
    assert (row.enabled, row.parameters) == (True, {})


def test_a_change_is_recorded_with_what_was_before() -> None:
    row = DetectorSettings.objects.create(type="rate_spike")
    detectors.configure(row, enabled=False, parameters={"min_excess": 9.0}, by=Actor("ana"), at=make.NOW)
    detectors.configure(row, enabled=False, parameters={"min_excess": 9.0}, by=Actor("ana"), at=make.NOW)
    told = Change.objects.get()
    default = {parameter.name: parameter.default for parameter in DETECTORS["rate_spike"].parameters}["min_excess"]
    assert (told.subject_id, told.actor) == ("rate_spike", "ana")
    assert told.changes == {"enabled": [True, False], "min_excess": [default, 9.0]}


def test_what_somebody_else_changed_meanwhile_is_not_overwritten() -> None:
    row = DetectorSettings.objects.create(type="rate_spike", updated_at=make.NOW)
    detectors.configure(
        row, enabled=False, parameters={}, by=Actor("tom"), at=make.NOW + timedelta(hours=1), seen_at=make.NOW
    )
    with pytest.raises(StaleSettingsError, match="Somebody changed the settings of Rate spike since"):
        detectors.configure(
            row, enabled=True, parameters={}, by=Actor("ana"), at=make.NOW + timedelta(hours=2), seen_at=make.NOW
        )
    row.refresh_from_db()
    assert not row.enabled


def test_words_are_compared_as_words() -> None:
    row = DetectorSettings.objects.create(type="request_high_risk_access")
    words = {p.name: p.default for p in DETECTORS[row.type].parameters if p.is_words}
    detectors.configure(row, enabled=True, parameters=words, by=Actor("ana"), at=make.NOW)
    row.refresh_from_db()
    assert row.parameters == {}
    assert not Change.objects.exists()


def test_switching_keeps_the_parameters_and_is_recorded_once() -> None:
    row = DetectorSettings.objects.create(type="rate_spike", parameters={"min_excess": 9.0})
    for on in (False, False, True):
        detectors.switch("rate_spike", on=on, by=Actor("ana"), at=make.NOW)
        row.refresh_from_db()
        assert (row.enabled, row.parameters) == (on, {"min_excess": 9.0})
    told = Change.objects.order_by("id").values_list("changes", flat=True)
    assert list(told) == [{"enabled": [True, False]}, {"enabled": [False, True]}]
    with pytest.raises(UnknownDetectorError):
        detectors.switch("nothing", on=True, by=Actor("ana"), at=make.NOW)
