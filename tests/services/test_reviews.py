"""services/reviews: what people decide about one anomaly, and what comes back by itself."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from anomalies.models import Anomaly, Notice, OutboxMessage, ReviewEntry, Suppression
from anomalies.services import merging, reviews
from anomalies.services.actor import Actor
from tests import make

pytestmark = pytest.mark.django_db

LATER = make.NOW + timedelta(hours=2)
BOB = Actor(name="bob")
Verb = Callable[..., ReviewEntry]


@pytest.fixture
def by(ana: User) -> Actor:
    return Actor(name="ana", user=ana)


def _acknowledge(anomaly: Anomaly, by: Actor) -> ReviewEntry:
    return reviews.acknowledge(anomaly, by=by, at=make.NOW)


def _resolve(anomaly: Anomaly, by: Actor) -> ReviewEntry:
    return reviews.resolve(anomaly, verdict="benign", by=by, at=make.NOW, reason="nightly sync")


def _reopen(anomaly: Anomaly, by: Actor) -> ReviewEntry:
    return reviews.reopen(anomaly, by=by, at=make.NOW)


def _snooze(anomaly: Anomaly, by: Actor) -> ReviewEntry:
    return reviews.snooze(anomaly, until=LATER, by=by, at=make.NOW)


def _assign(anomaly: Anomaly, by: Actor) -> ReviewEntry:
    return reviews.assign(anomaly, to=by.user, by=by, at=make.NOW)


def _rename(anomaly: Anomaly, by: Actor) -> ReviewEntry:
    return reviews.rename(anomaly, title="The nightly sync", by=by, at=make.NOW)


def _suppress(anomaly: Anomaly, by: Actor) -> ReviewEntry:
    return reviews.suppress(anomaly, suppression=_suppression(), by=by, at=make.NOW)


VERBS: Sequence[Verb] = (_acknowledge, _resolve, _snooze, _assign, _rename, _suppress)


def _suppression() -> Suppression:
    return Suppression.objects.create(reason="known", owner="ana", type="rate_spike")


def _reviewed(anomaly: Anomaly) -> dict[str, Any]:
    """All that people decide about."""
    names = (
        "status", "verdict", "acknowledged_at", "acknowledged_by", "resolved_at", "resolved_by", "reason",
        "snoozed_until", "assignee", "title", "suppression",
    )  # fmt: skip
    return Anomaly.objects.values(*names).get(pk=anomaly.pk)


def test_acknowledge_records_who_and_when(by: Actor) -> None:
    anomaly = make.anomaly()
    entry = reviews.acknowledge(anomaly, by=by, at=make.NOW, note="nightly sync")
    assert (anomaly.status, anomaly.acknowledged_at, anomaly.acknowledged_by) == ("acknowledged", make.NOW, "ana")
    assert (entry.actor, entry.user, entry.note) == ("ana", by.user, "nightly sync")
    assert (entry.action, entry.from_status, entry.to_status) == ("acknowledged", "open", "acknowledged")
    assert entry.changes["acknowledged_by"] == ["", "ana"]
    assert OutboxMessage.objects.get().type == "anomaly.acknowledged"


def test_acknowledge_twice_raises_and_names_who_was_faster(by: Actor) -> None:
    anomaly = make.anomaly()
    reviews.acknowledge(anomaly, by=by, at=make.NOW)
    with pytest.raises(reviews.AlreadyDecidedError, match="is already acknowledged by ana"):
        reviews.acknowledge(anomaly, by=BOB, at=make.NOW)
    assert ReviewEntry.objects.count() == 1


def test_what_is_resolved_has_its_verdict_and_reason_and_counts_as_acknowledged(by: Actor) -> None:
    anomaly = make.anomaly()
    entry = reviews.resolve(anomaly, verdict="true_positive", by=by, at=make.NOW, reason=" stolen key ")
    assert (anomaly.status, anomaly.verdict, anomaly.reason) == ("resolved", "true_positive", "stolen key")
    assert (anomaly.resolved_at, anomaly.resolved_by) == (make.NOW, "ana")
    assert (anomaly.acknowledged_at, anomaly.acknowledged_by) == (make.NOW, "ana")
    assert (entry.note, entry.from_status, entry.to_status) == ("stolen key", "open", "resolved")
    assert OutboxMessage.objects.get().payload["verdict"] == "true_positive"


def test_resolving_leaves_who_acknowledged_it_before(by: Actor) -> None:
    anomaly = make.anomaly()
    reviews.acknowledge(anomaly, by=BOB, at=make.NOW)
    reviews.resolve(anomaly, verdict="benign", by=by, at=LATER)
    assert (anomaly.acknowledged_at, anomaly.acknowledged_by) == (make.NOW, "bob")
    assert (anomaly.resolved_at, anomaly.resolved_by) == (LATER, "ana")


def test_there_are_no_other_verdicts_than_those(by: Actor) -> None:
    anomaly = make.anomaly()
    for verdict in ("", "guilty"):
        with pytest.raises(reviews.ReviewError, match=r"verdict: .* is none of true_positive, benign"):
            reviews.resolve(anomaly, verdict=verdict, by=by, at=make.NOW)
    assert not ReviewEntry.objects.exists()


def test_reopening_makes_an_anomaly_as_if_nobody_had_decided(by: Actor) -> None:
    for decide in (_acknowledge, _resolve, _snooze):
        anomaly = make.anomaly()
        before = _reviewed(anomaly)
        decide(anomaly, by)
        entry = reviews.reopen(anomaly, by=by, at=make.NOW, note="not so sure")
        assert _reviewed(anomaly) == before
        assert entry.note == "not so sure"
    assert set(OutboxMessage.objects.filter(type="anomaly.reopened").values_list("payload__status", flat=True)) == {
        "open"
    }


def test_snoozed_it_is_on_nobodys_list_and_still_open(by: Actor) -> None:
    anomaly = make.anomaly()
    entry = _snooze(anomaly, by)
    assert (anomaly.status, anomaly.snoozed_until) == ("open", LATER)
    assert not Anomaly.objects.needs_review().exists()
    assert (entry.to_status, entry.changes) == ("", {"snoozed_until": [None, "2026-11-20T14:00:00+00:00"]})
    assert OutboxMessage.objects.get().type == "anomaly.snoozed"


@pytest.mark.parametrize(
    ("delay", "complaint"),
    [(timedelta(0), "is past"), (-timedelta(hours=1), "is past"), (timedelta(days=367), "more than a year away")],
)
def test_a_snooze_ends_after_now_and_within_a_year(by: Actor, delay: timedelta, complaint: str) -> None:
    anomaly = make.anomaly()
    with pytest.raises(reviews.ReviewError, match=f"until: .* {complaint}"):
        reviews.snooze(anomaly, until=make.NOW + delay, by=by, at=make.NOW)
    with pytest.raises(reviews.ReviewError, match="until: it names no time zone"):
        reviews.snooze(anomaly, until=LATER.replace(tzinfo=None), by=by, at=make.NOW)
    assert not ReviewEntry.objects.exists()


def test_a_snooze_may_be_given_another_end_but_not_the_same(by: Actor) -> None:
    anomaly = make.anomaly()
    _snooze(anomaly, by)
    reviews.snooze(anomaly, until=LATER + timedelta(hours=1), by=by, at=make.NOW)
    assert anomaly.snoozed_until == LATER + timedelta(hours=1)
    with pytest.raises(reviews.RefusedError, match="already snoozed until then"):
        reviews.snooze(anomaly, until=LATER + timedelta(hours=1), by=by, at=make.NOW)


def test_nobody_snoozes_what_nobody_is_asked_about(by: Actor) -> None:
    for fields, why in (
        ({"state": "withdrawn", "ended_at": make.NOW}, "withdrawn"),
        ({"suppression": _suppression()}, "suppressed"),
    ):
        with pytest.raises(reviews.RefusedError, match=f"is {why}: nobody is asked about it"):
            _snooze(make.anomaly(**fields), by)


def test_deciding_wakes_what_is_snoozed(by: Actor) -> None:
    for decide in (_acknowledge, _resolve):
        anomaly = make.anomaly()
        _snooze(anomaly, by)
        decide(anomaly, by)
        assert anomaly.snoozed_until is None


def test_who_is_assigned_is_told_unless_they_did_it_themselves(by: Actor) -> None:
    rita = User.objects.create_superuser("rita")
    anomaly = make.anomaly()
    entry = reviews.assign(anomaly, to=rita, by=by, at=make.NOW, note="yours, I think")
    assert (anomaly.assignee, entry.note) == (rita, "yours, I think")
    assert Notice.objects.values_list("user__username", "entry").get() == ("rita", entry.pk)
    message = OutboxMessage.objects.get()
    assert (message.type, message.payload["assignee"]) == ("anomaly.assigned", "rita")
    reviews.assign(anomaly, to=by.user, by=by, at=make.NOW)
    reviews.assign(anomaly, to=None, by=by, at=make.NOW)
    assert anomaly.assignee is None
    assert Notice.objects.count() == 1


def test_only_those_who_may_review_are_assigned(by: Actor, vic: User) -> None:
    gone = User.objects.create_superuser("gone", is_active=False)
    anomaly = make.anomaly()
    for user in (vic, gone):
        with pytest.raises(reviews.ReviewError, match=f"assignee: {user.username} may not review"):
            reviews.assign(anomaly, to=user, by=by, at=make.NOW)
    anomaly.refresh_from_db()
    assert anomaly.assignee is None
    assert not Notice.objects.exists()


def test_assigning_to_whom_it_is_assigned_is_refused(by: Actor) -> None:
    anomaly = make.anomaly()
    with pytest.raises(reviews.RefusedError, match="assigned to nobody already"):
        reviews.assign(anomaly, to=None, by=by, at=make.NOW)
    _assign(anomaly, by)
    with pytest.raises(reviews.RefusedError, match="already assigned to ana"):
        _assign(anomaly, by)


def test_a_title_is_given_and_taken_away(by: Actor) -> None:
    anomaly = make.anomaly()
    reviews.rename(anomaly, title="  <b>Nightly</b> sync ", by=by, at=make.NOW)
    assert anomaly.title == "<b>Nightly</b> sync"
    reviews.rename(anomaly, title="", by=by, at=make.NOW)
    assert anomaly.title == ""
    with pytest.raises(reviews.RefusedError, match="without a name already"):
        reviews.rename(anomaly, title=" ", by=by, at=make.NOW)


@pytest.mark.parametrize(
    ("title", "complaint"),
    [
        ("x" * 201, "201 characters, at most 200"),
        ("a\nb", "one line"),
        ("a\x00b", "one line"),
        ("a\u2028b", "one line"),
    ],
)
def test_a_title_is_one_line_of_200_characters(by: Actor, title: str, complaint: str) -> None:
    anomaly = make.anomaly()
    with pytest.raises(reviews.ReviewError, match=f"title: .*{complaint}"):
        reviews.rename(anomaly, title=title, by=by, at=make.NOW)
    assert not ReviewEntry.objects.exists()


def test_suppressed_by_a_person_it_says_by_which_suppression(by: Actor) -> None:
    anomaly = make.anomaly()
    _snooze(anomaly, by)
    entry = _suppress(anomaly, by)
    assert (anomaly.suppression, anomaly.snoozed_until) == (Suppression.objects.get(), None)
    assert entry.note.startswith("known (supp_")
    with pytest.raises(reviews.RefusedError, match="is suppressed"):
        _suppress(anomaly, by)


@pytest.mark.parametrize(
    ("first", "then", "why"),
    [
        (_acknowledge, _acknowledge, "already acknowledged by bob"),
        (_acknowledge, _snooze, "already acknowledged by bob"),
        (_acknowledge, _suppress, "already acknowledged by bob"),
        (_resolve, _acknowledge, "already resolved by bob"),
        (_resolve, _resolve, "already resolved by bob"),
        (_resolve, _snooze, "already resolved by bob"),
        (_resolve, _suppress, "already resolved by bob"),
        (None, _reopen, "already open"),
    ],
)
def test_no_decision_is_taken_from_where_it_does_not_start(by: Actor, first: Verb | None, then: Verb, why: str) -> None:
    anomaly = make.anomaly()
    if first:
        first(anomaly, BOB)
    before, entries = _reviewed(anomaly), ReviewEntry.objects.count()
    with pytest.raises(reviews.AlreadyDecidedError, match=rf"is {why}\.$") as raised:
        then(anomaly, by)
    assert (raised.value.entry.actor if raised.value.entry else None) == ("bob" if first else None)
    assert _reviewed(anomaly) == before
    assert ReviewEntry.objects.count() == entries


def test_reopening_what_somebody_reopened_names_them(by: Actor) -> None:
    anomaly = make.anomaly()
    _acknowledge(anomaly, by)
    _reopen(anomaly, BOB)
    with pytest.raises(reviews.AlreadyDecidedError, match="is already open, reopened by bob"):
        _reopen(anomaly, by)


def test_a_part_of_another_is_not_decided_about(by: Actor) -> None:
    part, whole = make.anomaly(), make.anomaly()
    merging.merge(part, into=whole, scan=make.scan())
    for decide in (*VERBS, _reopen):
        with pytest.raises(reviews.RefusedError, match=f"is merged into {whole.public_id}"):
            decide(part, by)


@pytest.mark.parametrize("decide", VERBS)
def test_undoing_brings_back_what_was_so_before(by: Actor, decide: Verb) -> None:
    anomaly = make.anomaly()
    before = _reviewed(anomaly)
    entry = decide(anomaly, by)
    assert _reviewed(anomaly) != before
    undone = reviews.undo(entry, by=BOB, at=LATER)
    assert _reviewed(anomaly) == before
    assert (undone.action, undone.undoes, undone.actor, undone.at) == ("undone", entry, "bob", LATER)
    assert (undone.from_status, undone.to_status) == (entry.to_status, entry.from_status)
    assert undone.changes == {name: [after, old] for name, (old, after) in entry.changes.items()}


def test_undoing_brings_back_the_decision_before(by: Actor) -> None:
    anomaly = make.anomaly()
    reviews.acknowledge(anomaly, by=BOB, at=make.NOW)
    acknowledged = _reviewed(anomaly)
    entry = _resolve(anomaly, by)
    resolved = _reviewed(anomaly)
    reopened = _reopen(anomaly, by)
    reviews.undo(reopened, by=by, at=LATER)
    assert _reviewed(anomaly) == resolved
    reviews.undo(entry, by=by, at=LATER)
    assert _reviewed(anomaly) == acknowledged
    types = list(OutboxMessage.objects.order_by("id").values_list("type", flat=True))
    assert types == [f"anomaly.{told}" for told in ("acknowledged", "resolved", "reopened", "resolved", "acknowledged")]


def test_undoing_an_acknowledgement_keeps_both_entries(by: Actor) -> None:
    anomaly = make.anomaly()
    entry = _acknowledge(anomaly, by)
    reviews.undo(entry, by=by, at=make.NOW)
    assert [e.action for e in anomaly.review_entries.order_by("id")] == ["acknowledged", "undone"]
    assert OutboxMessage.objects.order_by("id").last().type == "anomaly.reopened"  # type: ignore[union-attr]


@pytest.mark.parametrize("decide", VERBS)
def test_undo_twice_raises_and_says_who_did(by: Actor, decide: Verb) -> None:
    anomaly = make.anomaly()
    entry = decide(anomaly, by)
    reviews.undo(entry, by=BOB, at=make.NOW)
    for at in (LATER, make.NOW + timedelta(days=3)):
        with pytest.raises(reviews.NothingToUndoError, match="was undone since by bob"):
            reviews.undo(entry, by=by, at=at)
    assert anomaly.review_entries.count() == 2


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        (_acknowledge, _resolve, "resolved since by bob"),
        (_acknowledge, _reopen, "reopened since by bob"),
        (_snooze, _acknowledge, "acknowledged since by bob"),
        (_snooze, _reopen, "reopened since by bob"),
        (_resolve, _reopen, "reopened since by bob"),
    ],
)
def test_undo_after_another_decision_changes_nothing_and_names_it(
    by: Actor, first: Verb, then: Verb, said: str
) -> None:
    anomaly = make.anomaly()
    entry = first(anomaly, by)
    then(anomaly, BOB)
    before = _reviewed(anomaly)
    with pytest.raises(reviews.NothingToUndoError, match=f"{anomaly.public_id} was {said}"):
        reviews.undo(entry, by=by, at=make.NOW)
    assert _reviewed(anomaly) == before
    assert anomaly.review_entries.count() == 2


def test_an_acknowledgement_that_somebody_repeated_is_not_undone_by_the_first(by: Actor) -> None:
    anomaly = make.anomaly()
    first = _acknowledge(anomaly, by)
    _reopen(anomaly, by)
    _acknowledge(anomaly, BOB)
    with pytest.raises(reviews.NothingToUndoError, match="acknowledged since by bob"):
        reviews.undo(first, by=by, at=make.NOW)


def test_decisions_about_other_things_do_not_stand_in_the_way_of_undoing(by: Actor) -> None:
    anomaly = make.anomaly()
    entry = _assign(anomaly, by)
    _rename(anomaly, BOB)
    _acknowledge(anomaly, BOB)
    reviews.undo(entry, by=by, at=make.NOW)
    anomaly.refresh_from_db()
    assert (anomaly.assignee, anomaly.status, anomaly.title) == (None, "acknowledged", "The nightly sync")


def test_after_a_day_nothing_is_undone_but_what_to_do_instead_is_said(by: Actor) -> None:
    for decide, instead in ((_acknowledge, "reopen it"), (_resolve, "reopen it"), (_assign, "decide anew")):
        entry = decide(make.anomaly(), by)
        with pytest.raises(reviews.UndoExpiredError, match=f"more than 24 hours ago: {instead} instead"):
            reviews.undo(entry, by=by, at=make.NOW + timedelta(hours=24, seconds=1))
        reviews.undo(entry, by=by, at=make.NOW + timedelta(hours=24))


def test_an_acknowledgement_of_before_entries_kept_changes_is_undone_all_the_same(by: Actor) -> None:
    old = {"status": "acknowledged", "acknowledged_at": make.NOW, "acknowledged_by": "ana"}
    anomaly, repeated = make.anomaly(**old), make.anomaly(**{**old, "acknowledged_by": "bob"})
    for one in (anomaly, repeated):
        entry = ReviewEntry.objects.create(
            anomaly=one, action="acknowledged", at=make.NOW, actor="ana", from_status="open", to_status="acknowledged"
        )
        if one is anomaly:
            reviews.undo(entry, by=by, at=make.NOW)
            assert _reviewed(one)["status"] == "open"
            assert _reviewed(one)["acknowledged_at"] is None
        else:
            with pytest.raises(reviews.NothingToUndoError, match="changed since"):
                reviews.undo(entry, by=by, at=make.NOW)


def test_only_what_a_person_decided_is_undone(by: Actor) -> None:
    anomaly = make.anomaly()
    noted = reviews.add_note(anomaly, by=by, at=make.NOW, note="seen")
    detected = ReviewEntry.objects.create(anomaly=anomaly, action="detected", at=make.NOW, actor="detection")
    reopened = ReviewEntry.objects.create(
        anomaly=anomaly, action="reopened", at=make.NOW, actor="detection", from_status="acknowledged", to_status="open"
    )
    undone = reviews.undo(_acknowledge(anomaly, by), by=by, at=make.NOW)
    for entry in (noted, detected, reopened, undone):
        with pytest.raises(reviews.NotUndoableError, match="Only a decision of a person"):
            reviews.undo(entry, by=by, at=make.NOW)


def test_undoing_an_assignment_takes_its_notice_away_unless_it_was_seen(by: Actor) -> None:
    rita = User.objects.create_superuser("rita")
    for seen_at, left in ((None, 0), (make.NOW, 1)):
        entry = reviews.assign(make.anomaly(), to=rita, by=by, at=make.NOW)
        Notice.objects.update(seen_at=seen_at)
        reviews.undo(entry, by=by, at=make.NOW)
        assert Notice.objects.count() == left


def test_who_was_deleted_since_is_not_assigned_again(by: Actor) -> None:
    rita = User.objects.create_superuser("rita")
    anomaly = make.anomaly()
    reviews.assign(anomaly, to=rita, by=by, at=make.NOW)
    entry = _assign(anomaly, by)
    rita.delete()
    reviews.undo(entry, by=by, at=make.NOW)
    assert _reviewed(anomaly)["assignee"] is None


def test_who_was_deactivated_since_is_not_assigned_again(by: Actor) -> None:
    rita = User.objects.create_superuser("rita")
    anomaly = make.anomaly()
    reviews.assign(anomaly, to=rita, by=by, at=make.NOW)
    entry = _assign(anomaly, by)
    User.objects.filter(pk=rita.pk).update(is_active=False)
    reviews.undo(entry, by=by, at=make.NOW)
    assert _reviewed(anomaly)["assignee"] is None


def test_nobody_overwrites_whom_or_what_somebody_else_chose_since_it_was_shown(by: Actor) -> None:
    rita = User.objects.create_superuser("rita")
    anomaly = make.anomaly()
    reviews.assign(anomaly, to=rita, by=Actor("rita"), at=make.NOW, seen={"assignee": None})
    reviews.rename(anomaly, title="The nightly sync", by=Actor("rita"), at=make.NOW, seen={"title": ""})
    with pytest.raises(reviews.OvertakenError, match="already assigned by rita, since it was shown to you"):
        reviews.assign(anomaly, to=by.user, by=by, at=make.NOW, seen={"assignee": None})
    with pytest.raises(reviews.OvertakenError, match="already renamed by rita"):
        reviews.rename(anomaly, title="A test", by=by, at=make.NOW, seen={"title": ""})
    assert (anomaly.assignee, anomaly.title) == (rita, "The nightly sync")
    reviews.assign(anomaly, to=by.user, by=by, at=make.NOW, seen={"assignee": rita.pk})
    assert anomaly.assignee == by.user


def test_a_note_of_10_000_characters_is_kept(by: Actor) -> None:
    note = "نص " * 3333 + "x"
    assert len(note) == 10_000
    for anomaly, entry in (
        (one := make.anomaly(), reviews.acknowledge(one, by=by, at=make.NOW, note=note)),
        (one := make.anomaly(), reviews.resolve(one, verdict="test", by=by, at=make.NOW, reason=note)),
        (one := make.anomaly(), reviews.add_note(one, by=by, at=make.NOW, note=note)),
    ):
        assert ReviewEntry.objects.get(anomaly=anomaly).note == entry.note == note


def test_a_note_too_long_is_refused_with_its_length_and_nothing_changes(by: Actor) -> None:
    note = "x" * 10_001
    anomaly = make.anomaly()
    before = _reviewed(anomaly)
    for verb, given in (
        (reviews.acknowledge, {"note": note}),
        (reviews.reopen, {"note": note}),
        (reviews.snooze, {"note": note, "until": LATER}),
        (reviews.assign, {"note": note, "to": by.user}),
        (reviews.resolve, {"reason": note, "verdict": "test"}),
        (reviews.add_note, {"note": note}),
    ):
        with pytest.raises(reviews.NoteTooLongError, match="10,001 characters"):
            verb(anomaly, by=by, at=make.NOW, **given)  # type: ignore[operator]
    assert _reviewed(anomaly) == before
    assert not ReviewEntry.objects.exists()


def test_an_empty_note_is_refused(by: Actor) -> None:
    with pytest.raises(reviews.ReviewError, match="empty"):
        reviews.add_note(make.anomaly(), by=by, at=make.NOW, note="  ")


def test_entries_cannot_be_changed_or_deleted(by: Actor) -> None:
    entry = reviews.add_note(make.anomaly(), by=by, at=make.NOW, note="seen")
    for change in (lambda: ReviewEntry.objects.filter(pk=entry.pk).update(note="other"), entry.delete):
        with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
            change()


def test_what_is_snoozed_comes_back_at_its_time_and_says_so(by: Actor) -> None:
    anomaly, later = make.anomaly(), make.anomaly()
    _snooze(anomaly, by)
    reviews.snooze(later, until=LATER + timedelta(seconds=1), by=by, at=make.NOW)
    assert reviews.wake(at=LATER - timedelta(seconds=1)) == 0
    assert reviews.wake(at=LATER) == 1
    assert list(Anomaly.objects.needs_review()) == [anomaly]
    entry = anomaly.review_entries.get(action="woken")
    assert (entry.actor, entry.at, entry.user) == ("snooze", LATER, None)
    assert OutboxMessage.objects.filter(type="anomaly.woken", anomaly=anomaly).count() == 1
    assert Notice.objects.values_list("user__username", "entry").get() == ("ana", entry.pk)
    assert reviews.wake(at=LATER) == 0


def test_whoever_snoozed_it_last_is_told(by: Actor) -> None:
    rita = User.objects.create_superuser("rita")
    anomaly = make.anomaly()
    _snooze(anomaly, by)
    reviews.snooze(anomaly, until=LATER + timedelta(hours=1), by=Actor("rita", rita), at=make.NOW)
    reviews.wake(at=LATER + timedelta(hours=1))
    assert Notice.objects.get().user == rita


def test_what_was_explained_meanwhile_comes_back_to_nobody_but_who_snoozed_it_is_told(by: Actor) -> None:
    anomaly = make.anomaly()
    _snooze(anomaly, by)
    Anomaly.objects.update(state="withdrawn", ended_at=make.NOW)
    assert reviews.wake(at=LATER) == 1
    assert anomaly.review_entries.get(action="woken").note == "withdrawn by now: nobody is asked about it"
    assert not OutboxMessage.objects.filter(type="anomaly.woken").exists()
    assert Notice.objects.get().user == by.user
    assert not Anomaly.objects.needs_review().exists()


def test_what_became_a_part_of_another_comes_back_once_it_stands_for_itself(by: Actor) -> None:
    part, whole, scan = make.anomaly(), make.anomaly(), make.scan()
    _snooze(part, by)
    merging.merge(part, into=whole, scan=scan)
    assert reviews.wake(at=LATER) == 0
    part.refresh_from_db()
    merging.part(part, open_=False, scan=scan)
    assert reviews.wake(at=LATER) == 1


def test_who_snoozed_it_last_is_told_unless_that_was_undone(by: Actor) -> None:
    rita = User.objects.create_superuser("rita")
    anomaly = make.anomaly()
    _snooze(anomaly, by)
    until = LATER + timedelta(days=1)
    entry = reviews.snooze(anomaly, until=until, by=Actor("rita", rita), at=make.NOW)
    reviews.undo(entry, by=by, at=make.NOW)
    assert reviews.wake(at=LATER) == 1
    assert Notice.objects.get().user == by.user


def _raced(decide: Verb, pk: int, name: str) -> object:
    try:
        return decide(Anomaly.objects.get(pk=pk), Actor(name))
    except reviews.AlreadyDecidedError as error:
        return error


@pytest.mark.django_db(transaction=True)
def test_of_reviewers_at_once_one_wins_and_the_others_are_told_who(
    by: Actor, at_once: Callable[[Sequence[Callable[[], object]]], list[object]]
) -> None:
    names = [f"reviewer_{number}" for number in range(4)]
    for decide in (_acknowledge, _resolve, _reopen):
        anomaly = make.anomaly()
        if decide is _reopen:
            _acknowledge(anomaly, by)
        entries = anomaly.review_entries.count()

        said = at_once([partial(_raced, decide, anomaly.pk, name) for name in names])
        (won,) = [one for one in said if isinstance(one, ReviewEntry)]
        lost = [one for one in said if isinstance(one, reviews.AlreadyDecidedError)]
        assert [error.entry.actor for error in lost if error.entry] == [won.actor] * 3
        assert anomaly.review_entries.count() == entries + 1


@pytest.mark.django_db(transaction=True)
def test_of_two_who_undo_at_once_one_does(
    by: Actor, at_once: Callable[[Sequence[Callable[[], object]]], list[object]]
) -> None:
    entry = _acknowledge(make.anomaly(), by)

    def alone(name: str) -> object:
        try:
            return reviews.undo(entry, by=Actor(name), at=make.NOW)
        except reviews.NothingToUndoError as error:
            return error

    said = at_once([lambda: alone("bob"), lambda: alone("eve")])
    assert sorted(type(one).__name__ for one in said) == ["NothingToUndoError", "ReviewEntry"]
    assert ReviewEntry.objects.filter(action="undone").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_workers_wake_each_anomaly_once(
    by: Actor, at_once: Callable[[Sequence[Callable[[], object]]], list[object]]
) -> None:
    for _ in range(20):
        _snooze(make.anomaly(), by)
    woken = at_once([lambda: reviews.wake(at=LATER)] * 3)
    assert sum(woken) == 20  # type: ignore[arg-type]
    assert ReviewEntry.objects.filter(action="woken").count() == 20
    assert Notice.objects.count() == 20
