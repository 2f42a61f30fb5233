"""The audit trail of what people change beside anomalies."""

import pytest
from django.contrib.auth.models import Group, User
from django.db import IntegrityError, transaction

from anomalies.models import Change
from anomalies.services import changes
from anomalies.services.actor import Actor
from tests.make import NOW

pytestmark = pytest.mark.django_db


def test_a_change_says_who_did_what_when_and_from_which_value_to_which(ana: User) -> None:
    told = changes.between({"name": "Databases", "active": True}, {"name": "Production", "active": True})
    changes.record(
        "access_flow", "flow_1", "changed", by=Actor("ana", ana), at=NOW, name="Databases", changes=told, note="OPS-12"
    )
    row = Change.objects.get()
    assert (row.subject_type, row.subject_id, row.subject_name, row.action) == (
        "access_flow", "flow_1", "Databases", "changed",
    )  # fmt: skip
    assert (row.actor, row.user, row.at, row.note) == ("ana", ana, NOW, "OPS-12")
    assert row.changes == {"name": ["Databases", "Production"]}


def test_nobody_changes_or_deletes_a_change() -> None:
    row = changes.record("suppression", "supp_1", "ended", by=Actor("ci"), at=NOW)
    for forbidden in (lambda: Change.objects.update(actor="nobody"), row.delete):
        with pytest.raises(IntegrityError, match="never changed or deleted"), transaction.atomic():
            forbidden()
    assert Change.objects.get().actor == "ci"


@pytest.mark.django_db(transaction=True)
def test_a_change_is_recorded_only_in_the_transaction_that_makes_it_true() -> None:
    with pytest.raises(transaction.TransactionManagementError):
        changes.record("suppression", "supp_1", "ended", by=Actor("ci"), at=NOW)


def test_every_role_reads_changes() -> None:
    for name in ("viewer", "reviewer", "admin"):
        assert Group.objects.get(name=name).permissions.filter(codename="view_change").exists(), name
