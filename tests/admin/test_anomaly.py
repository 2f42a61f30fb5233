"""admin/anomaly: triage."""

from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from anomalies.admin import base
from anomalies.models import Anomaly, BulkReview, OutboxMessage, ReviewEntry, Severity
from anomalies.services import merging, reviews
from anomalies.services.actor import Actor
from tests import make

pytestmark = pytest.mark.django_db

LIST = "admin:anomalies_anomaly_changelist"


def _act(client: Client, action: str, *anomalies: Anomaly, **fields: str) -> HttpResponse:
    chosen = {"action": action, "_selected_action": [anomaly.pk for anomaly in anomalies], **fields}
    return client.post(reverse(LIST), chosen)


def _told(answer: HttpResponse) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_acknowledge_goes_through_the_service_and_tells_each_outcome(as_boss: Client) -> None:
    new = [make.anomaly(), make.anomaly()]
    decided = make.anomaly()
    reviews.acknowledge(decided, by=Actor(name="bob"), at=make.NOW)
    answer = _act(as_boss, "acknowledge", *new, decided)
    page = reverse("admin:anomalies_bulkreview_change", args=[BulkReview.objects.get().pk])
    assert _told(answer) == [
        f'2 acknowledged. <a href="{page}">See each, or undo</a>',
        "Left as they were: 1 already acknowledged by bob.",
    ]
    for anomaly in new:
        anomaly.refresh_from_db()
        assert (anomaly.status, anomaly.acknowledged_by) == ("acknowledged", "boss")
    assert ReviewEntry.objects.filter(actor="boss", user__username="boss").count() == 2
    assert OutboxMessage.objects.count() == 3


def test_reviewing_staff_may_acknowledge(as_reviewing_staff: Client) -> None:
    anomaly = make.anomaly()
    assert _told(_act(as_reviewing_staff, "acknowledge", anomaly))[0].startswith("1 acknowledged.")


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        *((f"resolve_{verdict}", {"status": "resolved", "verdict": verdict}) for verdict in Anomaly.Verdict.values),
        ("assign_to_me", {"status": "acknowledged", "assignee__username": "boss"}),
        ("reopen", {"status": "open"}),
    ],
)
def test_each_action_decides_what_it_says(as_boss: Client, action: str, expected: dict[str, str]) -> None:
    anomaly = make.anomaly()
    reviews.acknowledge(anomaly, by=Actor(name="bob"), at=make.NOW)
    _act(as_boss, action, anomaly)
    assert Anomaly.objects.values(*expected).get() == expected


def test_all_that_match_are_fixed_and_shown_before_anything_is_done(as_boss: Client) -> None:
    first, second = make.anomaly(), make.anomaly()
    answer = _act(as_boss, "acknowledge", first, select_across="1")
    review = BulkReview.objects.get()
    assert answer.url == reverse("admin:anomalies_bulkreview_change", args=[review.pk])
    assert (sorted(review.anomaly_ids), review.done_at) == ([first.pk, second.pk], None)
    assert not ReviewEntry.objects.exists()


def test_what_was_decided_cannot_be_edited(as_boss: Client) -> None:
    anomaly = make.anomaly()
    reviews.resolve(anomaly, verdict="benign", by=Actor(name="bob"), at=make.NOW, reason="nightly sync")
    url = reverse("admin:anomalies_anomaly_change", args=[anomaly.pk])
    page = as_boss.get(url).content.decode()
    assert "nightly sync" in page
    assert 'name="verdict"' not in page
    assert as_boss.post(url, {"verdict": "test", "status": "open"}).status_code == 403


def test_a_row_says_who_from_where_and_on_which_platform(as_boss: Client) -> None:
    make.anomaly(kind="principal", entity="user_7", agent=make.agent("ag_x"), principal=make.principal("user_7"))
    make.anomaly(kind="address", entity="192.0.2.7", ip="192.0.2.7", integration="postgres-eu")
    page = as_boss.get(reverse(LIST)).content.decode()
    assert '<td class="field-who">ag_x<br>user_7</td>' in page
    assert '<td class="field-where">192.0.2.7<br>postgres-eu</td>' in page


