"""web/types: the Anomaly Types Reference says what the published one says, and what is configured."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from html import unescape

import pytest
from django.test import Client
from pytest_django.asserts import assertContains

from anomalies.models import DetectorSettings
from tests import make

pytestmark = pytest.mark.django_db
PUBLISHED = {
    "Request high risk access": [
        "Triggered when elevated access is requested to a sensitive resource and may pose risks to the organization",
        "Sensitive Resource: Resource name or tag contains one of the following: customer, phi, pii, prod",
        "Elevated Access: Permission name contains one of the following: admin, full access, owner",
        "Investigate this request.",
        "Consider revoking this request.",
    ],
    "Approved after being rejected in the past": [
        "Triggered when a request of similar scope was manually rejected and subsequently approved within the last 90 "
        "days",
        "The requester should not have access.",
        "Due to human error, the request has been approved.",
        "Validate the approval with the previous and current approvers.",
        "Consider revoking this request.",
    ],
    "Inactive user detected": [
        "Triggered when a user makes a request for the first time in 90 days",
        "The requester is an Infrequent user who needs new access.",
        "The requester was recently on leave.",
        "A client-side IdP off-boarding misconfiguration has permitted a requester who has recently separated from the "
        "company to retain request permissions.",
        "Validate the user should be granted access.",
    ],
    "Access automation detected": [
        "Code has made repeated requests with similar",
        "omeone is using CLI commands or other cloud automations to bypass the just-in-time mechanism.",
        "Investigate the request with the requester.",
    ],
}


@pytest.mark.parametrize("label", PUBLISHED)
def test_each_published_sentence_stands_with_its_type(as_vic: Client, label: str) -> None:
    text = unescape(as_vic.get("/types/").text)
    assert "<h1>Anomaly Types Reference</h1>" in text
    section = next(part for part in text.split("<section")[1:] if f'-title">{label} ' in part)
    for sentence in PUBLISHED[label]:
        assert sentence in section


def test_what_is_configured_stands_beside_the_default(as_vic: Client) -> None:
    DetectorSettings.objects.create(type="rate_spike", enabled=False, parameters={"min_excess": 9.0})
    response = as_vic.get("/types/")
    assertContains(
        response, '<td data-is="now"><b>9</b></td><td data-is="default">3</td><td data-is="unit">events</td>'
    )
    assertContains(response, "switched off, 1 changed")


def test_the_reference_asks_little(
    as_vic: Client, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    with django_assert_num_queries(4):
        as_vic.get("/types/")


def test_details_lead_to_the_reference_of_their_type(as_vic: Client) -> None:
    anomaly = make.anomaly()
    assertContains(as_vic.get(f"/anomalies/{anomaly.public_id}/"), 'href="/types/#rate_spike"')
