"""What the contract says an answer is."""

import uuid
from typing import Any

from anomalies.models import Anomaly
from tests import make

ENTRY = {
    "agentId": "ag_billing",
    "agentDid": "did:grantex:ag_billing",
    "grantId": "grnt_1",
    "principalId": "user_1",
    "action": "invoice.read",
}

# Every call, with the scope its key must have.
SCOPES = [
    ("GET", "/v1/anomalies", "read"),
    ("POST", "/v1/anomalies/detect", "review"),
    ("PATCH", "/v1/anomalies/anom_1/acknowledge", "review"),
    ("POST", "/v1/anomalies/anom_1/acknowledge", "review"),
    ("GET", "/v1/irregularities/response-policy", "read"),
    ("PATCH", "/v1/irregularities/response-policy", "review"),
    ("GET", "/v1/events/stream", "read"),
    ("POST", "/v1/audit/log", "ingest"),
    ("GET", "/v1/audit/entries", "read"),
    ("GET", "/v1/audit/alog_1", "read"),
    ("GET", "/v1/agents", "read"),
    ("POST", "/v1/agents", "review"),
    ("GET", "/v1/agents/ag_1", "read"),
    ("PATCH", "/v1/agents/ag_1", "review"),
    ("POST", "/v1/agents/ag_1", "review"),
    ("DELETE", "/v1/agents/ag_1", "review"),
]


def error(answer: Any, status: int, code: str) -> str:
    """Check that the answer is an error in the contract's form, and return what it says."""
    assert answer.status_code == status, answer.content
    assert answer["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["message", "code", "requestId"]
    assert body["code"] == code
    assert str(uuid.UUID(body["requestId"])) == answer["x-request-id"]
    assert body["message"].endswith(".")
    return str(body["message"])


def golden(anomaly: Anomaly, **changes: Any) -> dict[str, Any]:
    return {
        "id": anomaly.public_id,
        "type": "rate_spike",
        "severity": "high",
        "agentId": "ag_billing",
        "principalId": None,
        "description": "412 requests in 5 minutes, 38 expected",
        "metadata": {**make.EVIDENCE, "state": "open", "status": "open", "score": 0.94},
        "detectedAt": "2026-11-20T12:00:00.000Z",
        "acknowledgedAt": None,
        **changes,
    }
