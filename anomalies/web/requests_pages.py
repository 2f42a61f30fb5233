"""The pages of access requests: all of them, and one."""

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from anomalies.models import AccessRequest
from anomalies.web.access import VIEW, requires
from anomalies.web.frame import fragment, page
from anomalies.web.request import Request
from anomalies.web.requests_listing import RequestListing
from anomalies.web.requests_missing import missing
from anomalies.web.requests_panel import RequestPanel
from anomalies.web.zone import in_own_zone


@require_safe
@requires(VIEW)
@in_own_zone
def request_list(request: Request) -> HttpResponse:
    listing = RequestListing(request.GET)
    context = {**listing.context(), **listing.options()}
    if listing.open:
        query = request.GET.copy()
        query["back"] = context["back"]
        context["panel"] = RequestPanel(listing.open, query, now=timezone.now())
    return page(request, "anomalies/request_list.html", context)


@require_safe
@requires(VIEW)
@in_own_zone
def request_page(request: Request, public_id: str) -> HttpResponse:
    rows = AccessRequest.objects.select_related("requester", "flow", "grant")
    found = rows.filter(public_id=public_id.replace("\x00", "")).first()
    if found is None:
        return missing(request, "access request", public_id, list_name="request_list")
    panel = RequestPanel(found, request.GET, now=timezone.now())
    if request.htmx:
        return fragment(request, "anomalies/_request.html", {"panel": panel})
    return page(request, "anomalies/request_page.html", {"panel": panel, "alone": True})
