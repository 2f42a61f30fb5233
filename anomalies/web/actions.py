"""What a reviewer does on the pages: each form calls one verb of services/reviews."""

from typing import Any
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from anomalies.models import Anomaly, ReviewEntry
from anomalies.services import reviews
from anomalies.services.actor import Actor
from anomalies.web.access import REVIEW, requires
from anomalies.web.frame import fragment
from anomalies.web.listing import Listing, views
from anomalies.web.panel import panel_of
from anomalies.web.request import Request
from anomalies.web.row import Row
from anomalies.web.toast import Toast, keep
from anomalies.web.views import anomaly_called, list_state
from anomalies.web.zone import in_own_zone


@require_POST
@requires(REVIEW)
@in_own_zone
def acknowledge(request: Request, public_id: str) -> HttpResponse:
    anomaly = anomaly_called(public_id)
    try:
        entry = reviews.acknowledge(anomaly, by=_actor(request), at=timezone.now(), note=request.POST.get("note", ""))
    except reviews.AlreadyDecidedError as error:
        return _answer(request, anomaly, Toast("warning", _decided(error)))
    except reviews.ReviewError as error:
        return _answer(request, anomaly, Toast("error", str(error)))
    return _answer(request, anomaly, Toast("success", "Acknowledged.", anomaly.public_id, str(entry.pk)))


@require_POST
@requires(REVIEW)
@in_own_zone
def undo(request: Request, entry: int) -> HttpResponse:
    taken_back = get_object_or_404(ReviewEntry, pk=entry)
    try:
        reviews.undo(taken_back, by=_actor(request), at=timezone.now())
    except reviews.ReviewError as error:
        toast = Toast("warning", str(error))
    else:
        toast = Toast("success", "Undone: it is open again.")
    return _answer(request, Anomaly.objects.get(pk=taken_back.anomaly_id), toast)


@require_POST
@requires(REVIEW)
@in_own_zone
def add_note(request: Request, public_id: str) -> HttpResponse:
    anomaly = anomaly_called(public_id)
    try:
        reviews.add_note(anomaly, by=_actor(request), at=timezone.now(), note=request.POST.get("note", ""))
    except reviews.ReviewError as error:
        return _answer(request, anomaly, Toast("error", str(error)))
    return _answer(request, anomaly, Toast("success", "Note added."))


def next_url(request: Request) -> str:
    """Return the page of ours to which a form leads back, and nobody else's."""
    wanted = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure()):
        return wanted
    return reverse("anomaly_list")


def _decided(error: reviews.AlreadyDecidedError) -> str:
    status = error.anomaly.get_status_display().lower()
    return f"This anomaly was {status} by {error.entry.actor}." if error.entry else f"This anomaly is {status} already."


def _actor(request: Request) -> Actor:
    assert isinstance(request.user, User)
    return Actor(name=request.user.get_username(), user=request.user)


def _answer(request: Request, anomaly: Anomaly, toast: Toast) -> HttpResponse:
    """Redirect back, or send to htmx what changed of what its page shows (app.js names it in a header)."""
    if not request.htmx:
        keep(request, toast)
        return redirect(next_url(request))
    present = request.headers.get("X-Present", "").split(",")
    there = urlsplit(request.htmx.current_url_abs_path or "")
    context: dict[str, Any] = {
        "toast": toast,
        "swap": True,
        "state": list_state(QueryDict(there.query)),
        "here_url": request.htmx.current_url_abs_path or "/",
    }
    if f"row-{anomaly.public_id}" in present:
        context["row"] = Row(anomaly)
    if f"panel-{anomaly.public_id}" in present:
        context["panel"] = panel_of(request, anomaly, now=timezone.now())
    if "views" in present:
        listing = Listing(QueryDict(there.query))
        context["views"] = views(listing)
        context["match_count"] = listing.match_count()
    return fragment(request, "anomalies/_changed.html", context)
