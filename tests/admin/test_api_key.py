"""admin/api_key: made, shown once, rotated, revoked."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from anomalies.models import ApiKey, Change
from anomalies.services import api_keys
from tests import make

pytestmark = pytest.mark.django_db

LIST = reverse("admin:anomalies_apikey_changelist")


def _make(client: Client, **fields: object) -> HttpResponse:
    wanted = {
        "name": "siem",
        "scopes": ["read", "ingest"],
        "expires_at_0": "",
        "expires_at_1": "",
        "requests_per_minute": "",
        **fields,
    }
    return client.post(reverse("admin:anomalies_apikey_add"), wanted)


def test_a_new_key_is_shown_once_and_works(as_boss: Client) -> None:
    answer = _make(as_boss)
    shown = re.search(r"<code>(gx_live_[\w-]+)</code>", answer.content.decode())
    assert shown
    plain = shown[1]
    key = api_keys.find(plain, at=timezone.now())
    assert key is not None
    assert (key.name, key.scopes) == ("siem", ["ingest", "read"])
    assert "no-store" in answer["Cache-Control"]
    assert plain not in str(answer.cookies)
    for page in (LIST, reverse("admin:anomalies_apikey_change", args=[key.pk])):
        content = as_boss.get(page).content.decode()
        assert plain not in content
        assert key.sha256 not in content
    assert plain not in LogEntry.objects.get().change_message


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"name": ""}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["root"]}, "scopes"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "expires_at"),
        ({"requests_per_minute": "-1"}, "requests_per_minute"),
        ({"requests_per_minute": "1000001"}, "requests_per_minute"),
    ],
)
def test_a_wrong_field_is_named(as_boss: Client, fields: dict[str, object], wrong: str) -> None:
    assert list(_make(as_boss, **fields).context["adminform"].form.errors) == [wrong]
    assert not ApiKey.objects.exists()


def test_a_name_twice_is_refused(as_boss: Client) -> None:
    make.api_key(name="siem")
    assert list(_make(as_boss).context["adminform"].form.errors) == ["name"]


def test_a_revoked_key_lets_nobody_in(as_boss: Client) -> None:
    plain = make.api_key(name="siem")
    key = ApiKey.objects.get()
    revoke = {"action": "revoke", "_selected_action": [key.pk]}
    told = [str(message) for _ in range(2) for message in get_messages(as_boss.post(LIST, revoke).wsgi_request)]
    assert "1 revoked." in told
    assert "siem: it is already revoked." in told
    assert api_keys.find(plain, at=timezone.now()) is None
    assert LogEntry.objects.get().get_change_message() == "Revoked."


def _rotate(client: Client, key: ApiKey, hours: str = "24") -> HttpResponse:
    return client.post(reverse("admin:anomalies_apikey_rotate", args=[key.pk]), {"overlap_hours": hours})


def test_a_rotated_key_is_shown_once_and_the_old_lets_in_for_the_overlap(as_boss: Client) -> None:
    before = make.api_key(name="siem")
    old = ApiKey.objects.get()
    answer = _rotate(as_boss, old)
    shown = re.search(r"<code>(gx_live_[\w-]+)</code>", answer.content.decode())
    assert shown
    at = timezone.now()
    new = api_keys.find(shown[1], at=at)
    assert new is not None
    assert (new.name, new.replaces) == ("siem", old)
    assert api_keys.find(before, at=at + timedelta(hours=23)) == old
    assert api_keys.find(before, at=at + timedelta(hours=24)) is None
    assert "no-store" in answer["Cache-Control"]
    assert [(one.action, one.actor) for one in Change.objects.order_by("id")] == [
        ("created", "command line"), ("rotated", "boss"),
    ]  # fmt: skip
    assert "replaced, lets in until" in as_boss.get(LIST).content.decode()
    assert "takes the place of" in as_boss.get(reverse("admin:anomalies_apikey_rotate", args=[new.pk])).content.decode()


@pytest.mark.parametrize("hours", ["", "-1", "721", "soon"])
def test_an_overlap_without_sense_is_named_and_rotates_nothing(as_boss: Client, hours: str) -> None:
    make.api_key(name="siem")
    assert list(_rotate(as_boss, ApiKey.objects.get(), hours).context["form"].errors) == ["overlap_hours"]
    assert ApiKey.objects.count() == 1


def test_a_revoked_key_is_not_rotated(as_boss: Client) -> None:
    make.api_key(name="siem")
    key = ApiKey.objects.get()
    api_keys.revoke(key, at=timezone.now())
    assert "it is revoked" in str(_rotate(as_boss, key).context["form"].errors)
    assert ApiKey.objects.count() == 1


def test_the_list_rotates_one_key_at_a_time(as_boss: Client) -> None:
    for name in ("siem", "ci"):
        make.api_key(name=name)
    keys = [key.pk for key in ApiKey.objects.all()]
    one = as_boss.post(LIST, {"action": "rotate", "_selected_action": keys[:1]})
    assert one["Location"] == reverse("admin:anomalies_apikey_rotate", args=keys[:1])
    both = as_boss.post(LIST, {"action": "rotate", "_selected_action": keys}, follow=True)
    assert "Select one key" in both.content.decode()


def test_who_may_not_change_keys_rotates_none(as_reviewing_staff: Client) -> None:
    make.api_key(name="siem")
    key = ApiKey.objects.get()
    assert _rotate(as_reviewing_staff, key).status_code == 403
    assert ApiKey.objects.get() == key


def test_a_key_says_its_limit_and_state(as_boss: Client) -> None:
    _make(as_boss, requests_per_minute="60")
    page = as_boss.get(reverse("admin:anomalies_apikey_change", args=[ApiKey.objects.get().pk])).content.decode()
    assert ">60<" in page
    assert ">lets in<" in page
    assert "/rotate/" in page


def test_a_key_cannot_be_changed(as_boss: Client) -> None:
    make.api_key()
    change = reverse("admin:anomalies_apikey_change", args=[ApiKey.objects.get().pk])
    assert as_boss.post(change, {"name": "other"}).status_code == 403
