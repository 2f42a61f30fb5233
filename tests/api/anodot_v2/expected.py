"""What the contract says an answer is: the examples of the seed, whole, and the anomalies that they tell of.

Where the seed is wrong, the contract decides: scores are from 0 to 1, `small` is `short`, an end is null while it is
open, a duration is what lies between start and end, deltas follow from peak and band, and what is no composite has no
id of one. Our series have other names and properties than Anodot's.
"""

import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from anomalies.models import Anomaly, Metric
from anomalies.models.public_id import metric_id_of
from tests import make
from tests.api.conftest import Call

BASE = "/api/v2/anomalies"
NAME = "what=requests.agent=ag_billing.action=token.issue"
LISTED_AT = datetime.fromtimestamp(1409051580, UTC)  # 300 seconds after the start of the seed's open anomaly
UPPER = 25.86997396439603  # from which a peak of 38 is 12.130026035603969 away, 46.88843542053082 %

INTERVAL: dict[str, Any] = {
    "startDate": 1614508800,
    "endDate": 1614513600,
    "state": "closed",
    "score": 0.41,
    "directionUp": True,
    "type": "transient",
    "peakValue": 38,
    "absoluteDelta": 12.130026035603969,
    "percentageDelta": 46.88843542053082,
    "anomalySumDeltas": 22.427541379084232,
}
METRIC: dict[str, Any] = {
    "compositeId": None,
    "user": "user_7",
    "score": 0.41,
    "maxBreach": 12.130026035603969,
    "maxBreachPercentage": 46.88843542053082,
    "anomalySumDeltas": 22.427541379084232,
    "upperAbsoluteDelta": 12.130026035603969,
    "upperPercentageDelta": 46.88843542053082,
    "lowerAbsoluteDelta": None,
    "lowerPercentageDelta": None,
    "value": 23,
    "delta": 46.88843542053082,
    "state": "closed",
    "correlation": "graph",
    "lastNormalTime": 1614508200,
    "timestamp": 1614516760,
    "anomalies": [[1614508800, 1614513600, "closed", 0.41, True, 38, "transient"]],
    "currentAnomalyIntervals": [INTERVAL],
    "otherAnomalyIntervals": [],
    "id": metric_id_of(NAME),
    "name": NAME,
    "what": "requests",
    "properties": [{"key": "agent", "value": "ag_billing"}, {"key": "action", "value": "token.issue"}],
    "tags": [],
    "dataPoints": [],
    "baseline": [],
}
GROUP: dict[str, Any] = {
    "id": "2af8dcb64b3520178dd115345af28bc3",
    "mergedIds": [],
    "state": "open",
    "name": "anomaly name given by the user",
    "resolution": "short",
    "startDate": 1409051280,
    "endDate": None,
    "score": 0.95,
    "duration": 300,
    "detailedScore": 0.95,
    "metricsCount": {"total": 1, "anomalyTotal": 1},
    "metrics": [METRIC],
}
INVESTIGATED: dict[str, Any] = {
    "id": "2af8dcb64b3520178dd115345af28bc3",
    "mergedIds": ["1111111111111cff9ffb666814ef311b", "2222222222222cff9ffb666814ef311b"],
    "state": "closed",
    "name": "412 requests in 5 minutes, 38 expected",
    "resolution": "medium",
    "startDate": 1470045775,
    "endDate": 1470218575,
    "score": 0.95,
    "detailedScore": 0.95,
    "duration": 172800,
    "metricsCount": {"total": 1, "anomalyTotal": 1},
    "metrics": [
        {
            **METRIC,
            "user": None,
            "score": 0.2,
            "value": 412,
            "delta": 304.0,
            "maxBreach": 45.6,
            "maxBreachPercentage": 304.0,
            "anomalySumDeltas": 45.6,
            "upperAbsoluteDelta": 45.6,
            "upperPercentageDelta": 304.0,
            "state": "open",
            "lastNormalTime": 1470045475,
            "timestamp": 1470218575,
            "anomalies": [[1470045775, None, "open", 0.67, True, 60.6, "transient"]],
            "currentAnomalyIntervals": [
                {
                    "startDate": 1470045775,
                    "endDate": None,
                    "state": "open",
                    "score": 0.67,
                    "directionUp": True,
                    "type": "transient",
                    "peakValue": 60.6,
                    "absoluteDelta": 45.6,
                    "percentageDelta": 304.0,
                    "anomalySumDeltas": 45.6,
                }
            ],
        }
    ],
}


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def of_the_seed(**fields: Any) -> Anomaly:
    """The anomaly of the seed's list."""
    anomaly = make.anomaly(
        **{
            "public_id": GROUP["id"],
            "title": GROUP["name"],
            "resolution_seconds": 60,
            "started_at": at(GROUP["startDate"]),
            "active_until": at(1409051310),
            "score": 0.95,
            "principal": make.principal("user_7"),
            "last_scan": make.scan(now=at(METRIC["timestamp"])),
            **fields,
        }
    )
    metric = make.metric(anomaly, action="token.issue", score=0.41, evidence={**make.EVIDENCE, "observed": 23})
    make.interval(
        metric,
        resolution_seconds=600,
        started_at=at(INTERVAL["startDate"]),
        ended_at=at(INTERVAL["endDate"]),
        peak=38,
        upper=UPPER,
        sum_deltas=22.427541379084232,
    )
    return anomaly


