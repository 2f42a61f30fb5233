"""admin/access: names, working hours, grants and the response policy."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from anomalies.models import AccessRequest, Agent, Grant, ResponsePolicy
from anomalies.services import counts
from tests import make
from tests.services.access_requests import life
from tests.services.days import store

pytestmark = pytest.mark.django_db

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _save(client: Client, agent: Agent, **changes: str) -> HttpResponse:
    unchanged = {
        "name": "",
        "description": "",
        "group": "",
        "time_zone": "UTC",
        "holidays_listed": "",
        **dict.fromkeys(WEEKDAYS, ""),
    }
    return client.post(reverse("admin:anomalies_agent_change", args=[agent.pk]), {**unchanged, **changes})


def test_name_group_zone_hours_and_holidays_are_kept(as_boss: Client) -> None:
    agent = make.agent()
    answer = _save(
        as_boss,
        agent,
        name="Billing",
        group="importers",
        time_zone="Europe/Berlin",
        monday="9-17",
        friday="09:00 - 13:00",
        holidays_listed="2026-12-25\n2026-12-24, 2026-12-25",
    )
    assert answer.status_code == 302
    agent.refresh_from_db()
    assert (agent.name, agent.group, agent.time_zone) == ("Billing", "importers", "Europe/Berlin")
    assert agent.updated_by == "boss"
    assert agent.working_hours == {"0": [9, 17], "4": [9, 13]}
    assert agent.holidays == ["2026-12-24", "2026-12-25"]
    assert "time zone: UTC → Europe/Berlin" in LogEntry.objects.get().get_change_message().lower().replace(
        "europe/berlin", "Europe/Berlin"
    ).replace("utc", "UTC")


def test_the_form_shows_what_is_set_and_saving_it_unchanged_changes_nothing(as_boss: Client) -> None:
    set_up: dict[str, Any] = {"working_hours": {"0": [9, 17]}, "holidays": ["2026-12-25"], "time_zone": "Asia/Tokyo"}
    agent = make.agent(**set_up)
    page = as_boss.get(reverse("admin:anomalies_agent_change", args=[agent.pk]))
    shown = {name: value for name, value in page.context["adminform"].form.initial.items() if isinstance(value, str)}
    _save(as_boss, agent, **shown)
    agent.refresh_from_db()
    assert {name: getattr(agent, name) for name in set_up} == set_up


def test_all_days_empty_means_learned(as_boss: Client) -> None:
    agent = make.agent(working_hours={"0": [9, 17]})
    _save(as_boss, agent)
    agent.refresh_from_db()
    assert agent.working_hours is None


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("time_zone", "Mars/Olympus", "“Mars/Olympus” is no time zone"),
        ("time_zone", "../etc/passwd", "is no time zone"),
        ("monday", "9 to five", "“9 to five” is no span of hours"),
        ("sunday", "17-9", "from an hour to a later one"),
        ("tuesday", "9-25", "from an hour to a later one"),
        ("holidays_listed", "2026-02-30", "“2026-02-30” is no date"),
        ("holidays_listed", "Christmas", "“Christmas” is no date"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(as_boss: Client, field: str, value: str, sentence: str) -> None:
    agent = make.agent()
    form = _save(as_boss, agent, **{field: value}).context["adminform"].form
    assert list(form.errors) == [field]
    assert sentence in form.errors[field][0]
    agent.refresh_from_db()
    assert (agent.time_zone, agent.working_hours, agent.holidays) == ("UTC", None, [])


def test_a_deleted_agent_cannot_be_changed(as_boss: Client) -> None:
    agent = make.agent(deleted_at=make.NOW)
    assert _save(as_boss, agent, name="Zombie").status_code == 403


def test_revoking_grants_tells_each_outcome(as_boss: Client) -> None:
    active, ended = make.grant("grnt_1"), make.grant("grnt_2", status="expired")
    answer = as_boss.post(
        reverse("admin:anomalies_grant_changelist"), {"action": "revoke", "_selected_action": [active.pk, ended.pk]}
    )
    told = {str(message) for message in get_messages(answer.wsgi_request)}
    assert told == {"1 revoked.", "The grant grnt_2 is already expired."}
    active.refresh_from_db()
    assert (active.status, active.revoked_by) == ("revoked", "boss")


def test_a_grant_shows_what_it_is_for_and_leads_to_its_request_and_its_flow(as_boss: Client) -> None:
    store(life()[:3])
    counts.count_some()
    grant = Grant.objects.get()
    listed = as_boss.get(reverse("admin:anomalies_grant_changelist"), {"q": "req_1"}).content.decode()
    assert "read on orders" in listed
    assert "AR-1" in listed
    page = as_boss.get(reverse("admin:anomalies_grant_change", args=[grant.pk])).content.decode()
    request = AccessRequest.objects.get()
    assert reverse("admin:anomalies_accessrequest_change", args=[request.pk]) in page
    assert reverse("admin:anomalies_accessflow_change", args=[request.flow.pk]) in page  # type: ignore[union-attr]
    page = as_boss.get(reverse("admin:anomalies_accessrequest_change", args=[request.pk])).content.decode()
    assert reverse("admin:anomalies_grant_change", args=[grant.pk]) in page


def test_grants_are_listed_in_few_queries(as_boss: Client, django_assert_max_num_queries: Any) -> None:
    store([event for n in range(20) for event in life(f"req_{n}")])
    counts.count_some()
    with django_assert_max_num_queries(12):
        assert "read on orders" in as_boss.get(reverse("admin:anomalies_grant_changelist")).content.decode()


def test_the_response_policy_says_who_chose_it(as_boss: Client) -> None:
    as_boss.post(reverse("admin:anomalies_responsepolicy_add"), {"mode": "revoke_agent_grants"})
    policy = ResponsePolicy.objects.get()
    assert (policy.mode, policy.updated_by) == ("revoke_agent_grants", "boss")
    as_boss.post(reverse("admin:anomalies_responsepolicy_change", args=[policy.pk]), {"mode": "alert_only"})
    policy.refresh_from_db()
    assert policy.mode == "alert_only"


def test_agents_are_listed_by_their_id_or_as_a_column_sorts_them(as_boss: Client) -> None:
    second, third, first = (
        make.agent(agent, name=name, last_seen=make.NOW - timedelta(days=days))
        for agent, name, days in (("ag_2", "Ann", 1), ("ag_3", "Cid", 2), ("ag_1", "Bob", 3))
    )
    url = reverse("admin:anomalies_agent_changelist")

    columns = as_boss.get(url).context["cl"].list_display

    def listed(turn: str, column: str) -> list[Agent]:
        return list(as_boss.get(url, {"o": f"{turn}{columns.index(column)}"}).context["cl"].queryset)

    assert list(as_boss.get(url).context["cl"].queryset) == [first, second, third]
    assert listed("-", "public_id") == [third, second, first]
    assert listed("", "name") == [second, first, third]
    assert listed("-", "last_seen") == [second, third, first]
