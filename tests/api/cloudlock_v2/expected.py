"""What the contract says an answer is: the example of the seed, word for word, and the anomaly that it tells of."""

import uuid
from datetime import UTC, datetime
from typing import Any

from anomalies.models import Anomaly
from tests import make

CREATED = datetime(2020, 9, 19, 3, 16, 50, 16438, tzinfo=UTC)
USER = "lee@example.com"  # the seed's addresses are blotted out

# As the seed has it, with `detected_at`, which its table of fields has and its example leaves out.
SEED: dict[str, Any] = {
    "status": "ACTIVE",
    "dismissed_at": None,
    "created_at": "2020-09-19T03:16:50.016438+00:00",
    "dismiss_reason": None,
    "id": 1003391,
    "short_description": "",
    "start_time": "2020-09-18T00:03:27+00:00",
    "threat_type": "suspicious_login",
    "threat_risk": "Account Compromise",
    "threat_entity": "location",
    "platforms": ["office365"],
    "event_count": 13,
    "updated_at": "2020-09-19T03:16:50.016448+00:00",
    "end_time": "2020-09-18T10:55:36+00:00",
    "suspicious_ip": None,
    "locations": None,
    "users": [{"display_name": USER, "email": USER}],
    "description": f"{USER} has an abnormal frequency of suspicious login activity from India",
    "detected_at": "2020-09-19T03:16:50.016438+00:00",
}

CSV_HEADER = "Id,Description,Anomalies Count,Risk,Platforms,User emails,status,countries,detected at"


def of_the_seed(**fields: Any) -> Anomaly:
    values = {
        "id": 1003391,
        "type": "suspicious_login",
        "kind": "principal",
        "entity": USER,
        "principal": make.principal(USER),
        "principal_ids": [USER],
        "platforms": ["office365"],
        "description": SEED["description"],
        "started_at": datetime(2020, 9, 18, 0, 3, 27, tzinfo=UTC),
        "active_until": datetime(2020, 9, 18, 10, 55, 36, tzinfo=UTC),
        "detected_at": CREATED,
        "created_at": CREATED,
        "updated_at": CREATED.replace(microsecond=16448),
        "evidence": {**make.EVIDENCE, "entity": "location", "event_count": 13},
    }
    return make.anomaly(**{**values, **fields})


def error(answer: Any, status: int, code: str, *, field: str | None = None) -> str:
    """Check that the answer is an error in the form of this API, and return what it says."""
    assert answer.status_code == status, answer.content
    assert answer["content-type"] == "application/json"
    body = answer.json()
    assert list(body) == ["message", "code", "requestId", *(["field"] if field is not None else [])]
    assert (body["code"], body.get("field")) == (code, field)
    assert str(uuid.UUID(body["requestId"])) == answer["x-request-id"]
    if field is not None:
        assert body["message"].startswith(f"{field}: ")
    assert body["message"].endswith(".")
    return str(body["message"])
