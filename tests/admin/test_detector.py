"""admin/detector: parameters with their bounds, and a history of who changed what."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from anomalies.detection.registry import DETECTORS
from anomalies.models import DetectorSettings

pytestmark = pytest.mark.django_db

LIST = reverse("admin:anomalies_detectorsettings_changelist")


@pytest.fixture
def settings_row(as_boss: Client) -> DetectorSettings:
    """That of rate_spike, made by looking at the list."""
    as_boss.get(LIST)
    return DetectorSettings.objects.get(type="rate_spike")


def _page(row: DetectorSettings) -> str:
    return reverse("admin:anomalies_detectorsettings_change", args=[row.pk])


def _save(client: Client, row: DetectorSettings, **changes: object) -> HttpResponse:
    defaults = {parameter.name: parameter.default for parameter in DETECTORS[row.type].parameters}
    return client.post(_page(row), {"enabled": "on", **defaults, **changes})


def test_every_detector_of_the_registry_has_a_row(settings_row: DetectorSettings) -> None:
    assert set(DetectorSettings.objects.values_list("type", flat=True)) == set(DETECTORS)


@pytest.mark.parametrize("type_", DETECTORS)
def test_every_parameter_is_a_field_with_its_meaning_and_bounds(
    as_boss: Client, settings_row: DetectorSettings, type_: str
) -> None:
    form = as_boss.get(_page(DetectorSettings.objects.get(type=type_))).context["adminform"].form
    for parameter in DETECTORS[type_].parameters:
        field = form.fields[parameter.name]
        if not parameter.is_words:
            assert (field.min_value, field.max_value) == (parameter.low, parameter.high)
            assert parameter.unit in field.label
        assert parameter.help.rstrip(".") in field.help_text
        assert form.initial[parameter.name] == parameter.default


def test_what_differs_from_the_default_is_kept(as_boss: Client, settings_row: DetectorSettings) -> None:
    assert _save(as_boss, settings_row, min_excess="7.5").status_code == 302
    settings_row.refresh_from_db()
    assert (settings_row.enabled, settings_row.parameters) == (True, {"min_excess": 7.5})
    assert "Above the expected, at least 7.5" in as_boss.get(LIST).content.decode()


def test_the_default_again_leaves_nothing_changed(as_boss: Client, settings_row: DetectorSettings) -> None:
    _save(as_boss, settings_row, min_excess="7.5")
    _save(as_boss, settings_row)
    settings_row.refresh_from_db()
    assert settings_row.parameters == {}


def test_what_was_never_changed_says_so(as_boss: Client, settings_row: DetectorSettings) -> None:
    assert as_boss.get(LIST).content.decode().count(">never<") == len(DETECTORS)
    _save(as_boss, settings_row, min_excess="7.5")
    assert as_boss.get(LIST).content.decode().count(">never<") == len(DETECTORS) - 1


def test_a_value_out_of_bounds_is_told_with_its_name_and_bounds(
    as_boss: Client, settings_row: DetectorSettings
) -> None:
    errors = _save(as_boss, settings_row, min_excess="-1").context["adminform"].form.errors
    assert errors["min_excess"] == ["Above the expected, at least (events): it must be from 0 to 1,000,000."]


@pytest.mark.parametrize("value", ["-1", "1e9", "nan", "many", ""])
def test_a_value_out_of_bounds_is_refused_at_its_field(
    as_boss: Client, settings_row: DetectorSettings, value: str
) -> None:
    answer = _save(as_boss, settings_row, min_excess=value)
    assert list(answer.context["adminform"].form.errors) == ["min_excess"]
    settings_row.refresh_from_db()
    assert settings_row.parameters == {}


def test_the_history_says_who_changed_what_from_which_value_to_which(
    as_boss: Client, boss: User, settings_row: DetectorSettings
) -> None:
    changes = {"min_excess": "7.5", "enabled": ""}
    _save(as_boss, settings_row, **changes)
    entry = LogEntry.objects.get()
    assert entry.user == boss
    assert (
        entry.get_change_message() == "Changed Enabled: yes → no and Above the expected, at least (events): 3.0 → 7.5."
    )
    history = as_boss.get(reverse("admin:anomalies_detectorsettings_history", args=[settings_row.pk]))
    assert "Above the expected, at least (events): 3.0 → 7.5" in history.content.decode()


def test_words_are_typed_with_commas_and_checked(as_boss: Client) -> None:
    as_boss.get(LIST)
    row = DetectorSettings.objects.get(type="request_high_risk_access")
    fields = {
        "enabled": "on",
        "sensitive_words": "customer, phi , pii,prod",
        "elevated_words": "root, sudo",
        "known_days": "30",
    }
    assert as_boss.post(_page(row), fields).status_code == 302
    row.refresh_from_db()
    assert row.parameters == {"elevated_words": ["root", "sudo"]}
    assert "Words of elevated permissions root, sudo" in as_boss.get(LIST).content.decode()
    for wrong, sentence in (
        (",", "Words of elevated permissions: a word is needed."),
        ("x" * 101, "a word has 1 to 100 characters"),
    ):
        assert sentence in as_boss.post(_page(row), {**fields, "elevated_words": wrong}).content.decode()
