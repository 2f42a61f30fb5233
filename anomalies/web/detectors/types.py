"""The reference of anomaly types: what each means, may indicate and recommends, and by what it judges now."""

from dataclasses import dataclass

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from anomalies.detection.detector import Detector
from anomalies.detection.registry import DETECTORS
from anomalies.services import detectors
from anomalies.web.access import VIEW, requires
from anomalies.web.detectors.parameters import ParameterField, fields_of
from anomalies.web.frame import page
from anomalies.web.request import Request
from anomalies.web.zone import in_own_zone


@dataclass(frozen=True, slots=True)
class Described:
    """A type with its parameters as they are configured."""

    detector: Detector
    fields: list[ParameterField]
    enabled: bool

    @property
    def changed_count(self) -> int:
        return sum(field.differs for field in self.fields)


@require_safe
@requires(VIEW)
@in_own_zone
def types(request: Request) -> HttpResponse:
    described = [
        Described(DETECTORS[type_], fields_of(type_, now.parameters), now.enabled)
        for type_, now in detectors.present().items()
    ]
    return page(request, "anomalies/types.html", {"described": described})
