"""services/notices: what one person is told."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries

from anomalies.services import bulk, notices, reviews
from anomalies.services.actor import Actor
from tests import make

pytestmark = pytest.mark.django_db

BOB = Actor("bob")


def test_what_was_seen_is_told_no_more_and_what_came_since_is(ana: User, vic: User) -> None:
    first, second = (reviews.assign(make.anomaly(), to=ana, by=BOB, at=make.NOW) for _ in range(2))
    assert [one.entry for one in notices.unseen(ana)] == [second, first]
    assert not notices.unseen(vic)
    shown = notices.unseen(ana)[0].pk
    third = reviews.assign(make.anomaly(), to=ana, by=BOB, at=make.NOW)
    assert notices.see(vic, up_to=shown, at=make.NOW) == 0
    assert notices.see(ana, up_to=shown, at=make.NOW) == 2
    assert [one.entry for one in notices.unseen(ana)] == [third]


def test_they_are_told_with_their_anomalies_by_one_query(
    ana: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(5):
        reviews.assign(make.anomaly(), to=ana, by=BOB, at=make.NOW)
    with django_assert_num_queries(1):
        assert len({one.entry.anomaly.public_id for one in notices.unseen(ana)}) == 5


def test_who_left_is_told_nothing(ana: User) -> None:
    anomaly = make.anomaly()
    reviews.snooze(anomaly, until=make.NOW + timedelta(hours=1), by=Actor("ana", ana), at=make.NOW)
    User.objects.filter(pk=ana.pk).update(is_active=False)
    reviews.wake(at=make.NOW + timedelta(hours=1))
    assert not notices.unseen(ana)


def test_what_went_to_somebody_else_since_is_told_no_more(ana: User) -> None:
    anomaly, other = make.anomaly(), make.anomaly()
    for one in (anomaly, other):
        reviews.assign(one, to=ana, by=BOB, at=make.NOW)
    reviews.assign(anomaly, to=None, by=BOB, at=make.NOW)
    assert [one.entry.anomaly for one in notices.unseen(ana)] == [other]


def test_of_many_assigned_at_once_those_still_theirs_are_told(ana: User) -> None:
    by = Actor("bob", User.objects.create_superuser("bob"))
    three = [make.anomaly() for _ in range(3)]
    prepared = bulk.prepare(
        action="assign", arguments={"assignee": "ana"}, note="", anomaly_ids=[a.pk for a in three], by=by, at=make.NOW
    )
    bulk.carry_out(prepared, by=by, at=make.NOW)
    reviews.assign(three[0], to=None, by=by, at=make.NOW)
    assert notices.unseen(ana).count() == 1
    assert notices.theirs(ana).filter(bulk=prepared).count() == 2
    for one in three[1:]:
        reviews.assign(one, to=None, by=by, at=make.NOW)
    assert not notices.unseen(ana)
