"""All APIs: no call that a document allows, or nearly allows, is answered otherwise than the document says.

Some thousand calls are made each time, always the same. With ANOMALIES_TEST_API_EXAMPLES=150 there are more than
10,000; the end of the tests says how many of which API.
"""

import os
from collections import Counter

import pytest
import schemathesis
from django.test import Client
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test

from anomalies.api.grantex_v1 import stream
from tests.api import world
from tests.api.documents import document_of, headers_with, namespaces, schema_of, undone

pytestmark = pytest.mark.django_db

EXAMPLES = int(os.environ.get("ANOMALIES_TEST_API_EXAMPLES", "5"))  # of each route that are made up by chance
DOCUMENTS = {namespace: document_of(namespace) for namespace in namespaces()}
CALLS = [
    pytest.param(namespace, path, method, id=f"{namespace} {method.upper()} {path}")
    for namespace, document in DOCUMENTS.items()
    for path, calls in document["paths"].items()
    for method in calls
]


@pytest.fixture(autouse=True)
def rows_of_the_examples(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    """What documents name is there; the event stream ends once it has begun."""
    monkeypatch.setattr(stream, "ASGIRequest", object)
    monkeypatch.setattr(stream, "_frames", lambda *_: iter([b": connected\n\n"]))
    world.build()


@pytest.mark.parametrize(("namespace", "path", "method"), CALLS)
def test_every_answer_is_as_its_document_says(
    namespace: str, path: str, method: str, key: str, request: pytest.FixtureRequest
) -> None:
    operation = schema_of(DOCUMENTS[namespace], examples=EXAMPLES)[path][method]
    statuses = Counter[int]()

    def call(case: schemathesis.Case) -> None:
        # Few that are made up exist: every other one becomes the one that the document names.
        for name in case.path_parameters:
            parameter = operation.path_parameters.get(name)
            example = parameter.definition.get("example") if parameter else None
            if example is not None and len(str(case.path_parameters[name])) % 2:
                case.path_parameters[name] = example
        with undone():
            statuses[case.call_and_validate(headers=headers_with(key)).status_code] += 1

    # As its plugin would, which calls all of them by one name.
    build_operation_test(
        config=operation.schema.config, operation=operation, test_func=call, given_kwargs={}, feedback=FeedbackSources()
    )()
    request.node.user_properties.append(("calls", (namespace, dict(statuses))))


@pytest.mark.parametrize("namespace", namespaces())
def test_a_query_of_too_many_parameters_is_answered(namespace: str, key: str) -> None:
    client = Client(headers={"authorization": f"Bearer {key}"}, raise_request_exception=False)
    query = "&".join(["a=1"] * 1001)
    for path, calls in DOCUMENTS[namespace]["paths"].items():
        for method, call in calls.items():
            ids = {each["name"]: each["example"] for each in call["parameters"] if each["in"] == "path"}
            with undone():
                answer = client.generic(method, f"{path.format(**ids)}?{query}", b"{}", content_type="application/json")
            assert answer.status_code < 500, (method, path, answer.content)
            assert str(answer.status_code) in call["responses"], (method, path, answer.content)
