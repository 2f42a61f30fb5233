"""services/audit_trail: who did what when, over everything."""

from datetime import timedelta
from itertools import chain

import pytest
from django.db import DatabaseError, connection, transaction

from anomalies.models import AuditEntry, Change, ReviewEntry
from anomalies.services import api_keys, audit_trail, reviews
from anomalies.services.actor import Actor
from anomalies.services.audit_trail import Wanted
from tests import make

pytestmark = pytest.mark.django_db
ANA = Actor("ana")


def _change(minutes: int = 0, **fields: object) -> Change:
    given = {"actor": "ana", "subject_type": "detector", "subject_id": "rate_spike", "action": "changed", **fields}
    return Change.objects.create(at=make.NOW + timedelta(minutes=minutes), **given)


def _entry(minutes: int = 0, **fields: object) -> ReviewEntry:
    given = {"anomaly": make.anomaly(), "actor": "ana", "action": "noted", **fields}
    return ReviewEntry.objects.create(at=make.NOW + timedelta(minutes=minutes), **given)


def test_what_was_done_at_one_moment_is_on_exactly_one_page() -> None:
    for _ in range(4):
        _change()
        _entry()
    _entry(-1)
    everything = [one.key for one in audit_trail.everything(Wanted())]
    assert len(set(everything)) == len(everything) == 9
    pages: list[list[str]] = []
    after = ""
    while True:
        page = audit_trail.page(Wanted(), size=2, after=after)
        pages.append([one.key for one in page.rows])
        if not page.older:
            break
        after = page.older
    assert list(chain(*pages)) == everything
    back: list[list[str]] = []
    before = pages[-1][0]
    while before:
        page = audit_trail.page(Wanted(), size=2, before=before)
        back.append([one.key for one in page.rows])
        before = page.newer
    assert list(chain(*reversed(back))) == everything[:-1]


def test_what_a_reviewer_renamed_is_found_by_the_name_that_is_shown_and_by_its_sentence() -> None:
    _entry(anomaly=make.anomaly(title="The nightly export"))
    _entry()
    for text in ("nightly", "The nightly export"):
        (found,) = audit_trail.page(Wanted(subject=text), size=10).rows
        assert found.subject_name == "The nightly export"
    assert len(audit_trail.page(Wanted(subject="412 requests"), size=10).rows) == 2


def test_what_detection_does_stands_on_timelines_alone() -> None:
    _entry(actor="detection", action="detected")
    assert not audit_trail.page(Wanted(), size=10).rows


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (Wanted(actor="tom"), 1),
        (Wanted(action="changed"), 1),
        (Wanted(subject="detector"), 1),
        (Wanted(subject="anomaly"), 1),
        (Wanted(subject="412 REQUESTS"), 1),
        (Wanted(start=make.NOW), 1),
        (Wanted(end=make.NOW), 1),
        (Wanted(actor="tom", action="changed"), 0),
    ],
)
def test_filters_hold_together(wanted: Wanted, count: int) -> None:
    _change(-1)
    _entry(actor="tom")
    assert len(audit_trail.page(wanted, size=10).rows) == count


def test_deciding_and_making_keys_stand_in_it() -> None:
    anomaly = make.anomaly()
    reviews.acknowledge(anomaly, by=ANA, at=make.NOW, note="Seen.")
    key, _ = api_keys.create(name="ci", scopes=["read"], by=ANA)
    api_keys.revoke(key, at=make.NOW + timedelta(days=3650), by=ANA)
    rows = audit_trail.page(Wanted(), size=10).rows
    assert {(one.subject_type, one.subject_name, one.action) for one in rows} == {
        ("anomaly", anomaly.description, "acknowledged"),
        ("api_key", "ci", "created"),
        ("api_key", "ci", "revoked"),
    }


def test_the_database_changes_and_deletes_none_of_it() -> None:
    _change()
    for statement in ("UPDATE anomalies_change SET actor = 'x'", "DELETE FROM anomalies_change"):
        with pytest.raises(DatabaseError, match="never changed or deleted"), transaction.atomic():
            connection.cursor().execute(statement)


def test_a_chain_without_entries_holds() -> None:
    assert AuditEntry.objects.count() == 0
    found = audit_trail.verify_chain()
    assert (found.verified, found.is_all, found.broken) == (0, True, "")
