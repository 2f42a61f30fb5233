"""services/audit: a chain in which no change goes unnoticed."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomalies.ingest.record import FieldError
from anomalies.models import Agent, AuditEntry, Batch, Event
from anomalies.services import audit
from tests import make

pytestmark = pytest.mark.django_db


def _log(**fields: Any) -> AuditEntry:
    return audit.log(
        **{
            "developer_id": "ci",
            "agent_id": "ag_billing",
            "agent_did": "did:grantex:ag_billing",
            "grant_id": "grnt_1",
            "principal_id": "user_1",
            "action": "invoice.read",
            "status": "success",
            "metadata": {},
            "at": make.NOW,
            **fields,
        }
    )


def _change(sql: str, *parameters: object) -> None:
    """What somebody with the database in hand can do."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE anomalies_auditentry DISABLE TRIGGER append_only")
        cursor.execute(sql, parameters)
        cursor.execute("ALTER TABLE anomalies_auditentry ENABLE TRIGGER append_only")


def test_the_hash_is_that_of_the_documented_json() -> None:
    first = _log()
    second = _log(metadata={"b": "ü", "a": [1, None]}, at=datetime(2026, 11, 20, 12, 0, 1, 234_999, tzinfo=UTC))
    text = (
        f'{{"action":"invoice.read","agentDid":"did:grantex:ag_billing","agentId":"ag_billing","developerId":"ci",'
        f'"entryId":"{second.public_id}","grantId":"grnt_1","metadata":{{"a":[1,null],"b":"ü"}},'
        f'"prevHash":"{first.hash}","principalId":"user_1","status":"success","timestamp":"2026-11-20T12:00:01.234Z"}}'
    )
    assert second.hash == hashlib.sha256(text.encode()).hexdigest()
    assert (first.prev_hash, second.prev_hash) == (None, first.hash)


def test_an_entry_is_an_event_of_source_grantex_for_detection() -> None:
    entry = _log(status="blocked", metadata={"ticket": 7})
    event = Event.objects.select_related("source").get()
    assert (event.source.name, event.external_id, event.time) == ("grantex", entry.public_id, entry.timestamp)
    assert (event.agent_id, event.principal_id, event.grant_id) == ("ag_billing", "user_1", "grnt_1")
    assert (event.action, event.status, event.metadata) == ("invoice.read", "blocked", {"ticket": 7})
    assert Batch.objects.get().counted_at is None
    assert Agent.objects.filter(public_id="ag_billing").exists()


def test_what_cannot_be_an_event_is_no_entry_either() -> None:
    with pytest.raises(FieldError, match="metadata: it contains a NUL"):
        _log(metadata={"a": {"b": ["\x00"]}})
    assert not AuditEntry.objects.exists()
    assert not Event.objects.exists()


def test_an_entry_that_cannot_be_chained_leaves_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(entry: AuditEntry) -> str:
        raise RuntimeError

    monkeypatch.setattr(audit, "hash_of", fail)
    with pytest.raises(RuntimeError):
        _log()
    assert not Event.objects.exists()


_names = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=5)
plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=st.dictionaries(_names, plain_json, max_size=4))
def test_whatever_metadata_is_logged_the_chain_holds(metadata: dict[str, Any]) -> None:
    try:
        _log(metadata=metadata)
    except FieldError:
        return
    assert len(list(audit.verified())) == AuditEntry.objects.count()


@pytest.mark.parametrize("metadata", [{"n": 1e22}, {"n": -0.0}, {"n": 100.0}, {"n": 1e-7}, {"n": 5e-324}, {"n": 2**70}])
def test_numbers_that_the_database_spells_otherwise_hold(metadata: dict[str, Any]) -> None:
    try:
        _log(metadata=metadata)
    except FieldError as error:
        assert str(error).startswith("metadata: ")  # noqa: PT017  either refused in a sentence or kept whole
    list(audit.verified())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE anomalies_auditentry SET action = 'other' WHERE id = %s", "its content is not what its hash says"),
        ("UPDATE anomalies_auditentry SET metadata = '{\"a\": 1}' WHERE id = %s", "its content is not what"),
        ("UPDATE anomalies_auditentry SET timestamp = timestamp + '1 ms' WHERE id = %s", "its content is not what"),
        ("UPDATE anomalies_auditentry SET prev_hash = 'x' WHERE id = %s", "it is not chained to the entry before it"),
        ("DELETE FROM anomalies_auditentry WHERE id = %s", "it is not chained to the entry before it"),
    ],
)
def test_any_change_breaks_the_chain_there(change: str, reason: str) -> None:
    entries = [_log() for _ in range(3)]
    _change(change, entries[1].pk)
    with pytest.raises(audit.BrokenChainError, match=reason) as raised:
        list(audit.verified())
    assert raised.value.entry.pk == entries[2 if change.startswith("DELETE") else 1].pk


def _verify() -> str:
    out = StringIO()
    call_command("verify_audit", stdout=out)
    return out.getvalue()


def test_verify_audit_says_how_many_entries_hold() -> None:
    assert _verify() == "0 audit entries hold.\n"
    _log()
    _log()
    assert _verify() == "2 audit entries hold.\n"


def test_verify_audit_names_the_first_broken_entry_and_fails() -> None:
    entries = [_log() for _ in range(4)]
    _change("UPDATE anomalies_auditentry SET status = 'failure' WHERE id >= %s", entries[2].pk)
    with pytest.raises(
        CommandError, match=f"Entry 3, {entries[2].public_id} of 2026-11-20T12:00:00.000Z: .*The 2 before"
    ):
        _verify()


@pytest.mark.django_db(transaction=True)
def test_entries_logged_at_once_make_one_chain(at_once: Callable[..., None]) -> None:
    at_once([_log] * 8)
    assert len(list(audit.verified())) == 8


def test_the_wire_time_has_milliseconds_and_z() -> None:
    assert audit.wire_time(datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)) == "2026-01-02T03:04:05.678Z"
    assert json.dumps(audit.wire_time(make.NOW)) == '"2026-11-20T12:00:00.000Z"'
