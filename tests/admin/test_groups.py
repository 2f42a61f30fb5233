"""The groups and what they may, whatever models there are."""

import pytest
from django.apps import apps
from django.contrib.auth.models import Group

pytestmark = pytest.mark.django_db

MODELS = {
    model._meta.model_name
    for model in apps.get_app_config("anomalies").get_models()
    if model._meta.default_permissions  # all but what no page shows
}
CLOSED = {"view_apikey", "view_auditentry", "view_connection"}
DECIDES = {
    "review_anomaly", "read_audit_log", "add_rule", "change_rule", "add_suppression", "change_suppression"
}  # fmt: skip


def _may(group: str) -> set[str]:
    ours = Group.objects.get(name=group).permissions.filter(content_type__app_label="anomalies")
    return set(ours.values_list("codename", flat=True))


def test_who_views_sees_all_but_keys_audit_and_connections_and_changes_nothing() -> None:
    assert _may("viewer") == {f"view_{name}" for name in MODELS} - CLOSED


def test_who_reviews_decides_and_makes_rules_and_suppressions_as_well() -> None:
    assert _may("reviewer") == _may("viewer") | DECIDES


def test_who_administers_may_all() -> None:
    every = {f"{verb}_{name}" for verb in ("view", "add", "change", "delete") for name in MODELS}
    assert _may("admin") == every | {"review_anomaly", "read_audit_log"}
