"""The words of an anomaly are found, follow what is changed, and are left alone by decisions."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from anomalies.models import Anomaly
from anomalies.services import reviews
from anomalies.services.actor import Actor
from anomalies.services.search import found_by
from tests import make

pytestmark = pytest.mark.django_db


def found(text: str) -> list[str]:
    return [anomaly.description for anomaly in Anomaly.objects.filter(found_by(text))]


@pytest.mark.parametrize(
    ("ip", "text", "is_found"),
    [
        ("10.2.0.14", "10.2.0.14", True),
        ("10.2.0.14", "10.2.0.1", False),  # another address, whole
        ("10.2.0.14", "10.2.0.", True),
        ("10.2.0.14", "10.2.0.14 export", True),
        ("10.2.0.14", "10.2.0.1 export", False),
        ("2001:db8::1", "2001:db8::1", True),
        ("2001:db8::1", "2001:0DB8:0:0::1", True),
        ("2001:db8::17", "2001:db8::1", False),
        ("2001:db8::17", "2001:db8:", True),
        ("2001:db8:1:2::17", "2001:db8:1:2::", True),  # whole as well, and a beginning as people write one
        ("fe80::1", "fe80::", True),
        ("::1", "::1", True),
        ("::1.2.3.4", "::102:304", True),  # as it was written once
        ("::ffff:10.2.0.14", "::ffff:10.2.0.14", True),
        ("::ffff:10.2.0.14", "::ffff:a02:e", True),
    ],
)
def test_an_address_is_found_whole_in_any_spelling_or_by_its_beginning(ip: str, text: str, is_found: bool) -> None:
    make.anomaly(description="an export", ip=ip)
    make.anomaly(description="another", ip="192.0.2.1")
    assert found(text) == (["an export"] if is_found else [])


def test_an_address_in_a_description_is_found() -> None:
    make.anomaly(description="From 198.51.100.7 (Berlin)")
    assert found("198.51.100.7") == ["From 198.51.100.7 (Berlin)"]
    assert found("198.51.100.70") == []


def test_a_name_that_begins_with_an_address_is_found() -> None:
    make.anomaly(description="10.0.0.1.proxy.example.com was reached")
    assert len(found("10.0.0.1")) == 1


@pytest.mark.parametrize("change", [{"description": "payroll"}, {"title": "payroll"}, {"resource": "db/payroll"}])
def test_words_follow_what_is_changed(change: dict[str, Any]) -> None:
    anomaly = make.anomaly(description="invoices", resource="db/invoices", title="invoices")
    Anomaly.objects.filter(pk=anomaly.pk).update(**dict.fromkeys(("description", "resource", "title"), ""))
    assert found("invoices") == []
    Anomaly.objects.filter(pk=anomaly.pk).update(**change)
    assert len(found("payroll")) == 1


def test_a_new_name_is_found_and_the_old_one_no_more(ana: User) -> None:
    anomaly = make.anomaly()
    by = Actor("ana", ana)
    reviews.rename(anomaly, title="quarterly export", by=by, at=timezone.now())
    assert len(found("quarterly")) == 1
    reviews.rename(anomaly, title="", by=by, at=timezone.now())
    assert found("quarterly") == []


def test_a_decision_writes_no_words(ana: User) -> None:
    """Ten thousand of them would write all words of each again, with half a million places in their index."""
    anomaly = make.anomaly()
    before = _version(anomaly)
    reviews.acknowledge(anomaly, by=Actor("ana", ana), at=timezone.now())
    assert _version(anomaly) == before


def _version(anomaly: Anomaly) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT xmin::text, ctid::text FROM anomalies_searchdocument WHERE anomaly_id = %s", [anomaly.pk]
        )
        (row,) = cursor.fetchall()
        return tuple(row)
