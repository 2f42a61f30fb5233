"""api/anodot_v2: the calls of Anodot's own data source for Grafana, as it makes them."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from anomalies.models import Anomaly
from tests.api.anodot_v2.expected import BASE
from tests.api.conftest import Call
from tests.services.days import MONDAY, burst, run, store, usual

pytestmark = pytest.mark.django_db

STARTED = MONDAY + timedelta(days=20, hours=10)
URI = ";,/?:@&=+$-_.!~*'()#"  # that JavaScript's encodeURI leaves as they are


class DataSource:
    """Knows nothing but what it is set up with; leaves out of an address what is empty, and encodes none of it."""

    def __init__(self, call: Call, key: str) -> None:
        self.call = call
        self.token = call("POST", "/api/v2/access-token", {"refreshToken": key}, key=None).json()

    def get(self, url: str, parameters: dict[str, Any]) -> Any:
        sent = "&".join(f"{name}={_said(value)}" for name, value in parameters.items() if value or value == [])
        # The browser encodes what no address may contain.
        answer = self.call("GET", quote(f"{url}?{sent}", safe=f"{URI}%[]"), key=self.token)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def anomalies(self, *, metric: str = "", negated: bool = False, opened_only: bool = False) -> list[dict[str, Any]]:
        what = {"type": "property", "key": "what", "value": f"{'!' * negated}{metric}", "isExact": not negated}
        parameters = {
            "startDate": int((STARTED - timedelta(days=7)).timestamp()),
            "endDate": int((STARTED + timedelta(days=7)).timestamp()),
            "index": 0,
            "size": 10,
            "score": 0.05,
            "durationUnit": "minutes",
            "durationValue": 1,
            "resolution": ["short", "medium", "long", "longlong", "weekly"],
            "anomalyType": "all",
            "bookmark": "",
            "correlation": "",
            "delta": 5,
            "deltaType": "absolute",
            "order": "desc",
            "q": json.dumps({"expression": [what] if metric else []}, separators=(",", ":")),
            "sort": "delta",
            "startBucketMode": True,
            "state": "open" if opened_only else "both",
            "valueDirection": "both",
        }
        found: list[dict[str, Any]] = self.get(BASE, parameters)["anomalies"]
        return found

    def chart(self, anomaly: dict[str, Any]) -> dict[str, Any]:
        start, end, now = anomaly["startDate"], anomaly["endDate"] or 0, int(timezone.now().timestamp())
        metric = anomaly["metrics"][0]["id"]
        parameters = {
            "anomalyId": anomaly["id"],
            "startDate": start - max((end - start) * 11, (now - end) * 3),
            "endDate": now,
            "resolution": anomaly["resolution"],
            "metricId": metric,
            "startBucketMode": False,
            "baseline": True,
            "datapoints": True,
        }
        chart: dict[str, Any] = self.get(f"{BASE}/{anomaly['id']}/metric/{quote(metric, safe=URI)}", parameters)
        return chart


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.fixture
def source(call: Call, key: str) -> DataSource:
    store([*usual(20), *burst(STARTED, 300)])
    return DataSource(call, key)


@pytest.mark.parametrize("seen_after", [timedelta(minutes=6), timedelta(hours=3)])
def test_it_lists_anomalies_and_draws_the_first_metric_of_each(source: DataSource, seen_after: timedelta) -> None:
    run(STARTED + seen_after)
    [anomaly] = source.anomalies()
    assert (anomaly["endDate"] is None) == (anomaly["state"] == "open") == (seen_after < timedelta(hours=1))
    assert {"startDate", "resolution", "id", "metricsCount"} <= anomaly.keys()
    chart = source.chart(anomaly)
    assert chart["dataPoints"]
    assert chart["baseline"]
    assert chart["anomalies"][0][:2] == [anomaly["startDate"], anomaly["endDate"]]
    assert {"otherAnomalyIntervals", "properties", "what", "tags"} <= chart.keys()
    assert max(count for _, count in chart["dataPoints"]) >= 300


def test_it_asks_for_one_measure_or_for_all_others(source: DataSource) -> None:
    run(STARTED + timedelta(minutes=6))
    assert len(source.anomalies(metric="requests")) == 1
    assert source.anomalies(metric="requests", negated=True) == source.anomalies(metric="failures") == []
    assert len(source.anomalies(metric="failures", negated=True)) == 1


def test_it_asks_for_what_is_open_alone(source: DataSource) -> None:
    run(STARTED + timedelta(minutes=6))
    assert [one["id"] for one in source.anomalies(opened_only=True)] == [str(Anomaly.objects.get())]
    run(STARTED + timedelta(hours=3))
    assert source.anomalies(opened_only=True) == []
