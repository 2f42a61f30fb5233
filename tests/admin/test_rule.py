"""admin/rule: rules made and changed by forms, with what is wrong at its field."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from anomalies.models import Rule
from anomalies.services import rules
from anomalies.services.actor import Actor
from tests import make

pytestmark = pytest.mark.django_db

LIST = reverse("admin:anomalies_rule_changelist")
ADD = reverse("admin:anomalies_rule_add")
GOOD = {
    "name": "Night exports",
    "description": "Asked for by the auditors",
    "severity": "3",
    "agents": "ag_billing\n ag_new \n",
    "scopes": "exports.read",
    "window_seconds": "900",
    "threshold": "10",
    "enabled": "on",
}


def _rule(**wanted: Any) -> Rule:
    wanted = {"name": "Night exports", "window_seconds": 900, "threshold": 10, **wanted}
    return rules.create(by=Actor(name="ana"), at=make.NOW, **wanted)


def _change(client: Client, rule: Rule, **changes: str) -> HttpResponse:
    return client.post(reverse("admin:anomalies_rule_change", args=[rule.pk]), {**GOOD, **changes})


def test_a_rule_is_made_by_who_reviews_and_told_of_agents_not_known(as_reviewing_staff: Client) -> None:
    make.agent()
    answer = as_reviewing_staff.post(ADD, GOOD)
    assert answer.status_code == 302
    rule = Rule.objects.get()
    assert (rule.name, rule.severity, rule.window_seconds, rule.threshold) == ("Night exports", 3, 900, 10)
    assert (rule.agents, rule.scopes, rule.created_by) == (["ag_billing", "ag_new"], ["exports.read"], "rita")
    assert "Nothing is known of ag_new yet." in [str(message) for message in get_messages(answer.wsgi_request)]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("threshold", "0", "0 events; it must be from 1 to 1,000,000."),
        ("threshold", "", "This field is required."),
        ("window_seconds", "7200", "7200 is not one of the available choices."),
        ("name", "Taken", "There is a rule named Taken already."),
        ("agents", "a" * 201, "201 characters, at most 200 are kept."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(as_boss: Client, field: str, value: str, sentence: str) -> None:
    _rule(name="Taken")
    answer = as_boss.post(ADD, {**GOOD, field: value})
    [error] = answer.context["adminform"].form.errors[field]
    assert sentence in error
    assert Rule.objects.count() == 1


def test_a_change_is_told_by_the_history(as_boss: Client) -> None:
    rule = _rule()
    assert _change(as_boss, rule, threshold="12").status_code == 302
    rule.refresh_from_db()
    assert (rule.threshold, rule.updated_by) == (12, "boss")
    assert "Threshold: 10 → 12" in LogEntry.objects.get().get_change_message()


def test_saving_it_unchanged_changes_nothing(as_boss: Client) -> None:
    rule = _rule(agents=["ag_1", "ag_2"], scopes=["exports.read"])
    page = as_boss.get(reverse("admin:anomalies_rule_change", args=[rule.pk]))
    shown = {name: value for name, value in page.context["adminform"].form.initial.items() if value is not False}
    _change(as_boss, rule, **shown)
    rule.refresh_from_db()
    assert (rule.updated_at, rule.in_force_since) == (make.NOW, make.NOW)


def test_deleting_keeps_its_row_and_frees_its_name(as_boss: Client) -> None:
    rule = _rule()
    as_boss.post(LIST, {"action": "end", "_selected_action": [rule.pk]})
    rule.refresh_from_db()
    assert rule.deleted_at is not None
    assert LogEntry.objects.get().get_change_message() == "Deleted."
    assert as_boss.post(ADD, GOOD).status_code == 302
    assert as_boss.get(reverse("admin:anomalies_rule_change", args=[rule.pk])).status_code == 302  # gone


def test_who_reviews_deletes_none_and_who_looks_changes_none(
    as_reviewing_staff: Client, as_looking_staff: Client
) -> None:
    rule = _rule()
    as_reviewing_staff.post(LIST, {"action": "end", "_selected_action": [rule.pk]})
    assert Rule.objects.living().exists()
    assert _change(as_looking_staff, rule, threshold="1").status_code == 403


def test_the_list_says_the_rule_and_what_it_raised(as_boss: Client) -> None:
    rule = _rule(scopes=["exports.read"], agents=["ag_billing"])
    make.anomaly(type="custom_rule", topic=rule.public_id)
    make.anomaly(type="custom_rule", topic="another")
    page = as_boss.get(LIST).text
    assert "10 events in 15 minutes about exports.read of ag_billing" in page
    assert re.search(r'field-raised">1<', page)


def test_the_filter_by_severity_says_it_in_words(as_boss: Client) -> None:
    high, low = _rule(name="Worst", severity=3), _rule(name="Least", severity=1)
    listed = as_boss.get(LIST, {"severity__exact": "3"})
    assert list(listed.context["cl"].queryset) == [high]
    assert [choice["display"] for choice in listed.context["cl"].filter_specs[1].choices(listed.context["cl"])] == [
        "All", "high", "medium", "low",
    ]  # fmt: skip
    assert low.name in as_boss.get(LIST).text
