"""The pages that show: the list, the details, the events behind an anomaly, the types."""

from urllib.parse import urlsplit

from django.db.models import Q, QuerySet
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe
from django_htmx.http import push_url

from anomalies.models import Anomaly, Batch, Event
from anomalies.services.evidence import events_behind
from anomalies.web.access import REVIEW, VIEW, requires
from anomalies.web.decisions.choosing import choosing_of
from anomalies.web.details.panel import RawEvent, panel_of
from anomalies.web.details.recomputed import recomputed
from anomalies.web.facets import bounded_count, said
from anomalies.web.frame import fragment, frame_of, page
from anomalies.web.listing.listing import Listing, newest_id, views
from anomalies.web.listing.menus import closed_menus, menu_of, menus_of
from anomalies.web.paging import page_of
from anomalies.web.request import Request
from anomalies.web.typed import unsent
from anomalies.web.zone import in_own_zone, runs_scripts

EVENTS_PAGE_SIZE = 100


def anomaly_called(public_id: str) -> Anomaly:
    """Return the anomaly with what its details name, or answer 404."""
    anomaly = Anomaly.objects.select_related("agent", "principal", "assignee").called(public_id)
    if anomaly is None:
        raise Http404
    return anomaly


@require_safe
@requires(VIEW)
@in_own_zone
def anomaly_list(request: Request) -> HttpResponse:
    listing = Listing(request.GET, request.user)
    # Who runs scripts gets the rows at once: counts follow by themselves, options when a filter is opened.
    follows = runs_scripts(request) and "counted" not in request.GET
    context = {**listing.context(), "follows": follows, "views": views(listing, counted=not follows)}
    context["menus"] = closed_menus(listing.filters) if follows else menus_of(listing.filters)
    if not follows:
        context["match_count"] = context["match_count"] or listing.match_count()
    if not context["rows"]:
        context["any_event"] = Batch.objects.filter(accepted__gt=0).exists()
        context["frame"] = frame_of(request)
    if request.htmx.target == "results":
        response = fragment(request, "anomalies/anomaly_list.html#swap", {**context, "swap": True})
        return push_url(response, listing.url(**listing.here(), open=_open_beside(request)))
    context["chosen"] = unsent(request)
    if request.user.has_perm(REVIEW):
        context["choosing"] = choosing_of(request, now=timezone.now())
    if listing.open:
        opened = Anomaly.objects.called(listing.open)
        if opened:
            context["panel"] = panel_of(request, opened, now=timezone.now())
            context["typed"] = unsent(request, opened.public_id)
        else:
            listing.complaints.append(f"Open: there is no anomaly “{listing.open[:40]}”.")
    return page(request, "anomalies/anomaly_list.html", context)


def _open_beside(request: Request) -> str:
    """The anomaly whose panel stays where it is while the list changes, by the address that the browser shows."""
    return QueryDict(urlsplit(request.htmx.current_url_abs_path or "").query).get("open", "")


@require_safe
@requires(VIEW)
@in_own_zone
def filter_options(request: Request, name: str) -> HttpResponse:
    """The options of one filter that contain what was typed."""
    listing = Listing(request.GET, request.user)
    if name not in listing.filters.facets:
        raise Http404
    return fragment(request, "anomalies/_options.html", {"menu": menu_of(listing.filters, name)})


@require_safe
@requires(VIEW)
@in_own_zone
def anomaly_tally(request: Request) -> HttpResponse:
    """What is counted about the list of that address: put into its page once that is shown."""
    listing = Listing(request.GET, request.user)
    context = {"views": views(listing), "match_count": listing.match_count()}
    return fragment(request, "anomalies/anomaly_list.html#tallies", context)


@require_safe
@in_own_zone
def anomaly_news(request: Request) -> HttpResponse:
    """How many anomalies were raised since the page was made. A session that ended is told, never thrown out."""
    if not request.user.is_authenticated:
        return render(request, "anomalies/_signed_out.html")
    return _news(request)


