"""What other programs may call, each API with the reference that it serves itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe
from ninja import NinjaAPI

from anomalies.web.access import VIEW, requires
from anomalies.web.frame import page
from anomalies.web.request import Request
from anomalies.web.zone import in_own_zone


@dataclass(frozen=True, slots=True)
class Reference:
    """An API as the page tells of it: in the first sentence that it says of itself."""

    api: NinjaAPI

    @property
    def sentence(self) -> str:
        return f"{self.api.description.partition('. ')[0].removesuffix('.')}."

    @property
    def root(self) -> str:
        return self.api.get_root_path({})

    @property
    def page_url(self) -> str:
        return reverse(f"{self.api.urls_namespace}:openapi-view")

    @property
    def document_url(self) -> str:
        return reverse(f"{self.api.urls_namespace}:openapi-json")


@require_safe
@requires(VIEW)
@in_own_zone
def api_list(request: Request, apis: Sequence[NinjaAPI]) -> HttpResponse:
    return page(request, "anomalies/api_list.html", {"references": [Reference(api) for api in apis]})
