"""web/notices: who was assigned something, or whose snoozed one came back, sees so, and marks it as seen by opening."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from anomalies.models import Notice
from anomalies.services import bulk, reviews
from anomalies.services.actor import Actor
from tests import make

pytestmark = pytest.mark.django_db
BOB = Actor("bob")


def test_the_assignee_sees_how_many_and_opening_them_marks_them_as_seen(as_ana: Client, ana: User) -> None:
    assert "assigned to you" not in as_ana.get("/types/").text
    one, other = make.anomaly(), make.anomaly()
    for anomaly in (one, other):
        reviews.assign(anomaly, to=ana, by=BOB, at=make.NOW)
    assert "2 assigned to you" in as_ana.get("/types/").text
    newest = Notice.objects.order_by("-pk")[0].pk
    later = make.anomaly()
    reviews.assign(later, to=ana, by=BOB, at=make.NOW)
    seen = as_ana.post("/notices/seen/", {"up_to": newest})
    assert seen.headers["Location"] == "/?assignee=me"
    page = as_ana.get("/").text
    assert "1 assigned to you" in page  # what came since was not shown
    only = as_ana.post("/notices/seen/", {"up_to": newest + 1}, follow=True)
    assert only.redirect_chain == [(f"/?open={later.public_id}&assignee=me", 302)]
    assert "assigned to you" not in as_ana.get("/").text


def test_what_came_back_from_snooze_is_told_to_who_snoozed_it(as_ana: Client, ana: User) -> None:
    anomaly = make.anomaly()
    reviews.snooze(anomaly, until=make.NOW + timedelta(hours=1), by=Actor("ana", ana), at=make.NOW)
    reviews.wake(at=make.NOW + timedelta(hours=2))
    page = as_ana.get(f"/anomalies/{anomaly.public_id}/").text
    assert "1 back from snooze" in page
    assert "Back from snooze since" in page
    seen = as_ana.post("/notices/seen/", {"up_to": Notice.objects.get().pk})
    assert seen.headers["Location"] == f"/?open={anomaly.public_id}"


def test_the_notice_of_a_bulk_review_stands_for_all_of_it(as_ana: Client, ana: User) -> None:
    bob = User.objects.create_user("bob")
    by = Actor("bob", bob)
    ids = [make.anomaly().pk for _ in range(3)]
    prepared = bulk.prepare(
        action="assign", arguments={"assignee": "ana"}, note="", anomaly_ids=ids, by=by, at=make.NOW
    )
    bulk.carry_out(prepared, by=by, at=make.NOW)
    assert "3 assigned to you" in as_ana.get("/").text
    seen = as_ana.post("/notices/seen/", {"up_to": Notice.objects.get().pk})
    assert seen.headers["Location"] == "/?assignee=me"


@pytest.mark.parametrize("up_to", ["", "odd", "9" * 40, "-1"])
def test_an_odd_number_sees_nothing(as_ana: Client, ana: User, up_to: str) -> None:
    reviews.assign(make.anomaly(), to=ana, by=BOB, at=make.NOW)
    assert as_ana.post("/notices/seen/", {"up_to": up_to}).status_code == 302
    assert Notice.objects.filter(seen_at=None).count() == 1
