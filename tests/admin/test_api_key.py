"""admin/api_key: made, shown once, revoked."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from anomalies.models import ApiKey
from anomalies.services import api_keys
from tests import make

pytestmark = pytest.mark.django_db

LIST = reverse("admin:anomalies_apikey_changelist")


def _make(client: Client, **fields: object) -> HttpResponse:
    wanted = {"name": "siem", "scopes": ["read", "ingest"], "expires_at_0": "", "expires_at_1": "", **fields}
    return client.post(reverse("admin:anomalies_apikey_add"), wanted)


def test_a_new_key_is_shown_once_and_works(as_boss: Client) -> None:
    answer = _make(as_boss)
    shown = re.search(r"<code>(gx_live_[\w-]+)</code>", answer.content.decode())
    assert shown
    plain = shown[1]
    key = api_keys.authenticate(plain, at=timezone.now())
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
    assert api_keys.authenticate(plain, at=timezone.now()) is None
    assert LogEntry.objects.get().get_change_message() == "Revoked."


def test_a_key_cannot_be_changed(as_boss: Client) -> None:
    make.api_key()
    change = reverse("admin:anomalies_apikey_change", args=[ApiKey.objects.get().pk])
    assert as_boss.post(change, {"name": "other"}).status_code == 403
