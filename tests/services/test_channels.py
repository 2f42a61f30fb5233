"""services/channels: what people make, change, switch, try out and delete."""

from typing import Any

import pytest

from anomalies.models import Change, Channel, Delivery
from anomalies.notifications import signature
from anomalies.notifications.http import HIDDEN
from anomalies.notifications.registry import KINDS
from anomalies.services import channels, encryption, routing
from anomalies.services.channels import ChannelChangedError, ChannelGoneError, ChannelTakenError, UnfitChannelError
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
        ("colour", {"colour": "red"}),
    ],
)
def test_settings_that_make_no_sense_are_named_and_nothing_is_made(field: str, fields: dict[str, Any]) -> None:
    channel()
    with pytest.raises(UnfitChannelError) as refused:
        channel(**{"name": "Other", **fields})
    assert list(refused.value.errors) == [field]
    assert Channel.objects.count() == 1


def test_what_is_left_out_is_as_usual_and_what_is_not_mentioned_stays() -> None:
    secret = "https://hooks.slack.com/services/T/B/x"
    made = channels.create("slack", {"name": "Desk", "url": secret}, by=BOSS, at=make.NOW)
    assert (made.least_severity, made.message_types) == (1, list(routing.USUAL))
    channels.change(made, {"timeout_seconds": 3}, seen_at=None, by=BOSS, at=LATER)
    made.refresh_from_db()
    assert channels.setup_of(made) == KINDS["slack"].setup(url=secret, timeout_seconds=3)
    assert (made.name, made.target, made.timeout_seconds) == ("Desk", "hooks.slack.com", 3)
    assert Change.objects.latest("id").changes == {"timeout_seconds": [10, 3]}


def test_making_the_same_channel_once_more_gives_the_one_there_is() -> None:
    asked = {"name": "Desk", "url": "https://example.com/hook", "signing_secret": SECRET}
    first = channels.create_once("webhook", asked, by=BOSS, at=make.NOW)
    channels.switch(first, on=False, by=BOSS, at=make.NOW)
    assert channels.create_once("webhook", asked, by=BOSS, at=LATER) == first
    others: list[dict[str, Any]] = [
        {"signing_secret": signature.new_secret()},
        {"headers": {"X-Key": "k3y"}},
        {"least_severity": 2},
        {"url": "https://example.com/other"},
    ]
    for other in others:
        with pytest.raises(ChannelTakenError, match="another channel “Desk”"):
            channels.create_once("webhook", {**asked, **other}, by=BOSS, at=LATER)
    with pytest.raises(ChannelTakenError):
        channels.create_once("slack", {"name": "Desk", "url": "https://example.com/hook"}, by=BOSS, at=LATER)
    with pytest.raises(UnfitChannelError):
        channels.create_once("webhook", {**asked, "name": "Desk\x00"}, by=BOSS, at=LATER)
    assert Channel.objects.count() == 1


def test_who_makes_the_same_channel_at_the_same_time_gets_the_one_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    create = channels.create

    def slow(*given: Any, **more: Any) -> Channel:
        create(*given, **more)  # somebody was faster
        return create(*given, **more)

    monkeypatch.setattr(channels, "create", slow)
    asked = {"name": "Desk", "url": "https://example.com/hook", "signing_secret": SECRET}
    assert channels.create_once("webhook", asked, by=BOSS, at=make.NOW) == Channel.objects.get()


def test_what_is_shown_of_a_channel_holds_no_secret() -> None:
    made = channel(headers={"X-Key": "k3y"}, auth="bearer", secret="t0ken")
    shown = channels.shown(made)
    assert (shown["headers"], shown["secret"], shown["signing_secret"]) == ({"X-Key": HIDDEN}, HIDDEN, HIDDEN)
    assert shown["url"] == "https://example.com/hook"


def test_a_token_that_is_not_needed_any_more_is_forgotten() -> None:
    made = channel(auth="bearer", secret="t0ken")
    change(made, auth="none")
    made.refresh_from_db()
    assert set(made.secrets_encrypted) == {"signing_secret"}


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
    assert (made.secrets_encrypted, made.enabled) == ({}, False)
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
    assert encryption.decrypt(Channel.objects.get().secrets_encrypted["secret"]) == "t0ken"


def test_what_is_announced_while_it_is_off_is_never_sent(at_its_own_time: None) -> None:
    made = channel()
    channels.switch(made, on=False, by=BOSS, at=LATER)
    say(make.anomaly())
    assert tell() == 0
    channels.switch(made, on=True, by=BOSS, at=LATER)
    assert tell() == 0
    assert [one.action for one in Change.objects.order_by("id")] == ["created", "disabled", "enabled"]
