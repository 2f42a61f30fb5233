"""The pages of access requests: all of them, and one."""

from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from anomalies.models import AccessRequest
from anomalies.web.access import VIEW, requires
from anomalies.web.access_requests.choices import filters_of
from anomalies.web.access_requests.listing import RequestListing
from anomalies.web.access_requests.missing import missing
from anomalies.web.access_requests.panel import RequestPanel
from anomalies.web.frame import fragment, page
from anomalies.web.request import Request
from anomalies.web.zone import in_own_zone, runs_scripts


@require_safe
@requires(VIEW)
@in_own_zone
def request_list(request: Request) -> HttpResponse:
    listing = RequestListing(request.GET)
    # Who runs scripts gets the rows at once: counts follow by themselves, as in the list of anomalies.
    follows = runs_scripts(request)
    context = {**listing.context(), "filters": filters_of(listing, counted=not follows), "follows": follows}
    if not follows:
        context["match_count"] = context["match_count"] or listing.match_count()
    if listing.open:
        query = request.GET.copy()
        query["back"] = context["back"]
        context["panel"] = RequestPanel(listing.open, query, now=timezone.now())
    return page(request, "anomalies/request_list.html", context)


@require_safe
@requires(VIEW)
@in_own_zone
def request_tally(request: Request) -> HttpResponse:
    """What is counted about the list of that address: put into its page once that is shown."""
    listing = RequestListing(request.GET)
    context = {"filters": filters_of(listing, counted=True), "match_count": listing.match_count()}
    return fragment(request, "anomalies/request_list.html#tallies", {**context, "requests": listing})


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
