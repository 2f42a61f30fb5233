"""What the pages of agents and of users have in common."""

from django.http import HttpResponse
from django.utils import timezone

from anomalies.web.actor_listing import ActorListing
from anomalies.web.frame import page
from anomalies.web.request import Request


def list_page(request: Request, kind: str) -> HttpResponse:
    """Answer with the list of agents or of users."""
    listing = ActorListing(kind, request.GET, now=timezone.now())
    return page(request, "anomalies/actor_list.html", {**listing.context(), "headers": listing.headers()})


def missing(request: Request, word: str, public_id: str) -> HttpResponse:
    """Answer 404 with a page that says whom nobody knows, and how to search for them."""
    context = {"word": word, "wanted": public_id.replace("\x00", "")[:200]}
    return page(request, "anomalies/actor_missing.html", context, status=404)
