"""How a page answers a form: with what changed of it or the way back, and a sentence about what was done."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from anomalies.models import Anomaly
from anomalies.services.actor import Actor
from anomalies.services.reviews import RefusedError, ReviewError
from anomalies.web.details.panel import panel_of
from anomalies.web.frame import fragment, page
from anomalies.web.listing.listing import Listing, views
from anomalies.web.listing.sparkline import rows_of
from anomalies.web.request import Request
from anomalies.web.returning import next_url
from anomalies.web.toast import Toast, keep
from anomalies.web.typed import Typed, typed_into
from anomalies.web.views import list_state


def actor_of(request: Request) -> Actor:
    assert isinstance(request.user, User)
    return Actor(name=request.user.get_username(), user=request.user)


def answer(request: Request, anomalies: Sequence[Anomaly], toast: Toast, *, typed: Typed | None = None) -> HttpResponse:
    """Redirect back, or send to htmx what changed of what its page shows (app.js names it in a header)."""
    if not request.htmx:
        keep(request, toast)
        return redirect(next_url(request))
    present = request.headers.get("X-Present", "").split(",")
    there = urlsplit(request.htmx.current_url_abs_path or "")
    state = list_state(QueryDict(there.query))
    shown = [one for one in anomalies if f"row-{one.public_id}" in present]
    context: dict[str, Any] = {
        "toast": toast,
        "swap": True,
        "state": state,
        "here_url": request.htmx.current_url_abs_path or "/",
        "typed": typed,
        "rows": rows_of(shown, request.user, state=state),
    }
    for one in anomalies:
        if f"panel-{one.public_id}" in present:
            context["panel"] = panel_of(request, one, now=timezone.now())
            context["alone"] = there.path != reverse("anomaly_list")
    if "views" in present:
        listing = Listing(QueryDict(there.query), request.user)
        context["views"] = views(listing)
        context["match_count"] = listing.match_count()
    return fragment(request, "anomalies/_changed.html", context)


def refuse(request: Request, anomaly: Anomaly, error: ReviewError) -> HttpResponse:
    """Say why nothing was done, and show the anomaly as it is now with what was typed in the form again."""
    if isinstance(error, RefusedError):
        sentence = f"This anomaly is {error.reason}."
        toast = Toast("warning", sentence)
    else:
        sentence = str(error)
        toast = Toast("error", sentence)
    assert request.resolver_match is not None
    typed = typed_into(request.resolver_match.url_name or "", request.POST, sentence)
    if request.htmx or not any(typed.fields.values()):
        return answer(request, [anomaly], toast, typed=typed)
    context = {
        "panel": panel_of(request, anomaly, now=timezone.now()),
        "state": list_state(QueryDict(urlsplit(next_url(request)).query)),
        "here_url": next_url(request),
        "alone": True,
        "typed": typed,
    }
    return page(request, "anomalies/anomaly_detail.html", context, status=409)
