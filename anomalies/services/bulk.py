"""One decision about many anomalies: prepared over an exact set, carried out once, taken back once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, OuterRef, QuerySet, Subquery

from anomalies.models import Anomaly, BulkReview
from anomalies.services import decisions, notices
from anomalies.services.actor import Actor
from anomalies.services.deciding import take
from anomalies.services.decisions import Decision, ReviewError, checked_note
from anomalies.services.undoing import check_time, done_by, take_back

MOST = 100_000  # anomalies
ADMINISTER = "anomalies.change_bulkreview"
ACTIONS: Mapping[str, frozenset[str]] = {  # and their arguments
    "acknowledge": frozenset(),
    "resolve": frozenset({"verdict"}),
    "reopen": frozenset(),
    "snooze": frozenset({"until"}),
    "assign": frozenset({"assignee"}),
    "note": frozenset(),
}
DONE: Mapping[str, str] = {  # what an anomaly of which set is by it; of those that a suppression hides, too
    "acknowledge": "acknowledged",
    "resolve": "resolved",
    "reopen": "reopened",
    "snooze": "snoozed",
    "assign": "assigned",
    "note": "noted",
    "suppress": "suppressed",
}


class TooManyError(ReviewError):
    def __init__(self, count: int) -> None:
        super().__init__(
            f"anomalies: {count:,} are too many, at most {MOST:,} are decided at once: filter them further."
        )


class NotYoursError(ReviewError):
    def __init__(self, bulk: BulkReview) -> None:
        super().__init__(f"{bulk.public_id} was prepared by {bulk.created_by.get_username()}, who alone may do that.")


class AlreadyCarriedOutError(ReviewError):
    def __init__(self, bulk: BulkReview) -> None:
        super().__init__(f"{bulk.public_id} was carried out already, at {bulk.done_at:%Y-%m-%d %H:%M %Z}.")


class AlreadyTakenBackError(ReviewError):
    def __init__(self, bulk: BulkReview) -> None:
        super().__init__(f"{bulk.public_id} was undone already, at {bulk.undone_at:%Y-%m-%d %H:%M %Z}.")


class NotCarriedOutError(ReviewError):
    def __init__(self, bulk: BulkReview) -> None:
        super().__init__(f"{bulk.public_id} was not carried out: there is nothing to undo.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many were changed, and of the others how many for which reason, most first.

    `taken_from` names those who had some of what was assigned to somebody else, with how many.
    """

    done: int
    refused: Mapping[str, int]
    taken_from: Mapping[str, int] = field(default_factory=dict)


def prepare(
    *,
    action: str,
    arguments: Mapping[str, Any],
    note: str,
    anomaly_ids: Sequence[int],
    query: str = "",
    by: Actor,
    at: datetime,
) -> BulkReview:
    """Fix what is to be done to which anomalies, by their numbers, and return it; nothing is done yet.

    `arguments` are `verdict` to resolve, `until` (a datetime, or its ISO form) to snooze, and `assignee` (a user name,
    or "" for nobody) to assign; the note is the reason of a resolution. Raises ReviewError.
    """
    user = _person(by)
    if action not in ACTIONS:
        raise ReviewError(f"action: {action!r:.80} is none of {', '.join(ACTIONS)}.")
    kept = {name: _plain(arguments.get(name)) for name in sorted(ACTIONS[action])}
    if others := sorted(set(arguments) - set(kept)):
        raise ReviewError(f"{others[0][:80]}: {action} takes no such argument.")
    note = _note(action, note)
    ids = list(dict.fromkeys(anomaly_ids))
    if not ids:
        raise ReviewError("anomalies: none is selected.")
    if len(ids) > MOST:
        raise TooManyError(len(ids))
    if missing := len(ids) - Anomaly.objects.filter(pk__in=ids).count():
        raise ReviewError(f"anomalies: {missing:,} of {len(ids):,} do not exist.")
    bulk = BulkReview(
        action=action, arguments=kept, note=note, query=query, anomaly_ids=ids, created_at=at, created_by=user
    )
    _decision_of(bulk, by=by, at=at)
    bulk.save(force_insert=True)
    return bulk


@transaction.atomic
def carry_out(bulk: BulkReview, *, by: Actor, at: datetime, note: str | None = None) -> Outcome:
    """Do to the exact set what was prepared, once, and return what became of it; a note replaces the prepared one.

    Raises NotYoursError, AlreadyCarriedOutError, or ReviewError if its arguments hold no more; then nothing is done.
    """
    _lock(bulk, by=by)
    if bulk.done_at is not None:
        raise AlreadyCarriedOutError(bulk)
    if note is not None:
        bulk.note = _note(bulk.action, note)
    decision = _decision_of(bulk, by=by, at=at)
    taken = take(decision, bulk.anomaly_ids, by=by, at=at, note=bulk.note, bulk=bulk)
    if bulk.action == "assign" and taken.entries and (to := _assignee(bulk)) and to != by.user:
        notices.tell(to, min(taken.entries.values()))
    bulk.refused = {error.anomaly.public_id: error.reason for error in taken.refused}
    bulk.done_at = at
    bulk.save(update_fields=["note", "refused", "done_at"])
    return Outcome(len(taken.entries), _counted(bulk.refused.values()), _taken_from(bulk))


