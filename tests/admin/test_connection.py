"""admin: the connections by which access is revoked."""

from typing import Any

import pytest
from django.test import Client

from anomalies.models import Change, Connection
from anomalies.services import encryption
from tests.notifications.receiver import Receiver

pytestmark = pytest.mark.django_db
ADD = "/admin/anomalies/connection/add/"
VALUES = {
    "integration": "postgres-eu",
    "enabled": "on",
    "method": "POST",
    "url": "https://hooks.example.com/revoke",
    "headers_listed": "X-Team: security\n",
    "timeout_seconds": "10",
    "secret": "s3cret",
}


def change_url() -> str:
    return f"/admin/anomalies/connection/{Connection.objects.get().pk}/change/"


def test_a_connection_is_kept_with_its_secret_encrypted_and_never_shown(as_boss: Client) -> None:
    assert as_boss.post(ADD, VALUES).status_code == 302
    one = Connection.objects.get()
    assert (one.integration, one.headers, one.updated_by) == ("postgres-eu", {"X-Team": "security"}, "boss")
    assert encryption.decrypt(one.secret_encrypted) == "s3cret"
    assert "s3cret" not in as_boss.get(change_url()).text
    as_boss.post(change_url(), {**VALUES, "secret": "", "timeout_seconds": "20"})
    one.refresh_from_db()
    assert (one.timeout_seconds, encryption.decrypt(one.secret_encrypted)) == (20, "s3cret")
    as_boss.post(change_url(), {**VALUES, "secret": "", "forget_secret": "on"})
    one.refresh_from_db()
    assert one.secret_encrypted == ""
    told = list(Change.objects.order_by("id").values_list("action", "actor"))
    assert told == [("created", "boss"), ("changed", "boss"), ("changed", "boss")]
    assert "s3cret" not in str(list(Change.objects.values()))


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ({"url": "http://hooks.example.com/"}, "It begins with https://, nothing else is called."),
        ({"headers_listed": "no colon"}, "“no colon” has no colon after its name."),
        ({"headers_listed": "Authorization: Basic x"}, "Authorization is set by the secret."),
        ({"secret": "two words"}, "It contains a space or a letter that no header can carry."),
        ({"timeout_seconds": "0"}, "From 1 to 60 seconds."),
        ({"forget_secret": "on"}, "Enter a new secret, or forget the one there is."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(as_boss: Client, typed: dict[str, str], complaint: str) -> None:
    response = as_boss.post(ADD, {**VALUES, **typed})
    assert complaint in response.text
    assert not Connection.objects.exists()


def test_a_test_shows_what_was_sent_and_what_came_back(as_boss: Client, there: Receiver, settings: Any) -> None:
    settings.ANOMALIES_ALLOW_HTTP_WEBHOOKS = True
    settings.ANOMALIES_ALLOW_PRIVATE_WEBHOOKS = ["127.0.0.0/8"]
    as_boss.post(ADD, {**VALUES, "url": there.url})
    page = as_boss.post(change_url(), {**VALUES, "secret": "", "url": there.url, "_test": "1"}, follow=True)
    assert "Saved, and tested: answered 200." in page.text
    assert "Bearer •••" in page.text
    assert there.received[0].json["type"] == "test"
    assert there.received[0].headers["Authorization"] == "Bearer s3cret"
    assert Change.objects.latest("id").action == "tested"


def test_a_test_into_a_private_network_says_that_it_was_not_made(
    as_boss: Client, there: Receiver, settings: Any
) -> None:
    settings.ANOMALIES_ALLOW_HTTP_WEBHOOKS = True
    as_boss.post(ADD, {**VALUES, "url": there.url})
    page = as_boss.post(change_url(), {**VALUES, "url": there.url, "_test": "1"}, follow=True)
    assert "Saved, and tested: 127.0.0.1 leads to 127.0.0.1, which is inside a private network.<" in page.text
    assert there.received == []


def test_reviewers_neither_see_nor_make_connections(as_reviewing_staff: Client) -> None:
    for path in (ADD, "/admin/anomalies/connection/"):
        assert as_reviewing_staff.get(path).status_code == 403
