"""admin/event: found by whole ids, by what indexes answer."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from anomalies.models import Retention
from tests import make

pytestmark = pytest.mark.django_db

LIST = reverse("admin:anomalies_event_changelist")


@pytest.mark.parametrize("term", ["ag_deploy", "user_7", "e-77", "192.0.2.7", " 192.0.2.7 "])
def test_an_event_is_found_by_agent_user_id_or_address(as_boss: Client, term: str) -> None:
    wanted = make.event(external_id="e-77", agent_id="ag_deploy", principal_id="user_7", ip="192.0.2.7")
    make.event(ip="192.0.2.70")
    assert list(as_boss.get(LIST, {"q": term}).context["cl"].queryset) == [wanted]


def test_part_of_an_id_finds_nothing(as_boss: Client) -> None:
    make.event(agent_id="ag_deploy")
    assert not as_boss.get(LIST, {"q": "ag_de"}).context["cl"].queryset.exists()


@pytest.mark.parametrize("query", [{}, {"q": "ag_billing"}])
def test_no_query_counts_the_whole_table(as_boss: Client, query: dict[str, str]) -> None:
    make.event()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        as_boss.get(LIST, query)
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"] and '"anomalies_event"' in query["sql"]]
    assert counts
    assert all("LIMIT 10001" in sql for sql in counts)


def test_a_run_of_retention_says_which_days_it_kept_back_and_why(as_boss: Client) -> None:
    back = {"first": "2025-10-01", "last": "2025-10-03", "days": 3, "why": "events of it wait to be counted"}
    row = Retention.objects.create(ran_at=make.NOW, kept_back=[back])
    listed = as_boss.get(reverse("admin:anomalies_retention_changelist")).content.decode()
    assert '<td class="field-days_kept_back">3</td>' in listed
    page = as_boss.get(reverse("admin:anomalies_retention_change", args=[row.pk])).content.decode()
    assert "<li>2025-10-01 to 2025-10-03: events of it wait to be counted.</li>" in page


def test_an_order_that_no_index_answers_is_not_taken(as_boss: Client) -> None:
    first, second = make.event(action="b"), make.event(action="a")
    assert list(as_boss.get(LIST, {"o": "5"}).context["cl"].queryset) == [second, first]
