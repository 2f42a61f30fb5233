"""services/detectors: what people set about detectors."""

import pytest

from anomalies.detection.parameter import ParameterError
from anomalies.detection.registry import DETECTORS
from anomalies.models import DetectorSettings
from anomalies.services import detectors
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
    detectors.configure(row, enabled=False, parameters={**defaults, "min_excess": 9.0}, at=make.NOW)
    row.refresh_from_db()
    assert (row.enabled, row.parameters, row.updated_at) == (False, {"min_excess": 9.0}, make.NOW)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [({"min_excess": -1.0}, "min_excess: -1.0 is not between"), ({"mood": 1.0}, "mood: no such parameter")],
)
def test_a_wrong_parameter_is_refused_and_nothing_kept(parameters: dict[str, float], sentence: str) -> None:
    row = DetectorSettings.objects.create(type="rate_spike")
    with pytest.raises(ParameterError, match=sentence):
        detectors.configure(row, enabled=False, parameters=parameters, at=make.NOW)
    row.refresh_from_db()
    assert (row.enabled, row.parameters) == (True, {})
