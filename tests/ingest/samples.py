"""Streams for readers, and the real files where there are any."""

import json
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from anomalies.ingest import reading
from anomalies.ingest.record import EventRecord, ReadOptions, Rejection, SourceError
from anomalies.ingest.registry import FORMATS

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

needs_sshd = pytest.mark.skipif(not (DATA / "sshd").is_dir(), reason=f"the sshd log is not at {DATA / 'sshd'}")
needs_cloudtrail = pytest.mark.skipif(
    not (DATA / "cloudtrail").is_dir(), reason=f"the CloudTrail files are not at {DATA / 'cloudtrail'}"
)
SSHD_LOG = DATA / "sshd" / "ip-10-77-20-248.auth.log"
CLOUDTRAIL_FOLDER = DATA / "cloudtrail"


def native(**fields: Any) -> dict[str, Any]:
    return {"time": "2026-11-20T10:00:00Z", "agent_id": "ag_1", "action": "read", "status": "success", **fields}


def lines(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def outcomes(form: str, content: bytes, **options: Any) -> tuple[list[EventRecord], list[Rejection], str]:
    """Return the events, the rejections, and the sentence with which reading ended, or ""."""
    records, rejections, ended = [], [], ""
    try:
        for outcome in reading.read(FORMATS[form], BytesIO(content), ReadOptions(**{"now": NOW, **options})):
            if isinstance(outcome, Rejection):
                rejections.append(outcome)
            else:
                records.append(outcome)
    except SourceError as error:
        ended = str(error)
    return records, rejections, ended


def reason(form: str, content: bytes, **options: Any) -> str:
    """Return why the only record was rejected."""
    records, rejections, _ = outcomes(form, content, **options)
    assert records == []
    assert len(rejections) == 1
    return rejections[0].reason