@requires(VIEW)
def _news(request: Request) -> HttpResponse:
    query = request.GET.copy()
    since = "".join(query.pop("since", []))
    listing = Listing(query, request.user)
    seen = Anomaly.objects.filter(public_id=since.replace("\x00", "")).values_list("id", flat=True).first()
    new = listing.filters.matching().filter(id__gt=seen or 0)
    context = {
        "listing": listing,
        "newest": since,
        "news_count": said(bounded_count(new)) if newest_id() != since else "",
        "first_url": listing.url(),
        "frame": frame_of(request),
    }
    return fragment(request, "anomalies/_news.html", context)


@require_safe
@requires(VIEW)
@in_own_zone
def anomaly_detail(request: Request, public_id: str) -> HttpResponse:
    panel = panel_of(request, anomaly_called(public_id), now=timezone.now())
    context = {"panel": panel, "state": list_state(request.GET)}
    if request.htmx.target == "chart":
        return fragment(request, "anomalies/_panel.html#chart", context)
    if request.htmx:
        return fragment(request, "anomalies/_panel.html", context)
    context["typed"] = unsent(request, public_id)
    return page(request, "anomalies/anomaly_detail.html", {**context, "alone": True})


@require_http_methods(["GET", "HEAD", "POST"])
@requires(VIEW)
@in_own_zone
def anomaly_recompute(request: Request, public_id: str) -> HttpResponse:
    """Derive its figures again and show what comes out; nothing is written. A link to it leads to the details."""
    if request.method != "POST":
        return redirect("anomaly_detail", public_id)
    anomaly, now = anomaly_called(public_id), timezone.now()
    context = {"recomputed": recomputed(anomaly, at=now)}
    if request.htmx:
        return fragment(request, "anomalies/_panel.html#recomputed", context)
    panel = panel_of(request, anomaly, now=now)
    return page(
        request,
        "anomalies/anomaly_detail.html",
        {**context, "panel": panel, "state": list_state(request.GET), "alone": True},
    )


def list_state(query: QueryDict) -> str:
    """The list from which somebody came, as its query string."""
    state = query.copy()
    for name in ("span", "metric", "open"):
        state.pop(name, None)
    return state.urlencode()


@require_safe
@requires(VIEW)
@in_own_zone
def anomaly_events(request: Request, public_id: str) -> HttpResponse:
    anomaly = anomaly_called(public_id)
    events = events_behind(anomaly)
    status, text = request.GET.get("status", ""), request.GET.get("q", "").replace("\x00", "").strip()[:200]
    complaint = ""
    if status and status not in Event.Status.values:
        complaint = f"Status: there is no “{status[:40]}”, only {', '.join(Event.Status.values)}."
        status = ""
    if status:
        events = events.filter(status=status)
    if text:
        columns = ("action", "agent__public_id", "principal__public_id", "resource", "user_agent", "request_id")
        found = Q(ip__startswith=text)
        for column in columns:
            found |= Q(**{f"{column}__icontains": text})
        events = events.filter(found)
    after, before = _event(events, request.GET.get("later")), _event(events, request.GET.get("earlier"))
    shown = page_of(events, ("time", "id"), size=EVENTS_PAGE_SIZE, after=after, before=None if after else before)
    kept = QueryDict(mutable=True)
    kept.update({name: value for name, value in {"status": status, "q": text}.items() if value})
    context = {
        "panel": panel_of(request, anomaly, now=timezone.now()),
        "anomaly": anomaly,
        "events": [RawEvent(event) for event in shown.rows],
        "count": said(bounded_count(events)),
        "later": shown.next_from,
        "earlier": shown.previous_from,
        "kept": kept.urlencode(),
        "status": status,
        "text": text,
        "statuses": Event.Status.choices,
        "complaints": [complaint] if complaint else [],
    }
    return page(request, "anomalies/anomaly_events.html", context)


def _event(events: QuerySet[Event], number: str | None) -> Event | None:
    if not (number and number.isascii() and number.isdigit() and len(number) < 19):
        return None
    return events.filter(pk=number).first()
