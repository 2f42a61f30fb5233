"""The audit log: entries that are never changed, each chained to the one before it.

The hash of an entry is the SHA-256 in hexadecimal of its JSON in UTF-8 with the keys `entryId`, `agentId`, `agentDid`,
`grantId`, `principalId`, `developerId`, `action`, `metadata`, `status`, `timestamp` (UTC, milliseconds, `Z`) and
`prevHash` (null for the first), sorted by key, without blanks, other than ASCII characters as they are.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction

from anomalies.ingest import grantex
from anomalies.ingest.record import ReadOptions
from anomalies.models import AuditEntry
from anomalies.models.public_id import new_audit_entry_id
from anomalies.services import events
from anomalies.services.locks import Lock

SOURCE_NAME = "grantex"
ROWS_AT_ONCE = 2000


class BrokenChainError(Exception):
    """The first entry that does not hold, and why."""

    def __init__(self, entry: AuditEntry, number: int, reason: str) -> None:
        self.entry = entry
        super().__init__(f"Entry {number:,}, {entry.public_id} of {wire_time(entry.timestamp)}: {reason}")


def wire_time(time: datetime) -> str:
    """The time as entries and their hashes spell it."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def hash_of(entry: AuditEntry) -> str:
    """The hash that the entry must have."""
    hashed = {
        "entryId": entry.public_id,
        "agentId": entry.agent_id,
        "agentDid": entry.agent_did,
        "grantId": entry.grant_id,
        "principalId": entry.principal_id,
        "developerId": entry.developer_id,
        "action": entry.action,
        "metadata": entry.metadata,
        "status": entry.status,
        "timestamp": wire_time(entry.timestamp),
        "prevHash": entry.prev_hash,
    }
    canonical = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


@transaction.atomic
def log(
    *,
    developer_id: str,
    agent_id: str,
    agent_did: str,
    grant_id: str,
    principal_id: str,
    action: str,
    status: str,
    metadata: dict[str, Any],
    at: datetime,
) -> AuditEntry:
    """Append an entry and store it as an event for detection, both or neither.

    Raises FieldError, which names the field as Grantex spells it.
    """
    entry = AuditEntry(
        public_id=new_audit_entry_id(),
        developer_id=developer_id,
        agent_id=agent_id,
        agent_did=agent_did,
        grant_id=grant_id,
        principal_id=principal_id,
        action=action,
        status=status,
        metadata=metadata,
        # Clients see milliseconds: kept as they see it, `until` an entry's own time includes it.
        timestamp=at.replace(microsecond=at.microsecond // 1000 * 1000),
    )
    record = grantex.to_record(
        {
            "entryId": entry.public_id,
            "timestamp": wire_time(entry.timestamp),
            "agentId": agent_id,
            "principalId": principal_id,
            "grantId": grant_id,
            "action": action,
            "status": status,
            "metadata": metadata,
        },
        ReadOptions(now=at),
    )
    events.store([record], source_name=SOURCE_NAME, format="grantex", received_at=at)
    entry.metadata = _as_stored(metadata)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [Lock.AUDIT_CHAIN])
    entry.prev_hash = AuditEntry.objects.order_by("-id").values_list("hash", flat=True).first()
    entry.hash = hash_of(entry)
    entry.save(force_insert=True)
    return entry


def _as_stored(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata as the database will give it back (1e22 comes back an integer): the hash must be of that."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb::text", [json.dumps(metadata)])
        stored: dict[str, Any] = json.loads(cursor.fetchone()[0])
    return stored


def verified() -> Iterator[AuditEntry]:
    """Yield each entry, oldest first, once it is found to hold. Raises BrokenChainError at the first that does not."""
    previous = None
    for number, entry in enumerate(AuditEntry.objects.order_by("id").iterator(chunk_size=ROWS_AT_ONCE), start=1):
        if entry.prev_hash != previous:
            raise BrokenChainError(entry, number, "it is not chained to the entry before it.")
        if entry.hash != hash_of(entry):
            raise BrokenChainError(entry, number, "its content is not what its hash says.")
        yield entry
        previous = entry.hash
