"""services/bulk: one decision about many, over an exact set."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from anomalies.models import Anomaly, BulkReview, Notice, OutboxMessage, ReviewEntry, Suppression
from anomalies.services import bulk, deciding, merging, reviews, undoing
from anomalies.services.actor import Actor
from tests import make

pytestmark = pytest.mark.django_db

LATER = make.NOW + timedelta(hours=2)


@pytest.fixture
def by(ana: User) -> Actor:
    return Actor(name="ana", user=ana)


@pytest.fixture
def rita(db: None) -> User:
    return User.objects.create_superuser("rita")


def _prepared(who: Actor, anomalies: Sequence[Anomaly], action: str = "acknowledge", **fields: Any) -> BulkReview:
    given = {"arguments": {}, "note": "", "anomaly_ids": [one.pk for one in anomalies], "by": who, "at": make.NOW}
    return bulk.prepare(action=action, **{**given, **fields})


def _statuses() -> list[str]:
    return list(Anomaly.objects.order_by("id").values_list("status", flat=True))


def test_prepared_nothing_is_done_yet(by: Actor) -> None:
    review = _prepared(by, [make.anomaly(), make.anomaly()], query="status=open", note=" nightly ")
    assert (review.query, review.note, review.created_by, review.done_at) == ("status=open", "nightly", by.user, None)
    assert _statuses() == ["open", "open"]
    assert not ReviewEntry.objects.exists()


def test_the_exact_set_is_acknowledged_with_one_note_and_what_came_since_is_not(by: Actor) -> None:
    chosen = [make.anomaly() for _ in range(3)]
    review = _prepared(by, chosen, note="nightly sync")
    make.anomaly()
    outcome = bulk.carry_out(review, by=by, at=LATER)
    assert outcome == bulk.outcome(review) == bulk.Outcome(3, {})
    assert _statuses() == ["acknowledged"] * 3 + ["open"]
    entries = ReviewEntry.objects.filter(bulk=review)
    assert {(one.note, one.actor, one.user, one.at) for one in entries} == {("nightly sync", "ana", by.user, LATER)}
    assert OutboxMessage.objects.filter(type="anomaly.acknowledged").count() == 3
    assert review.done_at == LATER


def test_what_changed_since_is_left_and_said_why(by: Actor) -> None:
    new, decided, part = make.anomaly(), make.anomaly(), make.anomaly()
    review = _prepared(by, [new, decided, part])
    reviews.acknowledge(decided, by=Actor("vic"), at=make.NOW)
    merging.merge(part, into=new, scan=make.scan())
    outcome = bulk.carry_out(review, by=by, at=LATER)
    merged = f"merged into {new.public_id}, which is decided about instead"
    assert outcome == bulk.Outcome(1, {"already acknowledged by vic": 1, merged: 1})
    assert review.refused == {decided.public_id: "already acknowledged by vic", part.public_id: merged}
    told = {one.pk: (bool(one.entry_id), bulk.why_not(review, one)) for one in bulk.results(review)}
    assert told == {new.pk: (True, ""), decided.pk: (False, "already acknowledged by vic"), part.pk: (False, merged)}


@pytest.mark.parametrize(
    ("action", "arguments", "expected"),
    [
        ("resolve", {"verdict": "benign"}, {"status": "resolved", "verdict": "benign", "reason": "known"}),
        ("snooze", {"until": LATER}, {"snoozed_until": LATER}),
        ("snooze", {"until": LATER.isoformat()}, {"snoozed_until": LATER}),
        ("assign", {"assignee": "rita"}, {"assignee__username": "rita"}),
        ("note", {}, {"status": "open"}),
    ],
)
def test_each_action_is_carried_out_and_undone(
    by: Actor, rita: User, action: str, arguments: dict[str, Any], expected: dict[str, Any]
) -> None:
    anomalies = [make.anomaly(), make.anomaly()]
    before = list(Anomaly.objects.values(*expected))
    review = _prepared(by, anomalies, action, arguments=arguments, note="known")
    assert bulk.carry_out(review, by=by, at=make.NOW).done == 2
    assert list(Anomaly.objects.values(*expected)) == [expected] * 2
    assert [one.note for one in ReviewEntry.objects.all()] == ["known"] * 2
    if action == "note":
        with pytest.raises(reviews.NotUndoableError):
            bulk.undo(review, by=by, at=LATER)
    else:
        assert bulk.undo(review, by=by, at=LATER) == bulk.Outcome(2, {})
        assert list(Anomaly.objects.values(*expected)) == before


@pytest.mark.parametrize("first_is_left", [True, False])
@pytest.mark.parametrize("otherwise", ["suppressed", "withdrawn", "merged", "decided", "snoozed until then"])
def test_of_two_that_differ_in_one_thing_one_is_done(by: Actor, otherwise: str, first_is_left: bool) -> None:
    first, second = (make.anomaly(state="closed", ended_at=make.NOW) for _ in range(2))
    left, done = (first, second) if first_is_left else (second, first)
    other: dict[str, Any] = {
        "suppressed": {"suppression": Suppression.objects.create(reason="known", owner="ana")},
        "withdrawn": {"state": "withdrawn"},
        "merged": {"merged_into": done},
        "decided": {"status": "acknowledged", "acknowledged_at": make.NOW},
        "snoozed until then": {"snoozed_until": LATER},
    }[otherwise]
    Anomaly.objects.filter(pk=left.pk).update(**other)
    review = _prepared(by, [left, done], "snooze", arguments={"until": LATER})
    assert bulk.carry_out(review, by=by, at=make.NOW).done == 1
    assert list(review.refused) == [left.public_id]


def test_reopened_are_those_that_were_decided_in_whatever_way(by: Actor) -> None:
    anomalies = [make.anomaly() for _ in range(4)]
    reviews.acknowledge(anomalies[0], by=by, at=make.NOW)
    reviews.resolve(anomalies[1], verdict="test", by=by, at=make.NOW, reason="a drill")
    reviews.snooze(anomalies[2], until=LATER, by=by, at=make.NOW)
    before = list(Anomaly.objects.order_by("id").values("status", "verdict", "reason", "snoozed_until"))
    review = _prepared(by, anomalies, "reopen")
    assert bulk.carry_out(review, by=by, at=make.NOW) == bulk.Outcome(3, {"already open": 1})
    assert _statuses() == ["open"] * 4
    assert Anomaly.objects.needs_review().count() == 4
    assert bulk.undo(review, by=by, at=make.NOW).done == 3
    assert list(Anomaly.objects.order_by("id").values("status", "verdict", "reason", "snoozed_until")) == before


def test_whoever_is_assigned_many_is_told_once(by: Actor, rita: User) -> None:
    review = _prepared(by, [make.anomaly() for _ in range(3)], "assign", arguments={"assignee": "rita"})
    bulk.carry_out(review, by=by, at=make.NOW)
    assert Notice.objects.get().user == rita
    bulk.undo(review, by=by, at=make.NOW)
    assert not Notice.objects.exists()


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"action": "delete"}, "action: 'delete' is none of"),
        ({"action": "resolve"}, "verdict: .* is none of"),
        ({"action": "resolve", "arguments": {"verdict": "x" * 1000}}, "verdict: .* is none of"),
        ({"action": "snooze"}, "until: None is no date"),
        ({"action": "snooze", "arguments": {"until": "soon"}}, "until: 'soon' is no date"),
        ({"action": "snooze", "arguments": {"until": make.NOW}}, "until: .* is past"),
        ({"action": "assign", "arguments": {"assignee": "nobody\x00"}}, "assignee: there is no user"),
        ({"action": "assign", "arguments": {"assignee": "vic"}}, "assignee: vic may not review"),
        ({"action": "acknowledge", "arguments": {"verdict": "test"}}, "verdict: acknowledge takes no such argument"),
        ({"action": "note"}, "note: it is empty"),
        ({"note": "x" * 10_001}, "note: 10,001 characters"),
        ({"anomaly_ids": []}, "anomalies: none is selected"),
        ({"anomaly_ids": [10**15]}, "anomalies: 1 of 1 do not exist"),
        ({"by": Actor("key")}, "key is no person"),
    ],
)
def test_what_cannot_be_done_is_not_prepared(by: Actor, vic: User, fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(reviews.ReviewError, match=complaint):
        _prepared(by, [make.anomaly()], **fields)
    assert not BulkReview.objects.exists()


def test_a_note_of_10_000_characters_is_kept(by: Actor) -> None:
    review = _prepared(by, [make.anomaly()], note="x" * 10_000)
    bulk.carry_out(review, by=by, at=make.NOW)
    assert len(ReviewEntry.objects.get().note) == 10_000


def test_twice_is_refused_and_nothing_is_done_twice(by: Actor) -> None:
    anomaly = make.anomaly()
    review = _prepared(by, [anomaly])
    bulk.carry_out(review, by=by, at=make.NOW)
    bulk_again = BulkReview.objects.get()
    with pytest.raises(bulk.AlreadyCarriedOutError, match="carried out already, at 2026-11-20 12:00 UTC"):
        bulk.carry_out(bulk_again, by=by, at=LATER)
    bulk.undo(review, by=by, at=make.NOW)
    for again in (bulk.undo, bulk.carry_out):
        with pytest.raises(reviews.ReviewError, match="already, at"):
            again(bulk_again, by=by, at=LATER)
    assert ReviewEntry.objects.count() == 2


def test_only_who_prepared_it_or_an_admin_carries_it_out_and_undoes_it(by: Actor, rita: User, vic: User) -> None:
    review = _prepared(by, [make.anomaly()])
    for act in (bulk.carry_out, bulk.undo):
        with pytest.raises(bulk.NotYoursError, match="was prepared by ana"):
            act(review, by=Actor("vic", vic), at=make.NOW)
    admin = Actor("rita", rita)
    assert bulk.carry_out(review, by=admin, at=make.NOW).done == 1
    assert ReviewEntry.objects.get().actor == "rita"
    assert bulk.undo(review, by=admin, at=make.NOW).done == 1


def test_what_was_not_carried_out_is_not_undone(by: Actor) -> None:
    with pytest.raises(bulk.NotCarriedOutError):
        bulk.undo(_prepared(by, [make.anomaly()]), by=by, at=make.NOW)


def test_undone_is_what_nobody_decided_anew_and_the_rest_is_named(by: Actor) -> None:
    anomalies = [make.anomaly() for _ in range(4)]
    review = _prepared(by, anomalies)
    bulk.carry_out(review, by=by, at=make.NOW)
    reviews.resolve(anomalies[0], verdict="test", by=Actor("vic"), at=make.NOW)
    reviews.undo(anomalies[1].review_entries.get(), by=Actor("eve"), at=make.NOW)
    outcome = bulk.undo(review, by=by, at=LATER)
    assert outcome == bulk.Outcome(2, {"resolved since by vic": 1, "undone since by eve": 1})
    assert _statuses() == ["resolved", "open", "open", "open"]
    undone = {one.pk: bool(one.undone_id) for one in bulk.results(review)}
    assert undone == {one.pk: number > 0 for number, one in enumerate(anomalies)}


def test_after_a_day_it_is_undone_no_more(by: Actor) -> None:
    review = _prepared(by, [make.anomaly()])
    bulk.carry_out(review, by=by, at=make.NOW)
    with pytest.raises(reviews.UndoExpiredError, match="reopen it instead"):
        bulk.undo(review, by=by, at=make.NOW + timedelta(hours=25))
    assert _statuses() == ["acknowledged"]


def test_a_set_of_which_nothing_is_left_is_carried_out_and_undone_without_effect(by: Actor) -> None:
    anomaly = make.anomaly()
    review = _prepared(by, [anomaly])
    reviews.acknowledge(anomaly, by=Actor("vic"), at=make.NOW)
    assert bulk.carry_out(review, by=by, at=make.NOW).done == 0
    assert bulk.undo(review, by=by, at=make.NOW) == bulk.Outcome(0, {})


def test_an_assignee_who_may_no_longer_review_is_told_before_anything_is_done(by: Actor, rita: User) -> None:
    review = _prepared(by, [make.anomaly()], "assign", arguments={"assignee": "rita"})
    User.objects.filter(pk=rita.pk).update(is_active=False)
    with pytest.raises(reviews.ReviewError, match="rita may not review"):
        bulk.carry_out(review, by=by, at=make.NOW)
    assert not ReviewEntry.objects.exists()
    review.refresh_from_db()
    assert review.done_at is None


@pytest.mark.django_db(transaction=True)
def test_carried_out_twice_at_once_it_is_done_once(
    by: Actor, at_once: Callable[[Sequence[Callable[[], object]]], list[object]]
) -> None:
    review = _prepared(by, [make.anomaly() for _ in range(5)])

    def once() -> object:
        try:
            return bulk.carry_out(BulkReview.objects.get(pk=review.pk), by=by, at=make.NOW)
        except bulk.AlreadyCarriedOutError as error:
            return error

    said = at_once([once, once])
    assert sorted(type(one).__name__ for one in said) == ["AlreadyCarriedOutError", "Outcome"]
    assert ReviewEntry.objects.count() == OutboxMessage.objects.count() == 5


@pytest.mark.django_db(transaction=True)
def test_of_two_sets_at_once_each_anomaly_is_decided_once_and_the_other_names_who(
    by: Actor, rita: User, at_once: Callable[[Sequence[Callable[[], object]]], list[object]]
) -> None:
    anomalies = [make.anomaly() for _ in range(30)]
    other = Actor("rita", rita)
    first, second = _prepared(by, anomalies), _prepared(other, anomalies[::-1])
    said = at_once(
        [
            lambda: bulk.carry_out(first, by=by, at=make.NOW),
            lambda: bulk.carry_out(second, by=other, at=make.NOW),
        ]
    )
    outcomes = [one for one in said if isinstance(one, bulk.Outcome)]
    assert sum(one.done for one in outcomes) == 30
    assert ReviewEntry.objects.count() == 30
    for outcome in outcomes:
        assert all(reason.startswith("already acknowledged by ") for reason in outcome.refused)


def test_the_cost_in_queries_does_not_grow_with_the_set(by: Actor, django_assert_num_queries: Any) -> None:
    for size in (3, 40):
        anomalies = [make.anomaly() for _ in range(size)]
        reviews.acknowledge(anomalies[0], by=by, at=make.NOW)
        review = _prepared(by, anomalies)
        with django_assert_num_queries(11):
            bulk.carry_out(review, by=by, at=make.NOW)
        with django_assert_num_queries(11):
            bulk.undo(review, by=by, at=make.NOW)


def test_what_fails_half_way_leaves_nothing_done(by: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    review = _prepared(by, [make.anomaly(), make.anomaly()])

    def fail(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr(deciding, "announce_all", fail)
        with pytest.raises(RuntimeError):
            bulk.carry_out(review, by=by, at=make.NOW)
    assert _statuses() == ["open", "open"]
    assert not ReviewEntry.objects.exists()
    review.refresh_from_db()
    assert review.done_at is None
    assert bulk.carry_out(review, by=by, at=make.NOW).done == 2
    with monkeypatch.context() as broken:
        broken.setattr(undoing, "announce_all", fail)
        with pytest.raises(RuntimeError):
            bulk.undo(review, by=by, at=make.NOW)
    assert _statuses() == ["acknowledged", "acknowledged"]
    assert ReviewEntry.objects.count() == 2


def test_assigning_tells_from_whom_some_were_taken(by: Actor, rita: User) -> None:
    eve = User.objects.create_superuser("eve")
    had = (None, rita, rita, eve, by.user)
    anomalies = [make.anomaly(assignee=one) for one in had]
    review = _prepared(by, anomalies, "assign", arguments={"assignee": "ana"})
    outcome = bulk.carry_out(review, by=by, at=LATER)
    assert outcome == bulk.outcome(review) == bulk.Outcome(4, {"already assigned to ana": 1}, {"rita": 2, "eve": 1})
