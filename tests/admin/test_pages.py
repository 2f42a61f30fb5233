"""admin: every page opens for whom it is, and for nobody else."""

import re

import pytest
from django.contrib import admin
from django.db import models
from django.test import Client
from django.urls import reverse

from anomalies.models import (
    AgentPrincipal,
    ApiKeyUse,
    AuditEntry,
    Authorization,
    Batch,
    Bookmark,
    Breach,
    BucketBlock,
    DetectorSettings,
    Interval,
    Metric,
    Notice,
    Outlook,
    ResponsePolicy,
    ReviewEntry,
    SavedView,
    ScanShare,
    SearchDocument,
    Series,
    Sighting,
    SourceLag,
)
from anomalies.services import detectors, reviews
from anomalies.services.actor import Actor
from tests import make

pytestmark = pytest.mark.django_db

OURS = [model for model in admin.site._registry if model._meta.app_label == "anomalies"]
EDITABLE = {"agent", "connection", "detectoroverride", "detectorsettings", "responsepolicy", "rule"}
ADDABLE = {"apikey", "connection", "detectoroverride", "responsepolicy", "rule", "suppression"}


def _page(model: type[models.Model], page: str, *args: object) -> str:
    return reverse(f"admin:anomalies_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def rows() -> None:
    """One row of most tables."""
    make.event(principal_id="user_1", ip="192.0.2.1")
    anomaly = make.anomaly()
    reviews.acknowledge(anomaly, by=Actor(name="ana"), at=make.NOW)
    Interval.objects.create(
        metric=make.metric(anomaly),
        resolution_seconds=300,
        started_at=anomaly.started_at,
        ended_at=make.NOW,
        peak=412,
        expected=38,
        upper=61,
        score=0.9,
    )
    make.api_key()
    make.grant()
    detectors.add_missing_settings()
    AgentPrincipal.objects.create(agent_id="ag_billing", principal_id="user_1", first_seen=make.NOW, last_seen=make.NOW)
    Series.objects.create(kind="agent", entity="ag_billing", metric="requests", first_time=make.NOW, last_time=make.NOW)
    Sighting.objects.create(
        principal_id="user_1", day=make.NOW.date(), action="login", succeeded=True, ip="192.0.2.1", country="NL",
        device="curl", logins=2, first_seen=make.NOW, last_seen=make.NOW,
    )  # fmt: skip
    SourceLag.objects.create(source=make.source(), day=make.NOW.date(), counts=[3, 1])
    ResponsePolicy.objects.create()
    AuditEntry.objects.create(
        developer_id="d", agent_id="a", agent_did="did", grant_id="g", principal_id="p", action="x", status="success",
        timestamp=make.NOW, hash="0" * 64,
    )  # fmt: skip


def test_every_model_is_registered_but_those_that_are_part_of_another() -> None:
    ours = {model for model in Batch._meta.apps.get_models() if model._meta.app_label == "anomalies"}
    parts = {
        ApiKeyUse,
        Authorization,
        Breach,
        BucketBlock,
        Bookmark,
        Interval,
        Metric,
        Notice,
        Outlook,
        SavedView,
        SearchDocument,
        ScanShare,
    }
    assert ours - set(OURS) == parts


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_lists_rows_and_histories_open_for_the_group_admin(
    rows: None, as_boss: Client, model: type[models.Model]
) -> None:
    assert as_boss.get(_page(model, "changelist")).status_code == 200
    assert as_boss.get(_page(model, "changelist"), {"q": "ag_billing"}).status_code == 200
    row = model._default_manager.first()
    if row is not None:
        answer = as_boss.get(_page(model, "change", row.pk))
        assert answer.status_code == 200
        assert answer.context["has_change_permission"] == (model._meta.model_name in EDITABLE)
        assert not answer.context["has_delete_permission"]
        assert as_boss.get(_page(model, "history", row.pk)).status_code == 200


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_only_what_people_make_can_be_added_and_nothing_deleted(as_boss: Client, model: type[models.Model]) -> None:
    page = as_boss.get(_page(model, "add"))
    assert page.status_code == (200 if model._meta.model_name in ADDABLE else 403)
    assert " object at 0x" not in page.text  # what the database sets has no value yet
    assert "delete_selected" not in as_boss.get(_page(model, "changelist")).content.decode()


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_people_who_are_no_staff_are_sent_to_the_login(as_ana: Client, model: type[models.Model]) -> None:
    for client in (as_ana, Client()):
        answer = client.get(_page(model, "changelist"))
        assert (answer.status_code, answer.url.split("?")[0]) == (302, reverse("admin:login"))


def test_who_is_signed_in_and_no_staff_gets_the_page_that_says_so(as_ana: Client) -> None:
    answer = as_ana.get(reverse("admin:index"), follow=True)
    assert answer.status_code == 403
    assert "You are signed in as <bdi>ana</bdi>" in answer.content.decode()
    assert Client().get(reverse("admin:login")).status_code == 200


def test_the_front_page_lists_what_people_look_for(as_boss: Client) -> None:
    [ours] = [app for app in as_boss.get(reverse("admin:index")).context["app_list"] if app["app_label"] == "anomalies"]
    assert {model["object_name"] for model in ours["models"]} == {
        "AccessFlow", "AccessRequest", "Agent", "Anomaly", "ApiKey", "AuditEntry", "Backtest", "Batch",
        "BulkReview", "Change", "Connection", "DetectorOverride", "DetectorSettings", "Event", "Grant",
        "Principal", "ResponsePolicy", "Retention", "Rule", "Scan", "Source", "Suppression",
    }  # fmt: skip


def test_times_are_told_by_24_hours_with_their_zone(rows: None, as_boss: Client) -> None:
    event = as_boss.get(reverse("admin:anomalies_event_changelist")).content.decode()
    assert re.search(r">\d{4}-\d\d-\d\d \d\d:\d\d UTC<", event)


def test_staff_who_only_look_change_nothing(rows: None, as_looking_staff: Client) -> None:
    settings = DetectorSettings.objects.first()
    assert settings is not None
    for model in OURS:
        closed = model._meta.model_name in ("apikey", "auditentry", "connection")
        assert as_looking_staff.get(_page(model, "changelist")).status_code == (403 if closed else 200)
        assert as_looking_staff.post(_page(model, "add")).status_code == 403
    for row in (settings, make.agent()):
        assert as_looking_staff.get(_page(type(row), "change", row.pk)).status_code == 200
        assert as_looking_staff.post(_page(type(row), "change", row.pk), {}).status_code == 403


def test_the_timeline_cannot_be_added_to_by_hand(rows: None, as_boss: Client) -> None:
    anomaly = make.anomaly()
    answer = as_boss.post(_page(type(anomaly), "change", anomaly.pk), {"status": "open"})
    assert answer.status_code == 403
    assert ReviewEntry.objects.filter(anomaly=anomaly).count() == 0
