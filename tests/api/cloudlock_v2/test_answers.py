"""api/cloudlock_v2: who may call, the form of errors, and the page that documents it."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from ninja.openapi.schema import OpenAPISchema

from anomalies.api import cloudlock_v2
from anomalies.api.cloudlock_v2 import threats as threats_api
from anomalies.api.cloudlock_v2.threats import Change, ThreatList
from tests import make
from tests.api.cloudlock_v2.expected import CSV_HEADER, SEED, error
from tests.api.conftest import Call

pytestmark = pytest.mark.django_db

CALLS = [
    ("GET", "/api/v2/threats", "read"),
    ("GET", "/api/v2/threats.csv", "read"),
    ("GET", "/api/v2/threats/1", "read"),
    ("PUT", "/api/v2/threats/1", "review"),
]


@pytest.mark.parametrize(("method", "path", "scope"), CALLS)
def test_every_call_needs_a_key_with_its_scope(call: Call, method: str, path: str, scope: str) -> None:
    make.anomaly(id=1)
    answer = call(method, path, key=None)
    error(answer, 401, "UNAUTHORIZED")
    assert answer["www-authenticate"] == "Bearer"
    error(call(method, path, key="gx_live_wrong"), 401, "UNAUTHORIZED")
    others = sorted({"ingest", "read", "review"} - {scope})
    message = error(call(method, path, key=make.api_key(*others, name="weak")), 403, "FORBIDDEN")
    assert message == f"The key weak lacks the scope {scope}; it has {', '.join(others)}."
    strong = call(method, path, {"status": "ACTIVE"}, key=make.api_key(scope, name="strong"))
    assert strong.status_code == 200


@pytest.mark.parametrize("path", ["/api/v2/", "/api/v2/threat", "/api/v2/threats/", "/api/v2/threats/1/events"])
def test_an_unknown_path_is_404_as_json(call: Call, path: str) -> None:
    assert "There is nothing at /api/v2/" in error(call("GET", path), 404, "NOT_FOUND")


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v2/threats"), ("DELETE", "/api/v2/threats/1")])
def test_a_wrong_method_is_405_as_json(call: Call, method: str, path: str) -> None:
    assert method in error(call(method, path), 405, "METHOD_NOT_ALLOWED")


def test_a_body_over_the_limit_is_413(call: Call, settings: Any) -> None:
    make.anomaly(id=1)
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    error(call("PUT", "/api/v2/threats/1", {"status": "x" * 200}), 413, "PAYLOAD_TOO_LARGE")


def test_an_error_of_ours_is_500_as_json(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(pk: int) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(threats_api, "_item", fail)
    assert "broken" not in error(call("GET", "/api/v2/threats/1"), 500, "INTERNAL_ERROR")


def test_the_reference_is_for_people_who_are_logged_in(vic: User) -> None:
    for path in ("/api/v2/threats/docs", "/api/v2/threats/openapi.json"):
        assert Client().get(path).status_code == 302
    client = Client()
    client.force_login(vic)
    paths = client.get("/api/v2/threats/openapi.json").json()["paths"]
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == {
        (method, path.replace("/1", "/{threat_id}")) for method, path, _ in CALLS
    }


def _schema() -> OpenAPISchema:
    return cloudlock_v2.api.get_openapi_schema()


def test_the_reference_names_each_parameter_and_field() -> None:
    for path in ("/api/v2/threats", "/api/v2/threats.csv"):
        call = _schema()["paths"][path]["get"]
        assert [each["name"] for each in call["parameters"]] == [
            "limit", "offset", "start_time", "status", "created_before", "created_after", "order",
        ]  # fmt: skip
        assert call["responses"][200]["content"]["text/csv"]["example"].startswith(f"{CSV_HEADER}\r\n1003391,")
    assert _schema()["components"]["schemas"]["Threat"]["properties"].keys() == SEED.keys()


def test_its_examples_are_what_they_are_examples_of(call: Call) -> None:
    schemas = _schema()["components"]["schemas"]
    [page] = schemas["ThreatList"]["examples"]
    assert ThreatList.model_validate(page).items[0].dict().keys() == SEED.keys()
    make.anomaly(id=1)
    for example in schemas["Change"]["examples"]:
        assert Change.model_validate(example)
        assert call("PUT", "/api/v2/threats/1", example).json()["status"] == example["status"]
