"""services/outbox: what others are told."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from anomalies.models import OutboxMessage, Severity
from anomalies.services.outbox import announce, announce_all
from tests import make

pytestmark = pytest.mark.django_db

FRACTION = make.NOW + timedelta(microseconds=120_000)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ip": "2001:db8::1", "severity": Severity.LOW, "score": 1.0, "detected_at": FRACTION},
        {
            "description": "\"ä\" <b> \\ 'x' %s {}",
            "principal": "user_9",
            "evidence": {"a": [1, 0.5, None, "ä"], "b": {}},
        },
        {
            "status": "resolved",
            "verdict": "benign",
            "reason": "a drill",
            "title": "The sync",
            "acknowledged_at": FRACTION,
            "resolved_at": make.NOW,
        },
        {"snoozed_until": FRACTION + timedelta(days=300)},
    ],
)
def test_of_many_the_same_is_told_as_of_one(ana: User, fields: dict[str, Any]) -> None:
    if "principal" in fields:
        fields = {**fields, "principal": make.principal(fields["principal"])}
    anomaly = make.anomaly(assignee=ana if fields else None, **fields)
    anomaly.refresh_from_db()
    with transaction.atomic():
        announce("anomaly.one", anomaly)
        announce_all("anomaly.many", [anomaly.pk])
    one, many = OutboxMessage.objects.order_by("id")
    assert many.payload == one.payload
    assert (one.type, many.type, many.anomaly) == ("anomaly.one", "anomaly.many", anomaly)


@pytest.mark.django_db(transaction=True)
def test_nothing_is_told_outside_the_transaction_that_makes_it_true() -> None:
    anomaly = make.anomaly()
    with pytest.raises(transaction.TransactionManagementError):
        announce("anomaly.one", anomaly)
    with pytest.raises(transaction.TransactionManagementError):
        announce_all("anomaly.many", [anomaly.pk])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("last", ["announce", "announce_all"])
def test_who_began_first_and_decides_last_is_told_last(
    last: str, at_once: Callable[[Sequence[Callable[[], object]]], list[object]]
) -> None:
    anomaly, other = make.anomaly(), make.anomaly()

    def decide() -> None:
        with transaction.atomic():
            announce("anomaly.acknowledged", anomaly)

    with transaction.atomic():
        announce("anomaly.detected", other)  # from here on the transaction has its number
        at_once([decide])
        if last == "announce":
            announce("anomaly.resolved", anomaly)
        else:
            announce_all("anomaly.resolved", [anomaly.pk, other.pk])
    told = anomaly.outbox_messages.order_by("transaction", "id")
    assert [one.type for one in told] == ["anomaly.acknowledged", "anomaly.resolved"]
    assert other.outbox_messages.earliest("id").transaction < told[0].transaction  # it is of the others alone
