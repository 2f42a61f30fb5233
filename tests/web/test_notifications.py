"""web/notifications: channels, the form of one, its test, and what was sent."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django.asserts import assertContains, assertNotContains

from anomalies.models import Channel, Delivery, DeliveryAttempt
from anomalies.services import channels
from anomalies.web.channel_form import ChannelForm
from tests import make
from tests.conftest import _person
from tests.notifications.receiver import receiving, status
from tests.services.channels import SECRET, channel, say

pytestmark = pytest.mark.django_db


@pytest.fixture
def as_boss(client_of: Callable[[User], Client], db: None) -> Client:
    return client_of(_person("boss", "admin"))


def posted(**fields: Any) -> dict[str, Any]:
    form = ChannelForm(None)
    given = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    return {**given, "name": "Desk", "url": "https://example.com/hook", "auth": "none", "method": "POST", **fields}


def delivery(one: Channel, **fields: Any) -> Delivery:
    message = say(make.anomaly())
    now = timezone.now()
    wanted = {"next_attempt_at": now, "give_up_at": now + timedelta(days=1), **fields}
    return Delivery.objects.create(channel=one, message=message, anomaly=message.anomaly, **wanted)


def test_an_admin_makes_a_webhook_and_its_signing_secret_is_shown_before_only(as_boss: Client) -> None:
    assertContains(as_boss.get("/notifications/new/"), "whsec_")
    answer = as_boss.post("/notifications/new/", posted(signing_secret=SECRET, headers="X-Key: k3y-of-mine"))
    made = Channel.objects.get()
    assert answer.headers["Location"] == f"/notifications/{made.public_id}/"
    shown = as_boss.get(answer.headers["Location"])
    assertContains(shown, "X-Key: •••")
    assertNotContains(shown, SECRET)
    assertNotContains(shown, "k3y-of-mine")
    assert channels.headers_of(made) == {"X-Key": "k3y-of-mine"}


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
    ],
)
def test_what_makes_no_sense_is_named_and_shown_again(as_boss: Client, label: str, fields: dict[str, Any]) -> None:
    answer = as_boss.post("/notifications/new/", posted(name="Kept <b>", **fields))
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
        assert as_ana.post(path, posted()).status_code == 403
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
    assertContains(as_boss.get("/notifications/"), '<td class="warn">1</td>', html=True)
    as_boss.post(f"{page}replay/")
    dead.refresh_from_db()
    assert dead.status == "pending"


def test_deliveries_are_filtered_and_paged(
    as_vic: Client, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    one = channel()
    sent = [delivery(one) for _ in range(51)]
    with django_assert_num_queries(10):
        first = as_vic.get("/notifications/?status=pending")
    assert [row.pk for row in first.context["deliveries"]] == [row.pk for row in reversed(sent[1:])]
    older = as_vic.get(f"/notifications/?status=pending&older={first.context['older'].public_id}")
    assert [row.pk for row in older.context["deliveries"]] == [sent[0].pk]
    assert not as_vic.get("/notifications/?status=dead").context["deliveries"]
    assertContains(as_vic.get("/notifications/?status=odd&x=1"), "Status: there is no “odd”.")


def test_the_timeline_of_an_anomaly_says_who_was_told_of_it(as_vic: Client) -> None:
    at = make.NOW.replace(hour=14, minute=6)
    sent = delivery(channel(), status="delivered", finished_at=at)
    assertContains(as_vic.get(f"/anomalies/{sent.anomaly.public_id}/"), "Sent to Desk: detected (delivered 14:06)")
