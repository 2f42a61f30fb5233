"""admin/bulk: what was decided about many at once."""

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from anomalies.admin import bulk as pages
from anomalies.models import Anomaly, BulkReview, ReviewEntry
from anomalies.services import bulk, reviews
from anomalies.services.actor import Actor
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def prepared(boss: User) -> BulkReview:
    """Two anomalies that boss is about to acknowledge."""
    ids = [make.anomaly(description="<b>412</b> requests").pk for _ in range(2)]
    return bulk.prepare(
        action="acknowledge", arguments={}, note="nightly", anomaly_ids=ids, by=Actor("boss", boss), at=timezone.now()
    )


def _page(review: BulkReview) -> str:
    return reverse("admin:anomalies_bulkreview_change", args=[review.pk])


def _told(answer: HttpResponse) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_it_is_carried_out_and_undone_on_its_page_which_tells_what_became_of_each(
    as_boss: Client, prepared: BulkReview
) -> None:
    reviews.acknowledge(Anomaly.objects.order_by("id")[0], by=Actor("bob"), at=timezone.now())
    page = as_boss.get(_page(prepared)).content.decode()
    assert "Do it to these 2" in page
    assert "&lt;b&gt;412" in page
    told = _told(as_boss.post(_page(prepared), {"_carry_out": "1"}))
    assert told[1:] == ["Left as they were: 1 already acknowledged by bob."]
    page = as_boss.get(_page(prepared)).content.decode()
    assert "<td>left as it was: already acknowledged by bob</td>" in page
    assert "<td>acknowledged</td>" in page
    assert 'name="_undo"' in page
    assert _told(as_boss.post(_page(prepared), {"_undo": "1"}))[0].startswith("1 undone.")
    page = as_boss.get(_page(prepared)).content.decode()
    assert "<td>undone</td>" in page
    assert 'name="_undo"' not in page


def test_twice_says_so_and_does_nothing(as_boss: Client, prepared: BulkReview) -> None:
    as_boss.post(_page(prepared), {"_carry_out": "1"})
    assert "was carried out already" in _told(as_boss.post(_page(prepared), {"_carry_out": "1"}))[-1]
    assert ReviewEntry.objects.count() == 2


def test_who_did_not_prepare_it_or_only_looks_does_nothing(
    as_reviewing_staff: Client, as_looking_staff: Client, prepared: BulkReview
) -> None:
    assert "was prepared by boss" in _told(as_reviewing_staff.post(_page(prepared), {"_carry_out": "1"}))[0]
    assert "_carry_out" not in as_looking_staff.get(_page(prepared)).content.decode()
    assert _told(as_looking_staff.post(_page(prepared), {"_carry_out": "1"})) == [
        "You may look at this, and not decide."
    ]
    assert not ReviewEntry.objects.exists()


def test_a_page_of_many_is_leafed_through_by_as_many_questions(
    as_boss: Client,
    prepared: BulkReview,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    monkeypatch.setattr(pages, "RESULTS_AT_ONCE", 1)
    page = as_boss.get(_page(prepared)).content.decode()
    assert '<a href="?page=2">Older</a>' in page
    monkeypatch.undo()
    with django_assert_max_num_queries(14):
        as_boss.get(_page(prepared))