def test_what_became_a_part_of_another_is_found_by_its_id_and_not_listed(as_boss: Client) -> None:
    part, whole = make.anomaly(), make.anomaly()
    merging.merge(part, into=whole, scan=make.scan())
    assert list(as_boss.get(reverse(LIST)).context["cl"].queryset) == [whole]
    assert list(as_boss.get(reverse(LIST), {"q": part.public_id}).context["cl"].queryset) == [part]
    assert as_boss.get(reverse("admin:anomalies_anomaly_change", args=[part.pk])).status_code == 200


def test_who_only_looks_is_not_offered_to_acknowledge_and_cannot(as_looking_staff: Client) -> None:
    anomaly = make.anomaly()
    assert "Acknowledge selected" not in as_looking_staff.get(reverse(LIST)).content.decode()
    _act(as_looking_staff, "acknowledge", anomaly)
    anomaly.refresh_from_db()
    assert anomaly.status == "open"


@pytest.mark.parametrize(
    "query",
    [
        {"severity__exact": "3"},
        {"type": "rate_spike"},
        {"status__exact": "open"},
        {"state__exact": "open"},
        {"agent__public_id__exact": "ag_deploy"},
        {"q": "ag_deploy"},
        {"detected_at__year": "2026", "detected_at__month": "11"},
    ],
)
def test_filters_search_and_dates_narrow_the_list(as_boss: Client, query: dict[str, str]) -> None:
    wanted = make.anomaly(agent=make.agent("ag_deploy"))
    other = make.anomaly(
        type="new_principal",
        severity=Severity.LOW,
        state="closed",
        ended_at=make.NOW,
        detected_at=make.NOW - timedelta(days=60),
    )
    reviews.acknowledge(other, by=Actor(name="bob"), at=make.NOW)
    assert list(as_boss.get(reverse(LIST), query).context["cl"].queryset) == [wanted]


def test_severity_has_its_letter_and_is_filtered_worst_first(as_boss: Client) -> None:
    anomaly = make.anomaly()
    page = as_boss.get(reverse(LIST)).content.decode()
    assert '<span class="severity high"><b>H</b> high</span>' in page
    assert page.index("severity__exact=3") < page.index("severity__exact=2") < page.index("severity__exact=1")
    assert reverse("admin:anomalies_anomaly_change", args=[anomaly.pk]) in page
    assert as_boss.get(reverse(LIST), {"severity__exact": "x"}).status_code == 200


def test_only_agents_with_anomalies_are_offered_as_filter(as_boss: Client) -> None:
    make.anomaly(agent=make.agent("ag_deploy"))
    make.agent("ag_quiet")
    page = as_boss.get(reverse(LIST)).content.decode()
    assert "agent__public_id__exact=ag_deploy" in page
    assert "ag_quiet" not in page


def test_the_row_shows_evidence_timeline_and_its_page(as_boss: Client) -> None:
    anomaly = make.anomaly(evidence={"observed": 412, "why": "<b>many</b>"})
    reviews.add_note(anomaly, by=Actor(name="ana"), at=make.NOW, note="looked at it")
    page = as_boss.get(reverse("admin:anomalies_anomaly_change", args=[anomaly.pk])).content.decode()
    assert "&quot;observed&quot;: 412" in page
    assert "<b>many</b>" not in page
    assert "looked at it" in page
    assert reverse("anomaly_detail", args=[anomaly.public_id]) in page


def test_the_list_asks_as_many_questions_for_fifty_rows_as_for_one(
    as_boss: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(50):
        make.anomaly(agent=make.agent(f"ag_{number}"), principal=make.principal(f"user_{number}"))
    with django_assert_max_num_queries(13):
        assert as_boss.get(reverse(LIST)).status_code == 200


def test_a_large_table_is_leafed_through_up_to_a_bound_and_says_so(
    as_boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "MOST_COUNTED", 2)
    for _ in range(3):
        make.anomaly()
    answer = as_boss.get(reverse(LIST))
    assert answer.context["cl"].result_count == 2
    assert "these are the first 2" in answer.content.decode()


def test_anomalies_are_sorted_by_who_each_row_names(as_boss: Client) -> None:
    of_agent = make.anomaly(agent=make.agent("ag_b"))
    of_user = make.anomaly(
        kind="principal", entity="user_c", agent=make.agent("ag_a"), principal=make.principal("user_c")
    )
    columns = as_boss.get(reverse(LIST)).context["cl"].list_display
    sorted_by_who = as_boss.get(reverse(LIST), {"o": str(columns.index("who"))})
    assert list(sorted_by_who.context["cl"].queryset) == [of_agent, of_user]
