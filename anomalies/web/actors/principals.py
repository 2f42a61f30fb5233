"""The pages of principals, the users for whom agents act: all of them, one, and the events for them."""

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from anomalies.models import AccessRequest, Principal, Series
from anomalies.services.activity import Origin, origins
from anomalies.web.access import VIEW, requires
from anomalies.web.actors.activity import ActorPage, list_page, missing
from anomalies.web.actors.events import events_page
from anomalies.web.facets import bounded_count, said
from anomalies.web.frame import page
from anomalies.web.request import Request
from anomalies.web.zone import in_own_zone

LAST_REQUESTS = 20
MOST_ORIGINS = 8
ORIGINS = {"country": "Countries", "ip": "Addresses", "device": "Devices"}


@require_safe
@requires(VIEW)
@in_own_zone
def principal_list(request: Request) -> HttpResponse:
    return list_page(request, Series.Kind.PRINCIPAL)


@require_safe
@requires(VIEW)
@in_own_zone
def principal_page(request: Request, public_id: str) -> HttpResponse:
    principal = _called(public_id)
    if principal is None:
        return missing(request, Series.Kind.PRINCIPAL, public_id)
    requests = AccessRequest.objects.filter(requester=principal)
    context = {
        "one": ActorPage(request, principal, now=timezone.now()),
        "principal": principal,
        "requests": requests.select_related("flow").order_by("-requested_at", "-id")[:LAST_REQUESTS],
        "request_count": said(bounded_count(requests)),
        "origins": _shown(origins(principal.public_id)),
    }
    return page(request, "anomalies/principal_page.html", context)


@require_safe
@requires(VIEW)
@in_own_zone
def principal_events(request: Request, public_id: str) -> HttpResponse:
    principal = _called(public_id)
    return events_page(request, principal) if principal else missing(request, Series.Kind.PRINCIPAL, public_id)


def _called(public_id: str) -> Principal | None:
    return None if "\x00" in public_id else Principal.objects.filter(public_id=public_id).first()


def _shown(found: dict[str, list[Origin]]) -> list[tuple[str, list[Origin], int]]:
    """Return each sort of origin by its name: those that were last seen, and how many more there are."""
    return [
        (label, found[name][:MOST_ORIGINS], max(0, len(found[name]) - MOST_ORIGINS))
        for name, label in ORIGINS.items()
        if found[name]
    ]
