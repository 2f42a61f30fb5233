"""Ids of records that bring none."""

import hashlib
from collections import OrderedDict

import msgspec

from anomalies.ingest.record import EventRecord, ReadOptions

MAX_REMEMBERED = 200_000  # digests: about 30 MB

_canonical = msgspec.json.Encoder(order="deterministic")


class Ids:
    """Gives each record of one stream an id.

    With `options.new_id` a fresh one. Otherwise the SHA-256 of its content, so that the same file read again gives the
    same ids; identical records are told apart by an ordinal, unless 200,000 others lie between them.
    """

    def __init__(self, options: ReadOptions) -> None:
        self._new_id = options.new_id
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def identified(self, record: EventRecord) -> EventRecord:
        """Return the record, with an id if it has none."""
        if record.external_id:
            return record
        external_id = self._new_id() if self._new_id else self._from_content(record)
        return msgspec.structs.replace(record, external_id=external_id)

    def _from_content(self, record: EventRecord) -> str:
        digest = hashlib.sha256(_canonical.encode(record)).digest()
        ordinal = self._seen.pop(digest, 0)
        self._seen[digest] = ordinal + 1
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        return f"sha256:{digest.hex()}" + (f"-{ordinal + 1}" if ordinal else "")
