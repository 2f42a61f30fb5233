"""admin/override: one agent judged otherwise, with its parameters as fields."""

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from anomalies.detection.registry import DETECTORS
from anomalies.models import DetectorOverride, DetectorSettings
from tests import make

pytestmark = pytest.mark.django_db

ADD = reverse("admin:anomalies_detectoroverride_add")


def _fields(**changes: object) -> dict[str, object]:
    defaults = {parameter.name: parameter.default for parameter in DETECTORS["rate_spike"].parameters}
    return {"agent_id": "ag_billing", "enabled": "on", "reason": "a batch job", **defaults, **changes}


def _add(client: Client, **changes: object) -> HttpResponse:
    make.agent()
    return client.post(f"{ADD}?type=rate_spike", _fields(**changes))


def _page(row: DetectorOverride) -> str:
    return reverse("admin:anomalies_detectoroverride_change", args=[row.pk])


def test_the_detector_is_asked_for_first(as_boss: Client) -> None:
    page = as_boss.get(ADD).content.decode()
    assert all(f'href="?type={type_}"' in page for type_ in DETECTORS)


def test_what_differs_from_the_settings_is_kept_with_who_and_why(as_boss: Client, boss: User) -> None:
    DetectorSettings.objects.create(type="rate_spike", parameters={"min_excess": 9.0})
    assert _add(as_boss, min_excess="9", min_ratio="4").status_code == 302
    row = DetectorOverride.objects.get()
    assert (row.type, row.agent_id, row.enabled, row.parameters) == ("rate_spike", "ag_billing", True, {"min_ratio": 4})
    assert (row.reason, row.updated_by) == ("a batch job", boss.username)


def test_the_form_starts_from_the_settings(as_boss: Client) -> None:
    DetectorSettings.objects.create(type="rate_spike", parameters={"min_excess": 9.0})
    form = as_boss.get(f"{ADD}?type=rate_spike").context["adminform"].form
    assert form.initial["min_excess"] == 9.0


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("min_excess", "-1", "Above the expected, at least (events): it must be from 0 to 1,000,000."),
        ("agent_id", "ag_nobody", "There is no agent &#x27;ag_nobody&#x27;."),
        ("reason", "", "This field is required."),
    ],
)
def test_what_is_wrong_is_told_at_its_field(as_boss: Client, field: str, value: str, sentence: str) -> None:
    answer = _add(as_boss, **{field: value})
    assert list(answer.context["adminform"].form.errors) == [field]
    assert sentence in answer.content.decode()
    assert not DetectorOverride.objects.exists()


def test_a_second_of_the_same_agent_and_detector_leads_to_the_first(as_boss: Client) -> None:
    _add(as_boss)
    assert "change that" in _add(as_boss).content.decode()


def test_it_is_changed_and_deleted(as_boss: Client) -> None:
    _add(as_boss, min_ratio="4")
    row = DetectorOverride.objects.get()
    assert as_boss.get(_page(row)).context["adminform"].form.initial["min_ratio"] == 4.0
    assert as_boss.post(_page(row), _fields(min_ratio="5", enabled="")).status_code == 302
    row.refresh_from_db()
    assert (row.enabled, row.parameters) == (False, {"min_ratio": 5.0})
    as_boss.post(reverse("admin:anomalies_detectoroverride_delete", args=[row.pk]), {"post": "yes"})
    assert not DetectorOverride.objects.exists()


def test_detector_and_agent_lead_to_it(as_boss: Client) -> None:
    _add(as_boss, enabled="")
    row = DetectorOverride.objects.get()
    as_boss.get(reverse("admin:anomalies_detectorsettings_changelist"))
    settings = DetectorSettings.objects.get(type="rate_spike")
    for page in (
        reverse("admin:anomalies_detectorsettings_change", args=[settings.pk]),
        reverse("admin:anomalies_agent_change", args=[row.agent.pk]),
    ):
        assert f'href="{_page(row)}"' in as_boss.get(page).content.decode()


def test_who_looks_may_not_change(as_looking_staff: Client, as_boss: Client) -> None:
    _add(as_boss, min_ratio="4")
    row = DetectorOverride.objects.get()
    page = as_looking_staff.get(_page(row))
    assert "Multiple of the expected, at least 4" in page.content.decode()
    assert "Try on history" not in page.content.decode()
    assert as_looking_staff.post(_page(row), _fields()).status_code == 403
    assert as_looking_staff.get(f"{ADD}?type=rate_spike").status_code == 403
    assert as_looking_staff.get(ADD).status_code == 403


def test_the_page_of_an_agent_says_what_is_still_learned_of_it(as_boss: Client) -> None:
    page = as_boss.get(reverse("admin:anomalies_agent_change", args=[make.agent().pk])).content.decode()
    assert "Off hours: learned hours need 14 days" in page
    assert "at the earliest" in page
