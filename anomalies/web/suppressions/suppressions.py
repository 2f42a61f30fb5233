"""The pages of suppressions: all of them, a new one with its preview, and one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, Q, QuerySet
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from anomalies.models import Anomaly, Suppression
from anomalies.services import hiding, suppressions
from anomalies.services.reviews import ReviewError
from anomalies.web.access import REVIEW, requires
from anomalies.web.answer import actor_of
from anomalies.web.frame import fragment, page
from anomalies.web.listing.row import Row
from anomalies.web.paging import page_of
from anomalies.web.request import Request
from anomalies.web.suppressions.form import DEFAULT_SPAN, FIELDS, SuppressionForm, initial_of, parts_of, shown, widths
from anomalies.web.toast import Toast, keep
from anomalies.web.typed import UNSENT, unsent_form
from anomalies.web.zone import in_own_zone

SEE = "anomalies.view_suppression"
MAKE = "anomalies.add_suppression"
END = "anomalies.change_suppression"
PAGE_SIZE = 50
NEWEST = 20
STATES = {"active": "Active", "over": "Ended or expired", "all": "All"}


@dataclass(frozen=True, slots=True)
class Line:
    """A suppression as the list says it."""

    suppression: Any
    state: str

    @property
    def parts(self) -> list[tuple[str, str]]:
        return parts_of(suppressions.conditions_of(self.suppression))

    @property
    def is_active(self) -> bool:
        return self.state == "active"


def _line(suppression: Suppression, now: datetime) -> Line:
    if suppression.ended_at:
        return Line(suppression, "ended")
    expired = suppression.expires_at is not None and suppression.expires_at <= now
    return Line(suppression, "expired" if expired else "active")


def _in_state(state: str, now: datetime) -> QuerySet[Suppression]:
    if state == "active":
        return Suppression.objects.in_force(at=now)
    over = Q(ended_at__isnull=False) | Q(expires_at__lte=now)
    return Suppression.objects.filter(over) if state == "over" else Suppression.objects.all()


def _called(public_id: str) -> Suppression:
    found = Suppression.objects.filter(public_id=public_id).first()
    if found is None:
        raise Http404
    return found


@require_safe
@requires(SEE)
@in_own_zone
def suppression_list(request: Request) -> HttpResponse:
    now, state = timezone.now(), request.GET.get("state", "active")
    complaints = [
        f"There is no filter “{name[:40]}”." for name in request.GET if name not in ("state", "older", "newer")
    ]
    if state not in STATES:
        complaints.append(f"State: “{state[:40]}” is none of {', '.join(STATES)}.")
        state = "active"
    rows = _in_state(state, now).annotate(hits=Count("anomalies"), hit_last=Max("anomalies__detected_at"))
    boundary = {
        name: Suppression.objects.filter(public_id=wanted.replace("\x00", "")).first()
        for name in ("older", "newer")
        if (wanted := request.GET.get(name))
    }
    shown_page = page_of(rows, ("-id",), size=PAGE_SIZE, after=boundary.get("older"), before=boundary.get("newer"))
    context = {
        "lines": [_line(row, now) for row in shown_page.rows],
        "older": shown_page.next_from,
        "newer": shown_page.previous_from,
        "state": state,
        "states": [(name, label, _in_state(name, now).count()) for name, label in STATES.items()],
        "complaints": complaints,
        "can_make": request.user.has_perm(MAKE),
    }
    return page(request, "anomalies/suppression_list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(MAKE, is_form=True)
@in_own_zone
def suppression_new(request: Request) -> HttpResponse:
    now = timezone.now()
    lost = unsent_form(request) if request.method != "POST" else None
    because_of, complaints = _because_of(request, lost or request.POST)
    if lost:
        preview = _preview(SuppressionForm(lost), because_of, now)
        form = SuppressionForm(initial=lost.dict())
        return _form_page(request, form, because_of, preview, [*complaints, UNSENT], others="others" in lost)
    if request.method != "POST":
        initial = {"owner": request.user.get_username(), "span": DEFAULT_SPAN}
        initial |= (
            initial_of(because_of, request.GET)
            if because_of
            else {n: request.GET[n] for n in FIELDS if n in request.GET}
        )
        form = SuppressionForm(initial=initial)
        tried = SuppressionForm({**initial, "reason": "-", "highest_severity": initial.get("highest_severity", 3)})
        preview = _preview(tried, because_of, now) if any(initial.get(name) for name in FIELDS[:-1]) else None
        return _form_page(request, form, because_of, preview, complaints)
    form = SuppressionForm(request.POST)
    form.full_clean()
    preview = _preview(form, because_of, now)
    if "look" in request.POST or not form.is_valid() or preview is None:
        # To look is no attempt to save: what is still missing is no mistake yet.
        if "look" in request.POST and preview is not None:
            form = SuppressionForm(initial=request.POST.dict())
        return _form_page(request, form, because_of, preview, complaints, status=200 if "look" in request.POST else 422)
    if request.POST.get("seen") != form.asked():
        complaints.append("Nothing was saved yet: these conditions were not looked at. Here is what they hide.")
        return _form_page(request, form, because_of, preview, complaints, status=422)
    others, until = "others" in request.POST, request.POST.get("until", "")
    if (because_of or others) and not request.user.has_perm(REVIEW):
        raise PermissionDenied
    known = int(until) if until.isascii() and until.isdigit() and len(until) < 19 else 0
    try:
        made = hiding.create_and_hide(
            reason=form.cleaned_data["reason"],
            owner=form.cleaned_data["owner"],
            conditions=form.conditions,
            expires_at=form.cleaned_data["expires_at"],
            because_of=because_of,
            others_until=known if others else None,
            by=actor_of(request),
            at=now,
        )
    except (suppressions.SuppressionError, ReviewError) as error:
        return _form_page(request, form, because_of, preview, [*complaints, str(error)], status=422)
    hidden = hiding.hidden_with(made)
    told = f"{hidden.count:,} hidden from review." if hidden and hidden.count else "What comes from now on is hidden."
    keep(request, Toast("success", f"Suppressed. {told}"))
    return redirect("suppression_page", made.public_id)


@require_POST
@requires(MAKE)
@in_own_zone
def suppression_preview(request: Request) -> HttpResponse:
    """What the form as it is typed would have hidden, for those whose browser asks while they type."""
    because_of, _ = _because_of(request, request.POST)
    form = SuppressionForm(request.POST)
    form.full_clean()
    wrong = [error for name in (*FIELDS, "__all__") for error in form.errors.get(name, [])]
    preview = _preview(form, because_of, timezone.now())
    context = {"preview": preview, "because_of": because_of, "wrong": wrong, "others": "others" in request.POST}
    return fragment(request, "anomalies/suppression_new.html#preview", context)


def _because_of(request: Request, posted: QueryDict) -> tuple[Anomaly | None, list[str]]:
    wanted = posted.get("from") or request.GET.get("from", "")
    if not wanted:
        return None, []
    found = Anomaly.objects.select_related("agent", "principal", "suppression").called(wanted)
    return found, [] if found else [f"From: there is no anomaly “{wanted[:40]}”."]


def _preview(form: SuppressionForm, because_of: Anomaly | None, now: datetime) -> Any:
    form.full_clean()
    return shown(form, because_of, until=hiding.newest_id(), now=now) if form.has_conditions else None


def _form_page(
    request: Request,
    form: SuppressionForm,
    because_of: Anomaly | None,
    preview: Any,
    complaints: list[str],
    *,
    others: bool = False,
    status: int = 200,
) -> HttpResponse:
    now = timezone.now()
    initial = {name: value for name in FIELDS if (value := form[name].value())}
    context = {
        "form": form,
        "because_of": because_of,
        "widths": widths(because_of, initial, now=now) if because_of else [],
        "preview": preview,
        "complaints": complaints,
        "others": others or "others" in request.POST,
    }
    return page(request, "anomalies/suppression_new.html", context, status=status)


@require_safe
@requires(SEE)
@in_own_zone
def suppression_page(request: Request, public_id: str) -> HttpResponse:
    return _page(request, _called(public_id))


@require_POST
@requires(END)
@in_own_zone
def suppression_end(request: Request, public_id: str) -> HttpResponse:
    suppression = _called(public_id)
    try:
        suppressions.end(suppression, by=actor_of(request), at=timezone.now())
    except suppressions.AlreadyEndedError as error:
        keep(request, Toast("warning", str(error)))
    else:
        keep(request, Toast("success", "Ended: what is raised from now on is up for review. What it hid stays hidden."))
    return redirect("suppression_page", public_id)


@require_POST
@requires(REVIEW)
@in_own_zone
def suppression_bring_back(request: Request, public_id: str) -> HttpResponse:
    suppression = _called(public_id)
    hidden = hiding.hidden_with(suppression)
    if hidden is None:
        raise Http404
    try:
        outcome = hiding.bring_back(hidden, by=actor_of(request), at=timezone.now())
    except ReviewError as error:
        keep(request, Toast("warning", str(error)))
    else:
        refused = "".join(f" {count:,} not: {reason}." for reason, count in outcome.refused.items())
        keep(request, Toast("success", f"{outcome.done:,} up for review again.{refused}"))
    return redirect("suppression_page", public_id)


def _page(request: Request, suppression: Suppression) -> HttpResponse:
    now = timezone.now()
    hidden = Anomaly.objects.filter(suppression=suppression).select_related("agent", "principal")
    context = {
        "line": _line(suppression, now),
        "hits": suppressions.hits(suppression),
        "newest_rows": [Row(anomaly) for anomaly in hidden.newest_first()[:NEWEST]],
        "hidden": hiding.hidden_with(suppression),
        "can_end": request.user.has_perm(END),
        "list_url": reverse("suppression_list"),
    }
    return page(request, "anomalies/suppression_page.html", context)
