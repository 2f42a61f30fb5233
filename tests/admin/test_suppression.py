"""admin/suppression: none is made before it was seen what it would have hidden."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from anomalies.models import Suppression
from anomalies.services import suppressions
from anomalies.services.actor import Actor
from anomalies.services.suppressions import Conditions
from tests import make

pytestmark = pytest.mark.django_db

LIST = reverse("admin:anomalies_suppression_changelist")
ADD = reverse("admin:anomalies_suppression_add")
GOOD = {
    "reason": "The auditors' scan",
    "owner": "ana",
    "type": "rate_spike",
    "agent_id": "ag_billing",
    "highest_severity": "3",
    "expires_at_0": "2999-01-01",
    "expires_at_1": "00:00",
}


def _made(**fields: Any) -> Suppression:
    return suppressions.create(
        reason="The auditors' scan",
        owner="ana",
        conditions=Conditions(agent_id="ag_billing", highest_severity=2),
        expires_at=None,
        by=Actor(name="ana"),
        at=make.NOW,
    )


def _seen(answer: HttpResponse) -> str:
    return str(answer.context["adminform"].form["seen"].value())  # type: ignore[attr-defined]


def test_it_asks_back_with_what_it_would_have_hidden_and_is_made_then(as_reviewing_staff: Client) -> None:
    anomaly = make.anomaly(detected_at=timezone.now())
    first = as_reviewing_staff.post(ADD, GOOD)
    assert first.status_code == 200
    assert not Suppression.objects.exists()
    page = first.text
    assert "Not saved yet: see below what it would have hidden, and save again." in page
    assert "Please correct" not in page
    assert first.context["adminform"].form["agent_id"].value() == "ag_billing"
    assert 'value="2999-01-01"' in page
    assert "1 anomaly of the last 30 days:" in page
    assert "Rate spike open: 1" in page
    assert f'href="/anomalies/{anomaly.public_id}/"' in page
    assert as_reviewing_staff.post(ADD, {**GOOD, "seen": _seen(first)}).status_code == 302
    made = Suppression.objects.get()
    assert (made.type, made.agent_id, made.owner, made.created_by) == ("rate_spike", "ag_billing", "ana", "rita")
    assert made.expires_at is not None


def test_other_conditions_than_those_seen_are_asked_back_again(as_boss: Client) -> None:
    seen = _seen(as_boss.post(ADD, GOOD))
    again = as_boss.post(ADD, {**GOOD, "agent_id": "ag_other", "seen": seen})
    assert "No anomaly of the last 30 days meets these conditions." in again.text
    assert not Suppression.objects.exists()


@pytest.mark.parametrize(
    ("field", "changes", "sentence"),
    [
        ("network", {"network": "192.0.2.0/33"}, "such as 192.0.2.0/24"),
        ("expires_at", {"expires_at_0": "2020-01-01"}, "It is past."),
        ("reason", {"reason": " "}, "This field is required."),
        ("__all__", {"type": "", "agent_id": ""}, "without, each anomaly would be hidden."),
        ("highest_severity", {"highest_severity": "4"}, "4 is not one of the available choices."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    as_boss: Client, field: str, changes: dict[str, str], sentence: str
) -> None:
    answer = as_boss.post(ADD, {**GOOD, **changes})
    [error] = answer.context["adminform"].form.errors[field]
    assert sentence in error
    assert 'id="preview"' not in answer.text


def test_its_owner_is_who_makes_it_unless_they_say_otherwise(as_boss: Client) -> None:
    assert as_boss.get(ADD).context["adminform"].form.initial["owner"] == "boss"


def test_its_page_says_what_it_hides_and_hid_and_it_cannot_be_changed(as_boss: Client) -> None:
    suppression = _made()
    make.anomaly(suppression=suppression)
    address = reverse("admin:anomalies_suppression_change", args=[suppression.pk])
    page = as_boss.get(address).text
    assert "agent ag_billing, up to medium" in page
    assert "in force" in page
    assert as_boss.post(address, GOOD).status_code == 403
    assert "2026-11-20 12:00 UTC" in as_boss.get(LIST).text


def test_it_is_ended_once_and_the_history_says_so(as_reviewing_staff: Client, as_looking_staff: Client) -> None:
    suppression = _made()
    wanted = {"action": "end", "_selected_action": [suppression.pk]}
    as_looking_staff.post(LIST, wanted)
    suppression.refresh_from_db()
    assert suppression.ended_at is None
    as_reviewing_staff.post(LIST, wanted)
    suppression.refresh_from_db()
    assert suppression.ended_by == "rita"
    assert LogEntry.objects.get().get_change_message() == "Ended."
    answer = as_reviewing_staff.post(LIST, wanted)
    told = [str(message) for message in get_messages(answer.wsgi_request)]
    assert f"{suppression.public_id} was ended already by rita." in told


def test_the_filter_asks_whether_somebody_ended_it(as_boss: Client) -> None:
    running, ended = _made(), _made()
    suppressions.end(ended, by=Actor(name="ana"), at=make.NOW)
    changes = as_boss.get(LIST).context["cl"]
    [whether] = changes.filter_specs
    assert whether.title == "ended"
    answers = {choice["display"]: choice["query_string"] for choice in whether.choices(changes)}
    assert list(answers) == ["All", "No", "Yes"]
    page = as_boss.get(f"{LIST}?_facets=True").text
    assert ">No (1)</a>" in page
    assert ">Yes (1)</a>" in page
    for answer, expected in (("No", [running]), ("Yes", [ended])):
        assert list(as_boss.get(f"{LIST}{answers[answer]}").context["cl"].queryset) == expected
