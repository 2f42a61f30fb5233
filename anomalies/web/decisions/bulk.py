"""What a reviewer decides about many anomalies at once: those that were picked, or all that match."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Count, QuerySet
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event

from anomalies.models import Anomaly, BulkReview, Severity
from anomalies.services import bulk as bulks
from anomalies.services.bulk import DONE, MOST, Outcome, TooManyError
from anomalies.services.reviews import ReviewError
from anomalies.services.undoing import UNDO_WITHIN
from anomalies.web.access import REVIEW, VIEW, requires
from anomalies.web.answer import actor_of, answer
from anomalies.web.decisions.snoozing import until_of
from anomalies.web.frame import page
from anomalies.web.listing.listing import Listing
from anomalies.web.listing.row import Row
from anomalies.web.paging import page_of
from anomalies.web.people import assignee_called
from anomalies.web.request import Request
from anomalies.web.toast import Toast, keep
from anomalies.web.typed import keep_typed
from anomalies.web.zone import in_own_zone, told_time

FIRST_ROWS = 20
MOST_NAMED = 3  # of those from whom something was taken
PAGE_SIZE = 100


@require_POST
@requires(REVIEW)
@in_own_zone
def decide_many(request: Request) -> HttpResponse:
    """Do it to those that were picked; all that match are fixed first, and shown to be confirmed."""
    at, by, all_of_them = timezone.now(), actor_of(request), "all" in request.POST
    query = QueryDict(request.POST.get("query", ""))
    try:
        prepared = bulks.prepare(
            action=request.POST.get("action", ""),
            arguments=_arguments(request.POST, at=at),
            note=request.POST.get("note", ""),
            anomaly_ids=_matching(request, query) if all_of_them else _picked(request.POST.getlist("picked")),
            query=query.urlencode(),
            by=by,
            at=at,
        )
        if all_of_them:
            there = reverse("bulk_page", args=[prepared.public_id])
            return HttpResponseClientRedirect(there) if request.htmx else redirect(there)
        outcome = bulks.carry_out(prepared, by=by, at=at)
    except ReviewError as error:
        if not request.htmx:
            keep_typed(request, str(error))
        return answer(request, [], Toast("error", str(error)))
    response = answer(request, _shown(request, prepared), _told(prepared, outcome))
    return trigger_client_event(response, "done:bulk")


@require_safe
@requires(VIEW)
@in_own_zone
def bulk_page(request: Request, public_id: str) -> HttpResponse:
    """What is to be done to which, to be confirmed; once it is done, what became of each."""
    review = _review(public_id)
    return _results(request, review) if review.done_at else _confirm(request, review)


@require_POST
@requires(REVIEW)
@in_own_zone
def carry_out(request: Request, public_id: str) -> HttpResponse:
    review, note = _review(public_id), request.POST.get("note", "")
    try:
        outcome = bulks.carry_out(review, by=actor_of(request), at=timezone.now(), note=note)
    except ReviewError as error:
        if review.done_at:
            keep(request, Toast("warning", str(error)))
            return redirect("bulk_page", public_id)
        return _confirm(request, review, note=note, complaint=str(error))
    keep(request, _told(review, outcome))
    return redirect(_list_url(review))


@require_POST
@requires(REVIEW)
@in_own_zone
def undo_many(request: Request, public_id: str) -> HttpResponse:
    review = _review(public_id)
    try:
        outcome = bulks.undo(review, by=actor_of(request), at=timezone.now())
    except ReviewError as error:
        return answer(request, _shown(request, review), Toast("warning", str(error), bulk=public_id))
    text = f"{outcome.done:,} undone{_left(outcome)}."
    return answer(request, _shown(request, review), Toast("success", text, bulk=public_id))


def asked(review: BulkReview) -> str:
    """What is to be done to how many, such as `Resolve 25 anomalies as benign (expected)`."""
    given, count = review.arguments, len(review.anomaly_ids)
    them = "1 anomaly" if count == 1 else f"{count:,} anomalies"
    match review.action:
        case "resolve":
            return f"Resolve {them} as {Anomaly.Verdict(given['verdict']).label}"
        case "snooze":
            return f"Snooze {them} until {told_time(datetime.fromisoformat(given['until']))}"
        case "assign":
            return f"Assign {them} to {given['assignee'] or 'nobody'}"
        case "note":
            return f"Add a note to {them}"
    return f"{review.action.capitalize()} {them}"


def _review(public_id: str) -> BulkReview:
    return get_object_or_404(BulkReview.objects.select_related("created_by"), public_id=public_id)


def _arguments(posted: QueryDict, *, at: datetime) -> Mapping[str, Any]:
    match posted.get("action"):
        case "resolve":
            return {"verdict": posted.get("verdict", "")}
        case "snooze":
            return {"until": until_of(posted, now=at)}
        case "assign":
            user = assignee_called(posted.get("to", ""))
            return {"assignee": user.get_username() if user else ""}
    return {}


def _matching(request: Request, query: QueryDict) -> list[int]:
    listing = Listing(query, request.user)
    if listing.complaints:
        raise ReviewError(f"{listing.complaints[0]} Nothing was done: the filters are not what they seem.")
    matching = listing.filters.matching()
    ids = list(matching.order_by("-detected_at", "-id").values_list("pk", flat=True)[: MOST + 1])
    if len(ids) > MOST:
        raise TooManyError(matching.count())
    return ids


def _picked(public_ids: list[str]) -> list[int]:
    wanted = dict.fromkeys(one.replace("\x00", "") for one in public_ids)
    known = dict(Anomaly.objects.filter(public_id__in=wanted).values_list("public_id", "pk"))
    if missing := [one for one in wanted if one not in known]:
        raise ReviewError(f"anomalies: there is no “{missing[0][:40]}”; none was changed.")
    return [known[one] for one in wanted]


def _shown(request: Request, review: BulkReview) -> list[Anomaly]:
    """Those of the set that the page shows, as they are now."""
    present = {name.partition("-")[2] for name in request.headers.get("X-Present", "").split(",")}
    if not request.htmx or not present:
        return []
    related = Anomaly.objects.select_related("agent", "principal", "assignee")
    return list(related.filter(pk__in=review.anomaly_ids, public_id__in=present))


def _told(review: BulkReview, outcome: Outcome) -> Toast:
    text = f"{outcome.done:,} {DONE[review.action]}{_taken(outcome)}{_left(outcome)}."
    undoable = outcome.done > 0 and review.action != "note"
    level = "success" if outcome.done else "warning"
    return Toast(level, text, bulk=review.public_id, undoes_bulk=undoable)


def _taken(outcome: Outcome) -> str:
    told = [f"{count:,} taken from {name}" for name, count in outcome.taken_from.items()]
    rest = f", {len(told) - MOST_NAMED} others had some" if len(told) > MOST_NAMED else ""
    return f" ({', '.join(told[:MOST_NAMED])}{rest})" if told else ""


def _left(outcome: Outcome) -> str:
    left = sum(outcome.refused.values())
    if not left:
        return ""
    why = f" ({next(iter(outcome.refused))})" if len(outcome.refused) == 1 else ""
    return f", {left:,} left as {'it was' if left == 1 else 'they were'}{why}"


def _list_url(review: BulkReview) -> str:
    return reverse("anomaly_list") + (f"?{review.query}" if review.query else "")


def _confirm(request: Request, review: BulkReview, *, note: str | None = None, complaint: str = "") -> HttpResponse:
    anomalies = Anomaly.objects.filter(pk__in=review.anomaly_ids)
    statuses: QuerySet[Any, Any] = anomalies.with_shown_status()
    by_severity = dict(anomalies.values_list("severity").annotate(n=Count("*")).order_by())
    by_status = statuses.values_list("shown_status").annotate(n=Count("*")).order_by("-n")
    by_holder = anomalies.order_by().values_list("assignee__username").annotate(n=Count("*")).order_by("-n")
    context = {
        "review": review,
        "asked": asked(review),
        "total": len(review.anomaly_ids),
        "severities": [(one.label, by_severity[one.value]) for one in reversed(Severity) if one.value in by_severity],
        "statuses": list(by_status),
        "holders": list(by_holder) if review.action == "assign" else [],
        "rows": [Row(one) for one in anomalies.newest_first()[:FIRST_ROWS]],
        "rest": len(review.anomaly_ids) - FIRST_ROWS,
        "note": review.note if note is None else note,
        "complaint": complaint,
        "back_url": _list_url(review),
    }
    return page(request, "anomalies/bulk_confirm.html", context, status=409 if complaint else 200)


def _results(request: Request, review: BulkReview) -> HttpResponse:
    outcome = bulks.outcome(review)
    rows: QuerySet[Any, Any] = bulks.results(review)
    left_only = "left" in request.GET
    if left_only:
        rows = rows.filter(entry_id=None)
    wanted = {name: request.GET.get(name, "").replace("\x00", "")[:40] for name in ("older", "newer")}
    boundary = {name: rows.filter(public_id=public_id).first() for name, public_id in wanted.items()}
    shown = page_of(rows, ("-detected_at", "-id"), size=PAGE_SIZE, after=boundary["older"], before=boundary["newer"])
    assert review.done_at is not None
    young = timezone.now() - review.done_at <= UNDO_WITHIN
    context = {
        "review": review,
        "asked": asked(review),
        "done": DONE[review.action],
        "outcome": outcome,
        "undone": bulks.undone(review),
        "total": len(review.anomaly_ids),
        "left": sum(outcome.refused.values()),
        "left_only": left_only,
        "items": [(Row(one), one.entry_id, one.undone_id, bulks.why_not(review, one)) for one in shown.rows],
        "older": shown.next_from,
        "newer": shown.previous_from,
        "undoable": outcome.done and young and not review.undone_at and review.action != "note",
        "back_url": _list_url(review),
    }
    return page(request, "anomalies/bulk_results.html", context)
