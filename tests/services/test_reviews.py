"""services/reviews: what people decide."""

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from anomalies.models import OutboxMessage, ReviewEntry
from anomalies.services import reviews
from anomalies.services.actor import Actor
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def by(ana: User) -> Actor:
    return Actor(name="ana", user=ana)


def test_acknowledge_records_who_and_when(by: Actor) -> None:
    anomaly = make.anomaly()
    entry = reviews.acknowledge(anomaly, by=by, at=make.NOW, note="nightly sync")
    assert (anomaly.status, anomaly.acknowledged_at, anomaly.acknowledged_by) == ("acknowledged", make.NOW, "ana")
    assert (entry.actor, entry.user, entry.note) == ("ana", by.user, "nightly sync")
    assert OutboxMessage.objects.get().type == "anomaly.acknowledged"


def test_acknowledge_twice_raises_and_names_who_was_faster(by: Actor) -> None:
    anomaly = make.anomaly()
    reviews.acknowledge(anomaly, by=by, at=make.NOW)
    with pytest.raises(reviews.AlreadyDecidedError, match="already acknowledged by ana"):
        reviews.acknowledge(anomaly, by=Actor(name="bob"), at=make.NOW)
    assert ReviewEntry.objects.count() == 1


def test_undo_opens_it_again_and_keeps_both_entries(by: Actor) -> None:
    anomaly = make.anomaly()
    entry = reviews.acknowledge(anomaly, by=by, at=make.NOW)
    reviews.undo(entry, by=by, at=make.NOW)
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.acknowledged_at, anomaly.acknowledged_by) == ("open", None, "")
    assert [e.action for e in anomaly.review_entries.order_by("id")] == ["acknowledged", "undone"]


def test_undo_twice_raises(by: Actor) -> None:
    entry = reviews.acknowledge(make.anomaly(), by=by, at=make.NOW)
    reviews.undo(entry, by=by, at=make.NOW)
    with pytest.raises(reviews.NothingToUndoError):
        reviews.undo(entry, by=by, at=make.NOW)


def test_undo_of_an_older_decision_raises(by: Actor) -> None:
    anomaly = make.anomaly()
    first = reviews.acknowledge(anomaly, by=by, at=make.NOW)
    reviews.undo(first, by=by, at=make.NOW)
    reviews.acknowledge(anomaly, by=by, at=make.NOW)
    with pytest.raises(reviews.NothingToUndoError):
        reviews.undo(first, by=by, at=make.NOW)


def test_a_note_too_long_is_refused_with_its_length(by: Actor) -> None:
    anomaly = make.anomaly()
    with pytest.raises(reviews.NoteTooLongError, match="10,001 characters"):
        reviews.acknowledge(anomaly, by=by, at=make.NOW, note="x" * 10_001)
    anomaly.refresh_from_db()
    assert anomaly.status == "open"


def test_an_empty_note_is_refused(by: Actor) -> None:
    with pytest.raises(reviews.ReviewError, match="empty"):
        reviews.add_note(make.anomaly(), by=by, at=make.NOW, note="  ")


def test_entries_cannot_be_changed_or_deleted(by: Actor) -> None:
    entry = reviews.add_note(make.anomaly(), by=by, at=make.NOW, note="seen")
    for change in (lambda: ReviewEntry.objects.filter(pk=entry.pk).update(note="other"), entry.delete):
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            change()
