"""Suppressions made because of what is up for review: that is hidden with them, and can be brought back."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Max

from anomalies.models import Anomaly, BulkReview, ReviewEntry, Suppression
from anomalies.services import bulk, decisions, suppressions
from anomalies.services.actor import Actor
from anomalies.services.deciding import take
from anomalies.services.decisions import ReviewError
from anomalies.services.suppressions import Conditions

ACTION = "suppress"  # of the bulk review that hides


@dataclass(frozen=True, slots=True)
class Hidden:
    """What was hidden when a suppression was made: `count` of them are hidden by it still."""

    review: BulkReview
    count: int


def newest_id() -> int:
    """Return the number of the anomaly that was raised last: a set shown now holds none beyond it."""
    return int(Anomaly.objects.aggregate(newest=Max("id", default=0))["newest"])


@transaction.atomic
def create_and_hide(
    *,
    reason: str,
    owner: str,
    conditions: Conditions,
    expires_at: datetime | None,
    because_of: Anomaly | None,
    others_until: int | None,
    by: Actor,
    at: datetime,
) -> Suppression:
    """Make a suppression and hide what is up for review now and meets it, each with an entry on its timeline.

    That is the anomaly that it was made because of, and with `others_until` all others up to that number. One that does
    not meet the conditions stays. Raises SuppressionError, or ReviewError where no person asks or these are too many.
    """
    if by.user is None:
        raise ReviewError(f"{by.name} is no person: what is up for review is hidden by people.")
    made = suppressions.create(reason=reason, owner=owner, conditions=conditions, expires_at=expires_at, by=by, at=at)
    meeting = suppressions.asked_about(conditions)
    ids = set(meeting.filter(pk=because_of.pk).values_list("pk", flat=True)) if because_of else set[int]()
    if others_until is not None:
        ids |= set(meeting.filter(pk__lte=others_until).values_list("pk", flat=True))
    if len(ids) > bulk.MOST:
        raise bulk.TooManyError(len(ids))
    if ids:
        review = BulkReview.objects.create(
            action=ACTION,
            arguments={"suppression": made.public_id},
            note=made.reason,
            anomaly_ids=sorted(ids),
            created_at=at,
            created_by=by.user,
            done_at=at,
        )
        decision = decisions.suppressing(suppression=made)
        taken = take(decision, review.anomaly_ids, by=by, at=at, note=suppressions.told(made), bulk=review)
        review.refused = {error.anomaly.public_id: error.reason for error in taken.refused}
        review.save(update_fields=["refused"])
    return made


def hidden_with(suppression: Suppression) -> Hidden | None:
    """Return what was hidden when it was made, or None where nothing was."""
    review = BulkReview.objects.filter(action=ACTION, arguments__suppression=suppression.public_id).first()
    if review is None:
        return None
    entries = ReviewEntry.objects.filter(bulk=review, undoes=None, anomaly__suppression=suppression)
    return Hidden(review, entries.count())


def bring_back(hidden: Hidden, *, by: Actor, at: datetime) -> bulk.Outcome:
    """Ask again about what was hidden when it was made, within a day. Raises ReviewError, as undoing in bulk does."""
    return bulk.undo(hidden.review, by=by, at=at)
