"""What a reviewer decides about one anomaly: each form calls one verb of services/reviews."""

from collections.abc import Callable
from datetime import datetime

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.views.decorators.http import require_POST

from anomalies.models import Anomaly, ReviewEntry
from anomalies.services import bookmarks, reviews
from anomalies.services.actor import Actor
from anomalies.services.undoing import UNDOABLE
from anomalies.web.access import REVIEW, VIEW, requires
from anomalies.web.answer import actor_of, answer, refuse
from anomalies.web.decisions.snoozing import until_of
from anomalies.web.listing.row import Row
from anomalies.web.people import assignee_called
from anomalies.web.request import Request
from anomalies.web.toast import Toast
from anomalies.web.views import anomaly_called
from anomalies.web.zone import in_own_zone, told_time

Verb = Callable[[Anomaly, Actor, datetime], ReviewEntry]


@require_POST
@requires(REVIEW)
@in_own_zone
def acknowledge(request: Request, public_id: str) -> HttpResponse:
    note = request.POST.get("note", "")
    return _decide(
        request,
        public_id,
        lambda anomaly, by, at: reviews.acknowledge(anomaly, by=by, at=at, note=note),
        lambda _: "Acknowledged.",
    )


@require_POST
@requires(REVIEW)
@in_own_zone
def resolve(request: Request, public_id: str) -> HttpResponse:
    verdict, reason = request.POST.get("verdict", ""), request.POST.get("reason", "")
    return _decide(
        request,
        public_id,
        lambda anomaly, by, at: reviews.resolve(anomaly, verdict=verdict, reason=reason, by=by, at=at),
        lambda anomaly: f"Resolved: {anomaly.get_verdict_display()}.",
    )


@require_POST
@requires(REVIEW)
@in_own_zone
def reopen(request: Request, public_id: str) -> HttpResponse:
    note = request.POST.get("note", "")
    return _decide(
        request,
        public_id,
        lambda anomaly, by, at: reviews.reopen(anomaly, by=by, at=at, note=note),
        lambda _: "Reopened: it is up for review again.",
    )


@require_POST
@requires(REVIEW)
@in_own_zone
def snooze(request: Request, public_id: str) -> HttpResponse:
    note = request.POST.get("note", "")

    def verb(anomaly: Anomaly, by: Actor, at: datetime) -> ReviewEntry:
        return reviews.snooze(anomaly, until=until_of(request.POST, now=at), by=by, at=at, note=note)

    return _decide(request, public_id, verb, _snoozed)


@require_POST
@requires(REVIEW)
@in_own_zone
def assign(request: Request, public_id: str) -> HttpResponse:
    note, to, shown = request.POST.get("note", ""), request.POST.get("to", ""), request.POST.get("shown")

    def verb(anomaly: Anomaly, by: Actor, at: datetime) -> ReviewEntry:
        had = User.objects.filter(username=(shown or "").replace("\x00", "")).values_list("pk", flat=True).first()
        seen = {} if shown is None else {"assignee": had}
        return reviews.assign(anomaly, to=assignee_called(to), by=by, at=at, note=note, seen=seen)

    whom = "you" if to == request.user.get_username() else to or "nobody"
    return _decide(request, public_id, verb, lambda _: f"Assigned to {whom}.")


@require_POST
@requires(REVIEW)
@in_own_zone
def rename(request: Request, public_id: str) -> HttpResponse:
    title, shown = request.POST.get("title", ""), request.POST.get("shown")
    seen = {} if shown is None else {"title": shown}
    return _decide(
        request,
        public_id,
        lambda anomaly, by, at: reviews.rename(anomaly, title=title, by=by, at=at, seen=seen),
        lambda anomaly: "Renamed." if anomaly.title else "Its name is taken away: it is called by what happened.",
    )


@require_POST
@requires(REVIEW)
@in_own_zone
def add_note(request: Request, public_id: str) -> HttpResponse:
    note = request.POST.get("note", "")
    return _decide(
        request,
        public_id,
        lambda anomaly, by, at: reviews.add_note(anomaly, by=by, at=at, note=note),
        lambda _: "Note added.",
    )


@require_POST
@requires(VIEW)
@in_own_zone
def bookmark(request: Request, public_id: str) -> HttpResponse:
    """Mark it for oneself, or take the mark away: nobody else sees it, so those who only look may do it, too."""
    anomaly = anomaly_called(public_id)
    assert isinstance(request.user, User)
    if request.POST.get("marked") == "no":
        bookmarks.remove(anomaly, user=request.user)
        return answer(request, [anomaly], Toast("success", "The bookmark is removed."))
    bookmarks.add(anomaly, user=request.user, at=timezone.now())
    return answer(request, [anomaly], Toast("success", "Bookmarked, for you alone."))


@require_POST
@requires(REVIEW)
@in_own_zone
def undo(request: Request, entry: int) -> HttpResponse:
    taken_back = get_object_or_404(ReviewEntry.objects.select_related("anomaly"), pk=entry)
    try:
        reviews.undo(taken_back, by=actor_of(request), at=timezone.now())
    except reviews.ReviewError as error:
        toast = Toast("warning", str(error))
    else:
        toast = Toast("success", _undone(taken_back))
    return answer(request, [anomaly_called(taken_back.anomaly.public_id)], toast)


def _snoozed(anomaly: Anomaly) -> str:
    return f"Snoozed until {told_time(anomaly.snoozed_until)}." if anomaly.snoozed_until else "It is back already."


def _undone(entry: ReviewEntry) -> str:
    anomaly = Anomaly.objects.select_related("assignee").get(pk=entry.anomaly_id)
    match entry.action:
        case ReviewEntry.Action.ASSIGNED:
            whom = anomaly.assignee.get_username() if anomaly.assignee else "nobody"
            return f"Undone: it is assigned to {whom} again."
        case ReviewEntry.Action.RENAMED:
            return "Undone: it is called as before."
    return f"Undone: it is {Row(anomaly).set_aside or anomaly.status} again."


def _decide(request: Request, public_id: str, verb: Verb, said: Callable[[Anomaly], str]) -> HttpResponse:
    anomaly = anomaly_called(public_id)
    try:
        entry = verb(anomaly, actor_of(request), timezone.now())
    except reviews.ReviewError as error:
        return refuse(request, anomaly, error)
    undoable = str(entry.pk) if entry.action in UNDOABLE else ""
    return answer(request, [anomaly], Toast("success", said(anomaly), anomaly.public_id, undoable))