def investigated() -> Anomaly:
    """The anomaly of the seed's investigation."""
    anomaly = make.anomaly(
        public_id=INVESTIGATED["id"],
        resolution_seconds=300,
        state="closed",
        started_at=at(1470045775),
        active_until=at(1470218575),
        ended_at=at(1470218575),
        score=0.95,
        last_scan=make.scan(now=at(1470218575)),
    )
    for number, public_id in enumerate(INVESTIGATED["mergedIds"]):
        make.anomaly(public_id=public_id, merged_into=anomaly, started_at=at(1470045775 + number))
    make.interval(
        make.metric(anomaly, action="token.issue", score=0.2),
        started_at=at(1470045775),
        ended_at=at(1470218575),
        state="open",
        peak=60.6,
        upper=15,
        sum_deltas=45.6,
        score=0.67,
    )
    return anomaly


def deviating(public_id: str, *, metric: Any = None, interval: Any = None, **fields: Any) -> Metric:
    """An anomaly that is closed, with one metric that has one interval; returns the metric."""
    closed = {"state": "closed", "ended_at": fields.get("active_until", make.NOW)}
    anomaly = make.anomaly(public_id=public_id, **{**closed, **fields})
    made = make.metric(anomaly, **(metric or {}))
    make.interval(made, **(interval or {}))
    return made


def ids(call: Call, **parameters: Any) -> list[str]:
    """The ids of a list, of which the count is checked."""
    query = urlencode(parameters)
    answer = call("GET", f"{BASE}?{query}")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert call("GET", f"{BASE}/count?{query}").json() == {"total": body["total"]}
    if not parameters.keys() & {"index", "size"}:
        assert body["total"] == len(body["anomalies"])
    return [one["id"] for one in body["anomalies"]]


def error(answer: Any, status: int, code: str, *, index: int = 0) -> str:
    """Check that the answer is one error in the form of this API, and return what it says."""
    assert answer.status_code == status, answer.content
    assert answer["content-type"] == "application/json"
    assert uuid.UUID(answer["x-request-id"])
    body = answer.json()
    assert list(body) == ["message", "errors"]
    [one] = body["errors"]
    assert list(one) == ["index", "error", "description"]
    assert (one["index"], one["error"]) == (index, code)
    named = "" if code.isupper() else f"{code}: "
    assert body["message"] == f"{named}{one['description']}"
    assert body["message"].endswith(".")
    return str(one["description"])
