"""api/anodot_v2: who may call, the form of errors, and the page that documents it."""

from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.test import Client
from ninja.openapi.schema import OpenAPISchema

from anomalies.api import anodot_v2
from anomalies.api.anodot_v2 import anomalies as anomalies_api
from tests import make
from tests.api.anodot_v2.expected import BASE, GROUP, INTERVAL, METRIC, deviating, error
from tests.api.conftest import Call

pytestmark = pytest.mark.django_db

NAME = quote("what=requests.agent=ag_billing")
CALLS = [BASE, f"{BASE}/count", f"{BASE}/tokenMap?q=agent%3Dag_1", f"{BASE}/a/metrics", f"{BASE}/a/metric/{NAME}"]


@pytest.mark.parametrize("path", CALLS)
def test_every_call_needs_a_key_with_the_scope_read(call: Call, path: str) -> None:
    deviating("a")
    answer = call("GET", path, key=None)
    error(answer, 401, "UNAUTHORIZED")
    assert answer["www-authenticate"] == "Bearer"
    error(call("GET", path, key="gx_live_wrong"), 401, "UNAUTHORIZED")
    message = error(call("GET", path, key=make.api_key("ingest", "review", name="weak")), 403, "FORBIDDEN")
    assert message == "The key weak lacks the scope read; it has ingest, review."
    assert call("GET", path, key=make.api_key("read", name="strong")).status_code == 200


@pytest.mark.parametrize("path", ["/", "/x", "/x/metric", "/x/metric/", "/x/metrics/", "/count/", "/docs/x"])
def test_an_unknown_path_is_404_in_its_form(call: Call, path: str) -> None:
    assert "here is n" in error(call("GET", f"{BASE}{path}"), 404, "NOT_FOUND")


@pytest.mark.parametrize("path", [BASE, f"{BASE}/count", f"{BASE}/a/metrics", f"{BASE}/a/metric/x"])
def test_a_wrong_method_is_405_in_its_form(call: Call, path: str) -> None:
    answer = call("DELETE", path)
    assert "DELETE" in error(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer["allow"] == "GET"


@pytest.mark.parametrize("path", [f"{BASE}/anom_1/metrics", f"{BASE}/a/metric/nothing", f"{BASE}/%00/metrics"])
def test_what_there_is_not_is_404(call: Call, path: str) -> None:
    deviating("a")
    assert "There is no" in error(call("GET", path), 404, "NOT_FOUND") or path.endswith("nothing")


def test_a_body_over_the_limit_is_413(call: Call, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    error(call("POST", "/api/v2/access-token", {"refreshToken": "x" * 200}), 413, "body")


def test_an_error_of_ours_is_500_in_its_form(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(anomalies_api, "groups", fail)
    deviating("a")
    assert "broken" not in error(call("GET", BASE), 500, "INTERNAL_ERROR")


def test_the_reference_is_for_people_who_are_logged_in(vic: User) -> None:
    for path in (f"{BASE}/docs", f"{BASE}/openapi.json"):
        assert Client().get(path).status_code == 302
    client = Client()
    client.force_login(vic)
    paths = client.get(f"{BASE}/openapi.json").json()["paths"]
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == {
        ("POST", "/api/v2/access-token"),
        ("GET", BASE),
        ("GET", f"{BASE}/count"),
        ("GET", f"{BASE}/tokenMap"),
        ("GET", f"{BASE}/{{anomaly_id}}/metrics"),
        ("GET", f"{BASE}/{{anomaly_id}}/metric/{{metric_id}}"),
    }


def _schema() -> OpenAPISchema:
    return anodot_v2.api.get_openapi_schema()


FILTERS = [
    "q", "startDate", "endDate", "state", "resolution", "durationUnit", "durationValue", "score", "bookmark",
    "valueDirection", "deltaType", "delta",
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (BASE, [*FILTERS, "sort", "order", "index", "size"]),
        (f"{BASE}/count", FILTERS),
        (
            f"{BASE}/tokenMap",
            [*FILTERS, "anomalyId", "tokenMapClustersLimit", "tokenMapClusterLimit", "toklenMapClusterLimit"],
        ),
        (f"{BASE}/{{anomaly_id}}/metrics", ["anomaly_id", *FILTERS, "index", "size"]),
        (f"{BASE}/{{anomaly_id}}/metric/{{metric_id}}", ["anomaly_id", "metric_id", "startDate", "endDate"]),
    ],
)
def test_the_reference_names_each_parameter(path: str, named: list[str]) -> None:
    assert [one["name"] for one in _schema()["paths"][path]["get"]["parameters"]] == named


def test_the_reference_names_each_field() -> None:
    schemas = _schema()["components"]["schemas"]
    assert schemas["GroupAnswer"]["properties"].keys() == GROUP.keys()
    assert schemas["MetricAnswer"]["properties"].keys() == METRIC.keys()
    assert schemas["IntervalAnswer"]["properties"].keys() == INTERVAL.keys()
