"""What people do to one anomaly. Each verb is one transaction: a change, an entry on the timeline, a message."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction

from anomalies.models import Anomaly, ReviewEntry, Suppression
from anomalies.services import decisions, notices, suppressions
from anomalies.services.actor import Actor
from anomalies.services.deciding import lock, take
from anomalies.services.decisions import (
    MAX_NOTE_LENGTH,
    AlreadyDecidedError,
    Decision,
    NoteTooLongError,
    OvertakenError,
    RefusedError,
    ReviewError,
    checked_note,
)
from anomalies.services.undoing import (
    UNDO_WITHIN,
    NothingToUndoError,
    NotUndoableError,
    UndoExpiredError,
    check_time,
    take_back,
)

if TYPE_CHECKING:
    from django.contrib.auth.models import User

__all__ = [
    "MAX_NOTE_LENGTH",
    "UNDO_WITHIN",
    "AlreadyDecidedError",
    "NotUndoableError",
    "NoteTooLongError",
    "NothingToUndoError",
    "OvertakenError",
    "RefusedError",
    "ReviewError",
    "UndoExpiredError",
    "acknowledge",
    "add_note",
    "assign",
    "rename",
    "reopen",
    "resolve",
    "snooze",
    "suppress",
    "undo",
    "wake",
]

SNOOZE = Actor(name="snooze")  # of what comes back by itself


def acknowledge(anomaly: Anomaly, *, by: Actor, at: datetime, note: str = "") -> ReviewEntry:
    """Mark an open anomaly as seen and return the entry, which `undo` takes. It is not snoozed any more.

    Raises AlreadyDecidedError if it is not open any more.
    """
    return _decide(anomaly, decisions.acknowledging(by=by, at=at), by=by, at=at, note=checked_note(note))


def resolve(anomaly: Anomaly, *, verdict: str, by: Actor, at: datetime, reason: str = "") -> ReviewEntry:
    """Say what an anomaly that is not resolved yet turned out to be, and return the entry.

    Raises AlreadyDecidedError, or ReviewError if there is no such verdict.
    """
    reason = checked_note(reason, "reason")
    decision = decisions.resolving(verdict=verdict, reason=reason, by=by, at=at)
    return _decide(anomaly, decision, by=by, at=at, note=reason)


def reopen(anomaly: Anomaly, *, by: Actor, at: datetime, note: str = "") -> ReviewEntry:
    """Ask again about an anomaly that was decided, or snoozed, and return the entry. Raises AlreadyDecidedError."""
    return _decide(anomaly, decisions.reopening(), by=by, at=at, note=checked_note(note))


def snooze(anomaly: Anomaly, *, until: datetime, by: Actor, at: datetime, note: str = "") -> ReviewEntry:
    """Ask nobody about an open anomaly until then, and return the entry; a later call may choose another time.

    Raises AlreadyDecidedError, RefusedError where nobody is asked anyway, or ReviewError if it is no such time.
    """
    return _decide(anomaly, decisions.snoozing(until=until, at=at), by=by, at=at, note=checked_note(note))


@transaction.atomic
def assign(
    anomaly: Anomaly,
    *,
    to: "User | None",
    by: Actor,
    at: datetime,
    note: str = "",
    seen: Mapping[str, Any] = decisions.NOTHING,
) -> ReviewEntry:
    """Give an anomaly to somebody, who is told unless they did it themselves, or to nobody; return the entry.

    With `seen`, fields as they were shown to who decides, nothing is overwritten that somebody changed since. Raises
    OvertakenError then, RefusedError if it is theirs already, or ReviewError if they may not review.
    """
    entry = _decide(anomaly, decisions.assigning(to=to, seen=seen), by=by, at=at, note=checked_note(note))
    if to is not None and to != by.user:
        notices.tell(to, entry.pk)
    return entry


def rename(
    anomaly: Anomaly, *, title: str, by: Actor, at: datetime, seen: Mapping[str, Any] = decisions.NOTHING
) -> ReviewEntry:
    """Call an anomaly by a title of one line; an empty one takes it away. `seen` as of `assign`. Raises ReviewError."""
    return _decide(anomaly, decisions.renaming(title=title, seen=seen), by=by, at=at)


def suppress(anomaly: Anomaly, *, suppression: Suppression, by: Actor, at: datetime) -> ReviewEntry:
    """Ask nobody about an open anomaly because of a suppression, and return the entry. Raises RefusedError."""
    decision = decisions.suppressing(suppression=suppression)
    return _decide(anomaly, decision, by=by, at=at, note=suppressions.told(suppression))


def add_note(anomaly: Anomaly, *, by: Actor, at: datetime, note: str) -> ReviewEntry:
    """Add a note to the timeline. Raises NoteTooLongError, or ReviewError if it is empty."""
    note = checked_note(note)
    if not note:
        raise ReviewError("note: it is empty.")
    return _decide(anomaly, decisions.noting(), by=by, at=at, note=note)


@transaction.atomic
def undo(entry: ReviewEntry, *, by: Actor, at: datetime) -> ReviewEntry:
    """Take a decision back, by an entry of its own: what it changed is again as it was before.

    Raises NothingToUndoError if it was undone already or another decision changed the same since, NotUndoableError
    if it is no decision of a person, and UndoExpiredError if it was taken longer ago than UNDO_WITHIN.
    """
    if not ReviewEntry.objects.filter(undoes=entry).exists():  # that somebody did it says more than that it is late
        check_time(entry, at=at)
    taken_back = take_back(entry, by=by, at=at)
    if taken_back.refused:
        raise taken_back.refused[0]
    return ReviewEntry.objects.select_related("anomaly").get(pk=taken_back.entries[entry.pk])


@transaction.atomic
def wake(*, at: datetime) -> int:
    """Ask again about what was snoozed until then, tell whoever snoozed it, and return how many that are.

    Where nobody is asked by now, only whoever snoozed it learns why. What has become a part of another is asked about
    with that: it comes back once it stands for itself again.
    """
    due = lock(Anomaly.objects.standing().filter(snoozed_until__lte=at).values_list("pk", flat=True))
    by_note: dict[str, list[int]] = defaultdict(list)
    for anomaly in due.filter(snoozed_until__lte=at):  # as it is once it is locked: another worker may have been faster
        set_aside = decisions.set_aside(anomaly)
        by_note[f"{set_aside} by now: nobody is asked about it" if set_aside else ""].append(anomaly.pk)
    woken: list[int] = []
    for note, anomaly_ids in by_note.items():
        woken += take(decisions.waking(told=not note), anomaly_ids, by=SNOOZE, at=at, note=note).entries.values()
    if woken:
        notices.tell_who_snoozed(woken)
    return len(woken)


@transaction.atomic
def _decide(anomaly: Anomaly, decision: Decision, *, by: Actor, at: datetime, note: str = "") -> ReviewEntry:
    taken = take(decision, [anomaly.pk], by=by, at=at, note=note)
    anomaly.refresh_from_db()
    if taken.refused:
        raise taken.refused[0]
    return ReviewEntry.objects.get(pk=taken.entries[anomaly.pk])
