"""admin/access_request: what was asked for and what became of it, to look at."""

import pytest
from django.test import Client
from django.urls import reverse

from anomalies.models import AccessFlow, AccessRequest
from anomalies.services import counts
from tests.services.access_requests import REJECTED, life, told
from tests.services.days import MONDAY, store

pytestmark = pytest.mark.django_db

LIST = reverse("admin:anomalies_accessrequest_changelist")


@pytest.fixture(autouse=True)
def known() -> None:
    store(
        [
            *life(),
            told("created", id_="req_2", who="ben"),
            told("rejected", id_="req_2", who="ben", approvals=[REJECTED]),
        ]
    )
    counts.count_some()


def _page(row: AccessRequest | AccessFlow) -> str:
    return reverse(f"admin:anomalies_{row._meta.model_name}_change", args=[row.pk])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["AR-1", "AR-2"]),
        ({"q": "req_2"}, ["AR-2"]),
        ({"q": "AR-1"}, ["AR-1"]),
        ({"q": "ben"}, ["AR-2"]),
        ({"q": "flow_1"}, ["AR-1", "AR-2"]),
        ({"status__exact": "expired"}, ["AR-1"]),
        ({"rejected_by_person__exact": "1"}, ["AR-2"]),
    ],
)
def test_requests_are_found_by_what_people_know_of_them(
    as_boss: Client, query: dict[str, str], found: list[str]
) -> None:
    assert sorted(str(row) for row in as_boss.get(LIST, query).context["cl"].result_list) == found


def test_a_request_shows_its_history_and_its_flow(as_boss: Client) -> None:
    page = as_boss.get(_page(AccessRequest.objects.get(public_id="req_1"))).content.decode()
    assert "approved by Ben Keller" in page
    assert "created by Ana (Ticket OPS-12)" in page
    assert _page(AccessFlow.objects.get()) in page
    assert "1 hour" in page
    assert f"{MONDAY:%Y-%m-%d}" in page


def test_what_sources_send_as_json_is_told_in_words_without_what_is_empty(as_boss: Client) -> None:
    page = as_boss.get(_page(AccessRequest.objects.get(public_id="req_2"))).content.decode()
    assert "resource orders, permission read, integration postgres-eu, resource type database<" in page
    assert "status Rejected" in page
    assert "&quot;" not in page
    flow = AccessFlow.objects.get()
    flow.targets = [{"integration": "<aws>", "permissions": ["read", "write"]}, {"integration": "okta", "tags": []}]
    flow.save()
    page = as_boss.get(_page(flow)).content.decode()
    assert "integration &lt;aws&gt;, permissions read, write<br>integration okta<" in page
    assert '<div class="readonly">none</div>' in page


def test_the_list_says_what_was_asked_for_in_few_queries(
    as_boss: Client, django_assert_max_num_queries: object
) -> None:
    with django_assert_max_num_queries(12):  # type: ignore[operator]  # a fixture
        assert "read on orders" in as_boss.get(LIST).content.decode()


def test_a_flow_is_looked_at_and_not_changed_here(as_boss: Client) -> None:
    page = as_boss.get(_page(AccessFlow.objects.get()))
    assert not page.context["has_change_permission"]
    assert "Databases" in page.content.decode()
