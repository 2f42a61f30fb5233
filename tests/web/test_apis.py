"""web/apis: the page of the APIs; and what the APIs list, which is what the page lists."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from anomalies.models import Anomaly, ReviewEntry, Suppression
from anomalies.services import reviews
from anomalies.services.actor import Actor
from tests import make
from tests.api.documents import namespaces

pytestmark = pytest.mark.django_db

ANA = Actor(name="ana")


def test_the_page_lists_every_api_with_its_reference(as_vic: Client) -> None:
    page = as_vic.get(reverse("api_list")).text
    for namespace in namespaces():
        for name in ("openapi-view", "openapi-json"):
            assert f'href="{reverse(f"{namespace}:{name}")}"' in page
    assert f'<a class="item" href="{reverse("api_list")}">' in page  # the menu of the user leads there


def test_a_reference_is_made_of_files_of_our_own_and_scripts_that_the_policy_lets_run(as_vic: Client) -> None:
    for namespace in namespaces():
        answer = as_vic.get(reverse(f"{namespace}:openapi-view"))
        assert "default-src 'self'" in answer["content-security-policy"]
        assert "//" not in answer.text
        run = answer.text.count("<script") - answer.text.count('<script type="application/json"')
        assert run == answer.text.count("<script src=") == 2


def test_references_are_for_people_who_are_logged_in(as_zoe: Client) -> None:
    for namespace in namespaces():
        for name in ("openapi-view", "openapi-json"):
            assert Client().get(reverse(f"{namespace}:{name}")).status_code == 302
    assert Client().get(reverse("api_list")).status_code == 302
    assert as_zoe.get(reverse("api_list")).status_code == 403


def _one_of_each() -> dict[str, Anomaly]:
    """An anomaly in each of the ways in which one may be there, each detected and made a minute after the last."""
    names = ("open", "acknowledged", "resolved", "snoozed", "suppressed", "withdrawn", "past")
    later, scan = make.NOW + timedelta(hours=1), make.scan()
    made = {}
    for number, name in enumerate([*names, "part", "merged", "whole"]):
        at = make.NOW + timedelta(minutes=number)
        made[name] = make.anomaly(detected_at=at, created_at=at, of_the_past=name == "past", scan=scan)
    reviews.acknowledge(made["acknowledged"], by=ANA, at=later)
    reviews.resolve(made["resolved"], verdict="benign", by=ANA, at=later)
    reviews.snooze(made["snoozed"], until=later + timedelta(days=1), by=ANA, at=later)
    suppression = Suppression.objects.create(reason="The auditors' scan", owner="ana")
    for name, fields in {
        "suppressed": {"suppression": suppression},
        "withdrawn": {"state": "withdrawn", "ended_at": later},
        "part": {"merged_into": made["whole"]},
        "merged": {"merged_into": made["whole"]},
    }.items():
        Anomaly.objects.filter(pk=made[name].pk).update(**fields)
    for name, at in {"part": scan.now, "merged": later}.items():  # in the scan that raised it, and in a later one
        ReviewEntry.objects.create(anomaly=made[name], action="merged", at=at, actor="detection")
    return made


def _page(client: Client, address: str) -> list[str]:
    return [row.anomaly.public_id for row in client.get(address).context["rows"]]


def _called(url: str) -> Any:
    answer = Client(headers={"authorization": f"Bearer {make.api_key(name=url)}"}).get(url)
    assert answer.status_code == 200, answer.content
    return json.loads(answer.getvalue())  # some are sent in parts


def test_grantex_lists_what_the_page_does_in_its_order(as_vic: Client) -> None:
    _one_of_each()
    assert [one["id"] for one in _called("/v1/anomalies")["anomalies"]] == _page(as_vic, "/")
    up_for_review = [one["id"] for one in _called("/v1/anomalies?unacknowledged=true")["anomalies"]]
    assert up_for_review == _page(as_vic, "/?status=open")


def test_cloudlock_lists_what_the_page_does_and_keeps_what_was_merged_later(as_vic: Client) -> None:
    """No item is ever taken off that list: the offsets of a poller would point elsewhere."""
    made = _one_of_each()
    items = {item["id"]: item["status"] for item in _called("/api/v2/threats")["items"]}
    shown = {*_page(as_vic, "/")}
    expected = {one.pk for one in made.values() if one.public_id in shown} | {made["merged"].pk}
    assert items.keys() == expected
    dismissed = {name for name, one in made.items() if items.get(one.pk) == "DISMISSED"}
    assert dismissed == {"resolved", "suppressed", "withdrawn", "merged"}


def test_anodot_lists_what_the_page_does_in_its_order_but_what_turned_out_to_be_none(as_vic: Client) -> None:
    """Its clients know no anomaly that is withdrawn: it is neither open nor over."""
    made = _one_of_each()
    expected = [one for one in _page(as_vic, "/") if one != made["withdrawn"].public_id]
    assert made["withdrawn"].public_id in _page(as_vic, "/")
    told = _called("/api/v2/anomalies")
    assert [one["id"] for one in told["anomalies"]] == expected
    assert told["total"] == _called("/api/v2/anomalies/count")["total"] == len(expected)
