"""web/notifications: channels, the form of one, its test, and what was sent."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django.utils.html import escape
from pytest_django.asserts import assertContains, assertNotContains

from anomalies.models import Channel, Delivery, DeliveryAttempt
from anomalies.notifications.kind import Kind
from anomalies.notifications.registry import KINDS
from anomalies.services import channels
from anomalies.web.notifications.channel_form import ChannelForm
from tests import make
from tests.conftest import _person
from tests.notifications.receiver import receiving, status
from tests.services.channels import SECRET, channel, say

pytestmark = pytest.mark.django_db


@pytest.fixture
def as_boss(client_of: Callable[[User], Client], db: None) -> Client:
    return client_of(_person("boss", "admin"))


def posted(kind: str = "webhook", **fields: Any) -> dict[str, Any]:
    form = ChannelForm(KINDS[kind])
    given = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    return {**given, "name": "Desk", "url": "https://example.com/hook", **fields}


def delivery(one: Channel, **fields: Any) -> Delivery:
    message = say(make.anomaly())
    now = timezone.now()
    wanted = {"next_attempt_at": now, "give_up_at": now + timedelta(days=1), **fields}
    return Delivery.objects.create(channel=one, message=message, anomaly=message.anomaly, **wanted)


def test_an_admin_makes_a_webhook_and_its_signing_secret_is_shown_before_only(as_boss: Client) -> None:
    assertContains(as_boss.get("/notifications/new/"), 'href="/notifications/new/webhook/"')
    assertContains(as_boss.get("/notifications/new/webhook/"), "whsec_")
    answer = as_boss.post("/notifications/new/webhook/", posted(signing_secret=SECRET, headers="X-Key: k3y-of-mine"))
    made = Channel.objects.get()
    assert answer.headers["Location"] == f"/notifications/{made.public_id}/"
    shown = as_boss.get(answer.headers["Location"])
    assertContains(shown, "X-Key: •••")
    assertNotContains(shown, SECRET)
    assertNotContains(shown, "k3y-of-mine")
    assert channels.setup_of(made).headers == {"X-Key": "k3y-of-mine"}


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_the_form_of_each_kind_asks_for_what_the_kind_declares(as_boss: Client, kind: Kind[Any]) -> None:
    assertContains(as_boss.get("/notifications/new/"), escape(kind.meaning))
    shown = as_boss.get(f"/notifications/new/{kind.name}/")
    refused = as_boss.post(f"/notifications/new/{kind.name}/", {"name": "Desk"})
    assert refused.status_code == 422
    for one in kind.settings:
        assertContains(shown, f'<label for="id_{one.name}">{one.label}</label>', html=True)
        assert one.name not in refused.context["form"].errors or one.required or one.shape in ("choice", "number")
    assert as_boss.get("/notifications/new/pigeon/").status_code == 404
    assert not Channel.objects.exists()


def test_a_channel_of_slack_is_made_and_its_address_is_shown_to_nobody_again(as_boss: Client, as_vic: Client) -> None:
    secret = "https://hooks.slack.com/services/T01/B01/secretsecret"
    asked = posted("slack", url=secret)
    as_boss.post("/notifications/new/slack/", asked)
    made = Channel.objects.get()
    assert channels.setup_of(made).url == secret
    page = f"/notifications/{made.public_id}/"
    for who in (as_boss, as_vic):
        assertNotContains(who.get(page), "secretsecret")
        assertContains(who.get("/notifications/"), "hooks.slack.com")
    assertContains(as_boss.get(page), "Set; empty leaves it as it is")
    as_boss.post(page, {**asked, "url": "", "name": "Other"})
    assert channels.setup_of(Channel.objects.get(name="Other")).url == secret


@pytest.mark.parametrize(
    ("label", "fields"),
    [
        ("URL", {"url": "http://example.com/"}),
        ("Body, JSON", {"template": '{"a": "{{ nobody }}"}'}),
        ("Headers", {"headers": "nonsense"}),
        ("The answer must say", {"validators": "nonsense"}),
        ("Filter", {"filter": "status=open"}),
        ("Timeout, seconds", {"timeout_seconds": "0"}),
        ("Token or client secret", {"auth": "bearer"}),
        ("Messages", {"message_types": []}),
        ("Signing secret", {"signing_secret": "short"}),
        ("Quiet to", {"quiet_from": "22:00"}),
        ("Quiet hours begin on", {"quiet_from": "22:00", "quiet_to": "07:00", "quiet_days": []}),
        ("Time zone", {"time_zone": "Mars/Base"}),
        ("Daily digest at", {"pace": "daily", "digest_at": "25:00"}),
    ],
)
def test_what_makes_no_sense_is_named_and_shown_again(as_boss: Client, label: str, fields: dict[str, Any]) -> None:
    answer = as_boss.post("/notifications/new/webhook/", posted(name="Kept <b>", **fields))
    assert answer.status_code == 422
    assertContains(answer, f"<li><bdi>{label}: ", status_code=422)
    assertContains(answer, "Kept &lt;b&gt;", status_code=422)
    assert not Channel.objects.exists()


def test_a_channel_is_changed_switched_and_deleted(as_boss: Client) -> None:
    made = channel()
    page = f"/notifications/{made.public_id}/"
    seen = made.updated_at.isoformat()
    as_boss.post(page, posted(name="Other", signing_secret="", seen_at=seen))
    assertContains(as_boss.post(page, posted(name="Third", signing_secret="", seen_at=seen), follow=True),
                   "boss changed it meanwhile", status_code=422)  # fmt: skip
    as_boss.post(f"{page}switch/", {"on": "0"})
    made.refresh_from_db()
    assert (made.name, made.enabled) == ("Other", False)
    as_boss.post(f"{page}delete/")
    assert as_boss.get(page).status_code == 404
    assertContains(as_boss.get("/notifications/"), "No channel yet")


def test_a_test_shows_what_was_sent_and_what_came_back(as_boss: Client, settings: Any) -> None:
    settings.ANOMALIES_ALLOW_HTTP_WEBHOOKS, settings.ANOMALIES_ALLOW_PRIVATE_WEBHOOKS = True, ["127.0.0.1"]
    with receiving(status(200, b'{"status": "<no>"}')) as there:
        made = channel(there.url, validators="$.status = ok")
        answer = as_boss.post(f"/notifications/{made.public_id}/test/", follow=True)
    assertContains(answer, "&lt;no&gt;, expected ok")
    assertContains(answer, "webhook-signature: v1,")
    assert len(there.received) == 1


def test_who_may_not_change_sees_and_changes_nothing(as_ana: Client, as_zoe: Client) -> None:
    made = channel(auth="bearer", secret="t0ken")
    page = f"/notifications/{made.public_id}/"
    assertNotContains(as_ana.get(page), "<textarea")
    sent = delivery(made)
    for path in (page, f"{page}test/", f"{page}switch/", f"{page}delete/", "/notifications/new/",
                 f"/notifications/deliveries/{sent.public_id}/replay/"):  # fmt: skip
        assert as_ana.post(path, posted()).status_code == (405 if path == "/notifications/new/" else 403)
    for path in (page, "/notifications/", f"/notifications/deliveries/{sent.public_id}/"):
        assert as_ana.get(path).status_code == 200
        assert as_zoe.get(path).status_code == 403
    assert as_ana.get("/notifications/chan_none/").status_code == 404


def test_a_delivery_shows_its_attempts_and_is_replayed(as_boss: Client) -> None:
    dead = delivery(channel(), status="dead", finished_at=timezone.now(), outcome="answered 500")
    told = {"method": "POST", "url": "https://example.com", "seconds": 0.1, "status": 500, "response_body": "<oops>"}
    DeliveryAttempt.objects.create(delivery=dead, at=timezone.now(), ok=False, words="answered 500", outcome=told)
    page = f"/notifications/deliveries/{dead.public_id}/"
    assertContains(as_boss.get(page), "&lt;oops&gt;")
    assertContains(as_boss.get("/notifications/"), '<td data-is="failures in 24 h:" class="warn">1</td>', html=True)
    assertContains(as_boss.get("/notifications/"), '<td title="anomaly.detected">Detected, or up for review again</td>')
    as_boss.post(f"{page}replay/")
    dead.refresh_from_db()
    assert dead.status == "pending"


def test_what_waits_for_a_digest_after_quiet_hours_does_not_wait_for_them_alone(as_vic: Client) -> None:
    from_, to, digest_at = (f"{timezone.now() + timedelta(hours=hours):%H:%M}" for hours in (-1, 1, 3))
    made = channel(pace="daily", digest_at=digest_at, quiet_from=from_, quiet_to=to)
    page = f"/notifications/deliveries/{delivery(made).public_id}/"
    assertContains(as_vic.get(page), "for the next digest")
    Channel.objects.update(pace="at_once")
    assertContains(as_vic.get(page), "for quiet hours to end")


def test_a_channel_says_when_it_is_told_what_waits(as_boss: Client, as_vic: Client) -> None:
    as_boss.post("/notifications/new/webhook/", posted(pace="daily", digest_at="09:00", time_zone="Europe/Berlin"))
    made = Channel.objects.get()
    assert (made.pace, made.time_zone, made.quiet_days) == ("daily", "Europe/Berlin", [*range(7)])
    page = f"/notifications/{made.public_id}/"
    assertContains(as_vic.get(page), "nothing waits yet")
    waits = delivery(made)
    assertContains(as_vic.get(page), "1 message waits until then")
    assertContains(as_vic.get(f"/notifications/deliveries/{waits.public_id}/"), "for the next digest")
    as_boss.post(page, posted(signing_secret="", pace="at_once", quiet_from="00:00", quiet_to="23:59", quiet_days=[]))
    assertContains(as_boss.get(page), "it is told in digests")  # refused: quiet on no day
    now = timezone.now()
    days = [(now.weekday() - 1) % 7, now.weekday()]
    quiet = {"quiet_from": "00:00", "quiet_to": "00:00", "quiet_days": days, "urgent_at_once": "on"}
    as_boss.post(page, posted(signing_secret="", **quiet))
    assertContains(as_vic.get(page), "quiet hours until")
    assertContains(as_vic.get(page), "High severity does not wait")
    assertContains(as_vic.get("/notifications/"), "<td>Quiet</td>", html=True)


def test_pagerduty_takes_no_digests(as_boss: Client) -> None:
    asked = posted("pagerduty", routing_key="0" * 32)
    assertContains(as_boss.post("/notifications/new/pagerduty/", {**asked, "pace": "daily"}), "When: ", status_code=422)
    as_boss.post("/notifications/new/pagerduty/", asked)
    assert Channel.objects.get().pace == "at_once"


def test_what_was_sent_together_is_listed_and_its_attempt_shown_with_each(as_vic: Client) -> None:
    one = channel()
    sent = [delivery(one, digest="dgst_1", status="delivered", finished_at=timezone.now()) for _ in range(3)]
    delivery(one)
    told = {"method": "POST", "url": "https://example.com", "seconds": 0.1, "status": 200, "response_body": "fine"}
    DeliveryAttempt.objects.create(delivery=sent[0], at=timezone.now(), ok=True, words="answered 200", outcome=told)
    assert len(as_vic.get("/notifications/?digest=dgst_1").context["deliveries"]) == 3
    page = as_vic.get(f"/notifications/deliveries/{sent[2].public_id}/")
    assertContains(page, "2 other messages")
    assertContains(page, "fine")


def test_deliveries_are_filtered_and_paged(
    as_vic: Client, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    one = channel()
    sent = [delivery(one) for _ in range(51)]
    with django_assert_num_queries(7):
        first = as_vic.get("/notifications/?status=pending")
    assert [row.pk for row, _ in first.context["deliveries"]] == [row.pk for row in reversed(sent[1:])]
    older = as_vic.get(f"/notifications/?status=pending&older={first.context['older'].public_id}")
    assert [row.pk for row, _ in older.context["deliveries"]] == [sent[0].pk]
    assert not as_vic.get("/notifications/?status=dead").context["deliveries"]
    assertContains(as_vic.get("/notifications/?status=odd&x=1"), "Status: there is no “odd”.")


def test_the_timeline_of_an_anomaly_says_who_was_told_of_it(as_vic: Client) -> None:
    at = make.NOW.replace(hour=14, minute=6)
    sent = delivery(channel(), status="delivered", finished_at=at)
    assertContains(as_vic.get(f"/anomalies/{sent.anomaly.public_id}/"), "Sent to Desk: detected (delivered 14:06)")
