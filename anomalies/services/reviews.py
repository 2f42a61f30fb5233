"""What people do to anomalies. Each verb is one transaction: a conditional UPDATE, an entry, a message."""

from datetime import datetime

from django.db import transaction

from anomalies.models import Anomaly, ReviewEntry
from anomalies.services.actor import Actor
from anomalies.services.outbox import announce

MAX_NOTE_LENGTH = 10_000  # characters


class ReviewError(Exception):
    """A review action that cannot be done; its text is for the person who asked."""


class AlreadyDecidedError(ReviewError):
    """Somebody was faster; `entry` is what they did."""

    def __init__(self, anomaly: Anomaly, entry: ReviewEntry | None) -> None:
        self.anomaly = anomaly
        self.entry = entry
        by = f" by {entry.actor}" if entry else ""
        super().__init__(f"{anomaly.public_id} is already {anomaly.status}{by}.")


class NoteTooLongError(ReviewError):
    def __init__(self, note: str) -> None:
        super().__init__(f"note: {len(note):,} characters, at most {MAX_NOTE_LENGTH:,} are kept.")


class NothingToUndoError(ReviewError):
    pass


def _checked(note: str) -> str:
    if len(note) > MAX_NOTE_LENGTH:
        raise NoteTooLongError(note)
    return note.strip().replace("\x00", "")


def _last_decision(anomaly: Anomaly) -> ReviewEntry | None:
    """The entry that gave the anomaly the status it has, unless it was undone since."""
    return (
        ReviewEntry.objects.filter(anomaly=anomaly, to_status=anomaly.status)
        .exclude(from_status="", to_status="")
        .order_by("-id")
        .first()
    )


@transaction.atomic
def acknowledge(anomaly: Anomaly, *, by: Actor, at: datetime, note: str = "") -> ReviewEntry:
    """Mark an open anomaly as seen and return the entry, which `undo` takes.

    Raises AlreadyDecidedError if it is not open any more.
    """
    note = _checked(note)
    changed = Anomaly.objects.filter(pk=anomaly.pk, status=Anomaly.Status.OPEN).update(
        status=Anomaly.Status.ACKNOWLEDGED, acknowledged_at=at, acknowledged_by=by.name, updated_at=at
    )
    anomaly.refresh_from_db()
    if not changed:
        raise AlreadyDecidedError(anomaly, _last_decision(anomaly))
    entry = ReviewEntry.objects.create(
        anomaly=anomaly,
        action=ReviewEntry.Action.ACKNOWLEDGED,
        at=at,
        actor=by.name,
        user=by.user,
        from_status=Anomaly.Status.OPEN,
        to_status=Anomaly.Status.ACKNOWLEDGED,
        note=note,
    )
    announce("anomaly.acknowledged", anomaly)
    return entry


@transaction.atomic
def undo(entry: ReviewEntry, *, by: Actor, at: datetime) -> ReviewEntry:
    """Take an acknowledgement back, by an entry of its own.

    Raises NothingToUndoError if the entry is no decision, was undone already, or another decision followed it.
    """
    anomaly = Anomaly.objects.select_for_update().get(pk=entry.anomaly_id)
    if entry.action != ReviewEntry.Action.ACKNOWLEDGED:
        raise NothingToUndoError(
            f"Only an acknowledgement can be undone, this is: {entry.get_action_display().lower()}."
        )
    later = ReviewEntry.objects.filter(anomaly=anomaly, id__gt=entry.pk).exclude(to_status="").order_by("-id").first()
    if later is not None:
        raise NothingToUndoError(
            f"{anomaly.public_id} was {later.get_action_display().lower()} since by {later.actor}."
        )
    Anomaly.objects.filter(pk=anomaly.pk).update(
        status=Anomaly.Status.OPEN, acknowledged_at=None, acknowledged_by="", updated_at=at
    )
    anomaly.refresh_from_db()
    undoing = ReviewEntry.objects.create(
        anomaly=anomaly,
        action=ReviewEntry.Action.UNDONE,
        at=at,
        actor=by.name,
        user=by.user,
        from_status=Anomaly.Status.ACKNOWLEDGED,
        to_status=Anomaly.Status.OPEN,
        undoes=entry,
    )
    announce("anomaly.reopened", anomaly)
    return undoing


@transaction.atomic
def add_note(anomaly: Anomaly, *, by: Actor, at: datetime, note: str) -> ReviewEntry:
    """Add a note to the timeline. Raises NoteTooLongError, or ReviewError if it is empty."""
    note = _checked(note)
    if not note:
        raise ReviewError("note: it is empty.")
    return ReviewEntry.objects.create(
        anomaly=anomaly, action=ReviewEntry.Action.NOTED, at=at, actor=by.name, user=by.user, note=note
    )