@transaction.atomic
def undo(bulk: BulkReview, *, by: Actor, at: datetime) -> Outcome:
    """Take back what still is as it left it, once, and return how many that are and what became of the others.

    Raises NotYoursError, NotCarriedOutError, AlreadyTakenBackError, UndoExpiredError, or NotUndoableError for notes.
    """
    _lock(bulk, by=by)
    if bulk.done_at is None:
        raise NotCarriedOutError(bulk)
    if bulk.undone_at is not None:
        raise AlreadyTakenBackError(bulk)
    first = done_by(bulk).first()
    refused: list[str] = []
    done = 0
    if first is not None:
        check_time(first, at=at)
        taken_back = take_back(first, by=by, at=at, bulk=bulk)
        done, refused = len(taken_back.entries), [error.reason for error in taken_back.refused]
    bulk.undone_at = at
    bulk.save(update_fields=["undone_at"])
    return Outcome(done, _counted(refused))


def outcome(bulk: BulkReview) -> Outcome:
    """Return again what carrying it out came to."""
    return Outcome(done_by(bulk).count(), _counted(bulk.refused.values()), _taken_from(bulk))


def undone(bulk: BulkReview) -> int:
    """Return how many of those that it changed were taken back since, with the others or alone."""
    return done_by(bulk).exclude(undone_by=None).count()


def results(bulk: BulkReview) -> "QuerySet[Anomaly]":
    """Return the set, newest first, each with the `entry_id` of what was done to it and `undone_id` of what undid that.

    Of one without, `why_not` tells the reason.
    """
    entry = done_by(bulk).filter(anomaly=OuterRef("pk"))
    return (
        Anomaly.objects.filter(pk__in=bulk.anomaly_ids)
        .annotate(entry_id=Subquery(entry.values("pk")[:1]), undone_id=Subquery(entry.values("undone_by")[:1]))
        .newest_first()
    )


def why_not(bulk: BulkReview, anomaly: Anomaly) -> str:
    """Return why an anomaly of the set was left as it was; empty where it was not."""
    return str(bulk.refused.get(anomaly.public_id, ""))


def _lock(bulk: BulkReview, *, by: Actor) -> None:
    user = _person(by)
    known = BulkReview.objects.select_for_update(of=("self",)).select_related("created_by").get(pk=bulk.pk)
    if known.created_by != user and not user.has_perm(ADMINISTER):
        raise NotYoursError(known)
    for name in ("refused", "done_at", "undone_at"):
        setattr(bulk, name, getattr(known, name))


def _person(by: Actor) -> User:
    if by.user is None:
        raise ReviewError(f"{by.name} is no person: many at once are decided by people.")
    return by.user


def _note(action: str, note: str) -> str:
    note = checked_note(note)
    if action == "note" and not note:
        raise ReviewError("note: it is empty.")
    return note


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _decision_of(bulk: BulkReview, *, by: Actor, at: datetime) -> Decision:
    match bulk.action:
        case "acknowledge":
            return decisions.acknowledging(by=by, at=at)
        case "resolve":
            return decisions.resolving(verdict=str(bulk.arguments["verdict"]), reason=bulk.note, by=by, at=at)
        case "reopen":
            return decisions.reopening()
        case "snooze":
            return decisions.snoozing(until=_until(bulk), at=at)
        case "assign":
            return decisions.assigning(to=_assignee(bulk))
    return decisions.noting()


def _until(bulk: BulkReview) -> datetime:
    given = bulk.arguments["until"]
    try:
        return datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise ReviewError(f"until: {given!r:.80} is no date and time.") from None


def _assignee(bulk: BulkReview) -> User | None:
    name = bulk.arguments["assignee"]
    if name in ("", None):
        return None
    user = User.objects.filter(username=str(name).replace("\x00", "")).first()
    if user is None:
        raise ReviewError(f"assignee: there is no user {name!r:.80}.")
    return user


def _taken_from(bulk: BulkReview) -> dict[str, int]:
    if bulk.action != "assign":
        return {}
    had = done_by(bulk).order_by().values_list("changes__assignee__0").annotate(n=Count("*"))
    counts = {user: count for user, count in had if user is not None}
    names = dict(User.objects.filter(pk__in=counts).values_list("pk", "username"))
    found = {names.get(user, f"user {user}"): count for user, count in counts.items()}
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


def _counted(reasons: Any) -> dict[str, int]:
    return dict(Counter(reasons).most_common())
