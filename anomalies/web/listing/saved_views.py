"""Views of the list that people keep under a name: the pages on which they are saved, shared, renamed and deleted."""

from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from anomalies.models import SavedView
from anomalies.services import saved_views
from anomalies.services.saved_views import NAME_LENGTH, SavedViewError
from anomalies.web.access import VIEW, requires
from anomalies.web.answer import actor_of
from anomalies.web.frame import page
from anomalies.web.listing.filters import occurring_in
from anomalies.web.listing.listing import Listing, view_url
from anomalies.web.request import Request
from anomalies.web.toast import Toast, keep
from anomalies.web.zone import in_own_zone


@dataclass(frozen=True, slots=True)
class Line:
    """A view as its page says it."""

    view: SavedView
    listing: Listing
    link: str
    own: bool
    may_change: bool

    @property
    def filters(self) -> list[tuple[str, str]]:
        """What it filters by, in words: the label of each filter, and what is chosen."""
        filters = self.listing.filters
        said = [("Time", filters.period.summary)] if filters.period else []
        for name, facet in filters.facets.items():
            if filters.values[name]:
                said.append((facet.label, ", ".join(facet.label_of(word) for word in filters.values[name])))
        if filters.values["q"]:
            said.append(("Search", filters.values["q"]))
        return said

    @property
    def order(self) -> str:
        header = next(one for one in self.listing.headers() if one.direction != "none")
        return f"{header.column.label}, {header.direction}"


@require_http_methods(["GET", "HEAD", "POST"])
@requires(VIEW)
@in_own_zone
def saved_view_list(request: Request) -> HttpResponse:
    """The views that somebody sees; what is posted is kept as one more."""
    if request.method == "POST":
        return _save(request)
    return _list(request)


def _list(request: Request, *, status: int = 200, **more: Any) -> HttpResponse:
    assert isinstance(request.user, User)
    seen = list(saved_views.seen_by(request.user))
    occurring = occurring_in(QueryDict(view.query) for view in seen)
    lines = [
        Line(
            view,
            Listing(QueryDict(view.query), request.user, occurring),
            request.build_absolute_uri(view_url(view)),
            view.owner_id == request.user.pk,
            saved_views.may_change(view, request.user),
        )
        for view in seen
    ]
    context = {"lines": lines, "most": NAME_LENGTH, **more}
    return page(request, "anomalies/saved_view_list.html", context, status=status)


def _save(request: Request) -> HttpResponse:
    query = request.POST.get("query", "")
    listing = Listing(QueryDict(query), request.user)
    kept = listing.query(view="")
    name, shared = request.POST.get("name", ""), request.POST.get("shared") == "1"
    typed = {"name": name, "shared": shared, "query": kept}
    if listing.complaints:
        return _again(request, " ".join(listing.complaints), typed)
    try:
        view = saved_views.save(name=name, query=kept, shared=shared, by=actor_of(request), at=timezone.now())
    except SavedViewError as error:
        return _again(request, str(error), typed)
    keep(request, Toast("success", f"Saved as “{view.name}”{', for everybody' if view.shared else ', for you alone'}."))
    return redirect(view_url(view))


def _again(request: Request, error: str, typed: dict[str, Any]) -> HttpResponse:
    """Show what was typed again, with the reason why nothing was kept."""
    context = {"error": error, "typed": typed, "most": NAME_LENGTH, "list_query": typed["query"]}
    return page(request, "anomalies/saved_view_new.html", context, status=409)


@require_safe
@requires(VIEW)
@in_own_zone
def saved_view_new(request: Request) -> HttpResponse:
    """The form that keeps the list of this address as a view."""
    kept = Listing(request.GET, request.user).query(view="")
    typed = {"name": "", "shared": False, "query": kept}
    context = {"typed": typed, "most": NAME_LENGTH, "list_query": kept}
    return page(request, "anomalies/saved_view_new.html", context)


def _seen(request: Request, public_id: str) -> SavedView:
    assert isinstance(request.user, User)
    return get_object_or_404(saved_views.seen_by(request.user), public_id=public_id)


@require_POST
@requires(VIEW)
@in_own_zone
def saved_view_change(request: Request, public_id: str) -> HttpResponse:
    """Rename it, share it or keep the filters that were posted; back to the list, or to all views."""
    view = _seen(request, public_id)
    query = request.POST.get("query")
    listing = Listing(QueryDict(query), request.user) if query is not None else None
    shared = {"yes": True, "no": False}.get(request.POST.get("shared", ""))
    name = request.POST.get("name")
    if listing and listing.complaints:
        return _list(request, status=409, error=" ".join(listing.complaints))
    try:
        saved_views.change(
            view,
            name=name,
            shared=shared,
            query=listing.query(view="") if listing else None,
            by=actor_of(request),
            at=timezone.now(),
        )
    except SavedViewError as error:
        return _list(request, status=409, error=str(error), erring=view.public_id, typed_name=name)
    view.refresh_from_db()
    keep(request, Toast("success", f"“{view.name}” is changed."))
    return redirect(view_url(view) if listing else "saved_view_list")


@require_POST
@requires(VIEW)
@in_own_zone
def saved_view_delete(request: Request, public_id: str) -> HttpResponse:
    view = _seen(request, public_id)
    try:
        saved_views.delete(view, by=actor_of(request), at=timezone.now())
    except SavedViewError as error:
        return _list(request, status=409, error=str(error), erring=view.public_id)
    keep(request, Toast("success", f"“{view.name}” is deleted; the anomalies in it stay."))
    return redirect("saved_view_list")
