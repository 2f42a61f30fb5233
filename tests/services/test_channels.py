"""services/channels: what people make, change, switch, try out and delete."""

from typing import Any

import pytest

from anomalies.models import Change, Channel, Delivery
from anomalies.services import channels, encryption
from anomalies.services.channels import ChannelChangedError, ChannelGoneError, UnfitChannelError
from tests import make
from tests.notifications.receiver import receiving, status
from tests.services.channels import BOSS, SECRET, channel, say, tell, wanted

pytestmark = pytest.mark.django_db
LATER = make.NOW.replace(hour=13)


def change(one: Channel, **fields: Any) -> None:
    channels.change(one, wanted(**{"signing_secret": None, **fields}), seen_at=None, by=BOSS, at=LATER)


def test_secrets_are_encrypted_and_in_no_record() -> None:
    made = channel(headers={"X-Key": "k3y-of-mine"}, auth="bearer", secret="t0ken")
    change(made, auth="bearer", secret="other-t0ken")
    made.refresh_from_db()
    row = str(Channel.objects.values().get()) + str(list(Change.objects.values()))
    assert not [secret for secret in ("k3y-of-mine", "t0ken", SECRET) if secret in row]
    setup = channels.setup_of(made)
    assert (setup.headers, setup.secret, setup.signing_secret) == ({}, "other-t0ken", SECRET)
    assert Change.objects.latest("id").changes == {"headers": ["set", "none"], "secret": ["set", "changed"]}


def test_a_secret_that_is_not_entered_again_stays() -> None:
    made = channel(headers={"X-Key": "k3y-of-mine", "X-Other": "1"}, auth="bearer", secret="t0ken")
    change(made, headers={"X-Key": "•••", "X-New": "2"}, auth="bearer", name="Another")
    made.refresh_from_db()
    setup = channels.setup_of(made)
    assert (setup.headers, setup.secret, made.name) == ({"X-Key": "k3y-of-mine", "X-New": "2"}, "t0ken", "Another")


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("secret", {"auth": "bearer", "url": "https://elsewhere.example/hook"}),
        ("secret", {"auth": "oauth", "token_url": "https://example.com/token", "client_id": "me"}),
        ("headers", {"headers": {"X-Key": "•••"}, "url": "https://elsewhere.example/hook"}),
    ],
)
def test_a_secret_goes_to_no_other_host_unless_it_is_entered_again(field: str, fields: dict[str, Any]) -> None:
    made = channel(headers={"X-Key": "k3y"}, auth="bearer", secret="t0ken")
    with pytest.raises(UnfitChannelError) as refused:
        change(made, **fields)
    assert refused.value.errors == {field: "Enter it again: it would go to another host."}


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("name", {"name": " "}),
        ("name", {"name": "Desk"}),
        ("name", {"name": "x" * 101}),
        ("name", {"name": "a\x00"}),
        ("url", {"url": "http://example.com"}),
        ("headers", {"headers": {"X-Key": "•••"}}),
        ("template", {"template": '{"a": "{{ nobody }}"}'}),
        ("validators", {"validators": "status"}),
        ("least_severity", {"least_severity": 9}),
        ("message_types", {"message_types": []}),
        ("message_types", {"message_types": ["anomaly.nothing"]}),
        ("filter", {"filter": "status=open"}),
        ("filter", {"filter": "type=nothing"}),
        ("filter", {"filter": "nonsense"}),
    ],
)
def test_settings_that_make_no_sense_are_named_and_nothing_is_made(field: str, fields: dict[str, Any]) -> None:
    channel()
    with pytest.raises(UnfitChannelError) as refused:
        channel(**{"name": "Other", **fields})
    assert list(refused.value.errors) == [field]
    assert Channel.objects.count() == 1


def test_a_page_that_is_stale_changes_nothing() -> None:
    made = channel()
    seen = made.updated_at
    change(made, name="Another")
    with pytest.raises(ChannelChangedError, match="boss changed it meanwhile"):
        channels.change(made, wanted(name="Third"), seen_at=seen, by=BOSS, at=LATER)


def test_a_deleted_channel_keeps_its_record_but_no_secret_and_its_name_is_free(settings: Any) -> None:
    made = channel(auth="bearer", secret="t0ken")
    Delivery.objects.create(
        channel=made, message=(message := say(make.anomaly())), anomaly=message.anomaly,
        next_attempt_at=make.NOW, give_up_at=LATER,
    )  # fmt: skip
    channels.delete(made, by=BOSS, at=LATER)
    made.refresh_from_db()
    assert (made.secret_encrypted, made.signing_secret_encrypted, made.enabled) == ("", "", False)
    assert made.deliveries.get().status == "dead"
    channel()
    with pytest.raises(ChannelGoneError):
        channels.switch(made, on=True, by=BOSS, at=LATER)


def test_a_test_sends_a_sample_now_and_keeps_what_came_of_it(settings: Any) -> None:
    settings.ANOMALIES_ALLOW_HTTP_WEBHOOKS, settings.ANOMALIES_ALLOW_PRIVATE_WEBHOOKS = True, ["127.0.0.1"]
    with receiving(status(200, b'{"status": "no"}')) as there:
        made = channel(there.url, validators="$.status = ok")
        outcome = channels.test(made, by=BOSS, at=LATER)
    assert there.received[0].json["type"] == "test"
    assert not outcome.delivered
    made.refresh_from_db()
    assert made.tested_at == LATER
    assert made.test_outcome["words"] == "answered 200, but $.status is no, not ok"
    assert Change.objects.latest("id").action == "tested"


def test_a_secret_of_another_key_is_no_crash(settings: Any) -> None:
    made = channel(auth="bearer", secret="t0ken")
    settings.ANOMALIES_ENCRYPTION_KEY = "another"
    assert "another key" in channels.test(made, by=BOSS, at=LATER).words
    with pytest.raises(UnfitChannelError) as refused:
        change(made, auth="bearer")
    assert set(refused.value.errors) == {"secret", "signing_secret"}
    change(made, auth="bearer", secret="t0ken", signing_secret=SECRET)
    assert encryption.decrypt(Channel.objects.get().secret_encrypted) == "t0ken"


def test_what_is_announced_while_it_is_off_is_never_sent(at_its_own_time: None) -> None:
    made = channel()
    channels.switch(made, on=False, by=BOSS, at=LATER)
    say(make.anomaly())
    assert tell() == 0
    channels.switch(made, on=True, by=BOSS, at=LATER)
    assert tell() == 0
    assert [one.action for one in Change.objects.order_by("id")] == ["created", "disabled", "enabled"]
