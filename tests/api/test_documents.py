"""All APIs: the document of each, and its examples, which are calls that are made."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
import schemathesis

from anomalies.api.grantex_v1 import stream
from tests.api import world
from tests.api.documents import document_of, headers_with, namespaces, schema_of, undone

pytestmark = pytest.mark.django_db


@pytest.fixture(params=namespaces())
def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    return document_of(request.param)


def _calls(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", call)
        for path, calls in document["paths"].items()
        for method, call in calls.items()
    ]


def _media(part: dict[str, Any]) -> list[dict[str, Any]]:
    return list(part.get("content", {}).values())


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _assert_alike(value: Any, example: Any, schema: dict[str, Any], document: dict[str, Any], at: str) -> None:
    """What the schema names is there in both or in neither, and of one type; either may be null where that is."""
    schema = _resolved(schema, document)
    if value is None or example is None:
        return
    if "anyOf" in schema:
        schema = next((_resolved(one, document) for one in schema["anyOf"] if one.get("type") != "null"), {})
    if isinstance(example, dict) and "properties" in schema:
        assert {*value} == {*example}, at
        for name, part in schema["properties"].items():
            if name in example:
                _assert_alike(value[name], example[name], part, document, f"{at}.{name}")
    elif isinstance(example, list):
        assert isinstance(value, list), at
        for one in value[:1]:
            _assert_alike(one, example[0], schema.get("items", {}), document, f"{at}[]")
    elif isinstance(example, int | float) and not isinstance(example, bool):
        assert isinstance(value, int | float), at
    else:
        assert type(value) is type(example), at


def test_every_call_is_described_with_all_its_errors(document: dict[str, Any]) -> None:
    names = [call["operationId"] for _, call in _calls(document)]
    assert len(names) == len({*names})
    for name, call in _calls(document):
        assert call["summary"], name
        assert call["description"], name
        statuses = {int(status) for status in call["responses"]}
        assert any(200 <= status < 300 for status in statuses), name
        assert "security" not in call or statuses >= {401, 403, 429}, name
        assert "requestBody" not in call or statuses >= {400, 413}, name
        assert not any(parameter["in"] == "path" for parameter in call["parameters"]) or 404 in statuses, name
        for status, answer in call["responses"].items():
            assert answer.get("content") or status == "204", (name, status)
            assert answer["headers"]["x-request-id"], (name, status)


def test_every_call_has_an_example_of_what_is_sent_and_what_is_answered(document: dict[str, Any]) -> None:
    for name, call in _calls(document):
        for parameter in call["parameters"]:
            assert parameter["in"] != "path" or "example" in parameter, (name, parameter["name"])
        for part in (call.get("requestBody", {}), *call["responses"].values()):
            for media in _media(part):
                assert "example" in media, name


def test_every_example_is_answered_as_its_document_says(
    document: dict[str, Any], key: str, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.ANOMALIES_EVENT_RETENTION_DAYS = 0  # the examples grow old
    settings.ANOMALIES_ENCRYPTION_KEY = world.ENCRYPTION_KEY
    monkeypatch.setattr(stream, "ASGIRequest", object)
    monkeypatch.setattr(stream, "_frames", lambda *_: iter([b": connected\n\n"]))
    world.build()
    schema = schema_of(document)
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            operation = schema[path][method]
            for case in _sent(operation, call):
                with undone():
                    answer = case.call_and_validate(headers=headers_with(key))
                at = f"{method.upper()} {case.formatted_path} {case.query}"
                assert 200 <= answer.status_code < 300, (at, answer.content)
                told = call["responses"][str(answer.status_code)].get("content", {})
                if "application/json" in told and answer.headers["content-type"][0] == "application/json":
                    media = told["application/json"]
                    _assert_alike(answer.json(), media["example"], media["schema"], document, at)
            for status, answer in call["responses"].items():
                if media := answer.get("content", {}).get("application/json"):
                    said = httpx.Response(
                        int(status), json=media["example"], request=httpx.Request(method, f"http://localhost{path}")
                    )
                    said.elapsed = timedelta()
                    operation.validate_response(said)


def _sent(operation: Any, call: dict[str, Any]) -> list[schemathesis.Case]:
    """The call with each example of its body, and with each of a parameter of its query.

    A parameter with one example alone is sent each time: a call without it makes no sense.
    """
    path = {each["name"]: each["example"] for each in call["parameters"] if each["in"] == "path"}
    bodies: list[dict[str, Any]] = [
        {"body": media["example"], "media_type": media_type}
        for media_type, media in call.get("requestBody", {}).get("content", {}).items()
    ]
    queries = [
        {each["name"]: example}
        for each in call["parameters"]
        if each["in"] == "query"
        for example in each["schema"].get("examples", [])
    ]
    always = {each["name"]: each["schema"]["example"] for each in call["parameters"] if "example" in each["schema"]}
    return [
        operation.Case(path_parameters=path, query=always | query, **body)
        for body in bodies or [{}]
        for query in [{}, *queries]
    ]
