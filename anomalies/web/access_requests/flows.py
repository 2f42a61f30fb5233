"""The pages of access flows: all of them, and the form of one."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from anomalies.models import AccessFlow
from anomalies.services import flows
from anomalies.web.access import REVIEW, VIEW, requires
from anomalies.web.access_requests.flow_form import FlowForm
from anomalies.web.access_requests.listing import SEARCH_LENGTH
from anomalies.web.access_requests.missing import missing
from anomalies.web.answer import actor_of
from anomalies.web.audit_log import in_words
from anomalies.web.frame import page
from anomalies.web.paging import page_of
from anomalies.web.request import Request
from anomalies.web.toast import Toast, keep
from anomalies.web.typed import UNSENT, unsent_form
from anomalies.web.zone import in_own_zone

PAGE_SIZE = 50
LAST_CHANGES = 20


@require_safe
@requires(VIEW)
@in_own_zone
def flow_list(request: Request) -> HttpResponse:
    text = request.GET.get("q", "").strip()
    complaints = []
    if "\x00" in text or len(text) > SEARCH_LENGTH:
        complaints.append(f"Search: it is no text of at most {SEARCH_LENGTH} characters.")
        text = ""
    rows = AccessFlow.objects.filter(Q(name__icontains=text) | Q(public_id__icontains=text))
    places = {name: request.GET.get(name, "").replace("\x00", "") for name in ("after", "before")}
    found = {name: AccessFlow.objects.filter(public_id=id_).first() for name, id_ in places.items() if id_}
    after, before = found.get("after"), found.get("before")
    shown = page_of(rows, ("name", "id"), size=PAGE_SIZE, after=after, before=None if after else before)
    context = {"flows": shown.rows, "text": text, "complaints": complaints,
               "later": shown.next_from, "earlier": shown.previous_from}  # fmt: skip
    return page(request, "anomalies/flow_list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(VIEW, is_form=True)
@in_own_zone
def flow_page(request: Request, public_id: str) -> HttpResponse:
    """Show the form of a flow, or save it. What cannot be saved is shown again as it was typed."""
    flow = AccessFlow.objects.filter(public_id=public_id.replace("\x00", "")).first()
    if flow is None:
        return missing(request, "access flow", public_id, list_name="flow_list")
    if request.method != "POST":
        if lost := unsent_form(request):
            return _show(request, flow, FlowForm(flow, lost), complaints=[UNSENT])
        return _show(request, flow, FlowForm(flow))
    if not request.user.has_perm(REVIEW):
        raise PermissionDenied
    form = FlowForm(flow, request.POST)
    for action in ("add", "remove"):
        if action in request.POST:
            form.with_rows(action, request.POST[action])
            return _show(request, flow, form, unsaved=True)
    return _save(request, flow, form)


def _save(request: Request, flow: AccessFlow, form: FlowForm) -> HttpResponse:
    if not form.is_valid():
        return _show(request, flow, form, complaints=form.complaints, status=422)
    try:
        changed = flows.change(
            flow, form.wanted(), seen_at=form.cleaned_data["seen_at"], by=actor_of(request), at=timezone.now()
        )
    except flows.StaleError as error:
        return _show(request, error.flow, form, stale=error, status=409)
    keep(request, Toast("success", "Saved." if changed else "Nothing was changed."))
    return redirect(reverse("flow_page", args=[flow.public_id]))


def _show(
    request: Request,
    flow: AccessFlow,
    form: FlowForm,
    *,
    stale: flows.StaleError | None = None,
    status: int = 200,
    **more: Any,
) -> HttpResponse:
    context = {
        "flow": flow,
        "form": form,
        "typed": form.is_bound,
        "seen_at": flow.updated_at.isoformat(),
        "changes": [(change, in_words(change.changes)) for change in flows.history_of(flow, most=LAST_CHANGES)],
        "meanwhile": in_words(stale.change.changes) if stale and stale.change else [],
        "stale": stale,
        **more,
    }
    return page(request, "anomalies/flow_page.html", context, status=status)
