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

WANTED = {"agentId": "ag_billing", "principalId": "user_1", "scopes": ["invoices:read"]}

# Every call, with the scope its key must have.
SCOPES = [
    ("GET", "/v1/anomalies", "read"),
    ("POST", "/v1/anomalies/detect", "review"),
    ("PATCH", "/v1/anomalies/anom_1/acknowledge", "review"),
    ("POST", "/v1/anomalies/anom_1/acknowledge", "review"),
    ("GET", "/v1/irregularities/response-policy", "read"),
    ("PATCH", "/v1/irregularities/response-policy", "admin"),
    ("GET", "/v1/anomaly/alerts", "read"),
    ("GET", "/v1/anomaly/alerts/anom_1", "read"),
    ("POST", "/v1/anomaly/alerts/anom_1/acknowledge", "review"),
    ("POST", "/v1/anomaly/alerts/anom_1/resolve", "review"),
    ("GET", "/v1/anomaly/metrics", "read"),
    ("GET", "/v1/anomaly/rules", "read"),
    ("POST", "/v1/anomaly/rules", "review"),
    ("PATCH", "/v1/anomaly/rules/rule_1", "review"),
    ("DELETE", "/v1/anomaly/rules/rule_1", "admin"),
    ("GET", "/v1/anomaly/channels", "read"),
    ("POST", "/v1/anomaly/channels", "admin"),
    ("DELETE", "/v1/anomaly/channels/chan_1", "admin"),
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
    ("GET", "/v1/grants", "read"),
    ("GET", "/v1/grants/grnt_1", "read"),
    ("DELETE", "/v1/grants/grnt_1", "review"),
    ("POST", "/v1/grants/delegate", "review"),
    ("POST", "/v1/grants/verify", "read"),
    ("POST", "/v1/authorize", "review"),
    ("POST", "/v1/token", "review"),
    ("POST", "/v1/token/refresh", "review"),
    ("POST", "/v1/tokens/verify", "read"),
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


def alert(anomaly: Anomaly, **changes: Any) -> dict[str, Any]:
    return {
        "alertId": anomaly.public_id,
        "ruleId": "rate_spike",
        "ruleName": "Rate spike",
        "severity": "high",
        "status": "open",
        "agentId": "ag_billing",
        "detectedAt": "2026-11-20T12:00:00.000Z",
        "description": "412 requests in 5 minutes, 38 expected",
        "context": {
            "grantId": None,
            "principalId": None,
            "ip": None,
            "type": "rate_spike",
            "score": 0.94,
            "state": "open",
            "verdict": None,
            "suppressed": False,
            "snoozedUntil": None,
            "evidence": make.EVIDENCE,
        },
        "acknowledgedAt": None,
        "resolvedAt": None,
        **changes,
    }


def authorized(call: Any) -> Any:
    """An authorization of ag_billing, as it is answered."""
    make.agent()
    return call("POST", "/v1/authorize", WANTED).json()


def fetched(call: Any) -> Any:
    """A grant of ag_billing that was fetched with its code, as it is answered."""
    answer = call("POST", "/v1/token", {"code": authorized(call)["code"], "agentId": "ag_billing"})
    assert answer.status_code == 201, answer.content
    return answer.json()
