"""The page that documents the API."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests import make
from tests.api.grantex_v1.expected import SCOPES, alert, golden

pytestmark = pytest.mark.django_db

NAMES = {
    "anomalies/anom_1": "anomalies/{anomaly_id}",
    "alerts/anom_1": "alerts/{alert_id}",
    "rule_1": "{rule_id}",
    "chan_1": "{channel_id}",
    "ag_1": "{agent_id}",
    "alog_1": "{entry_id}",
    "grnt_1": "{grant_id}",
}
PARAMETER = re.compile("|".join(NAMES))


def test_the_reference_lists_every_call(vic: User) -> None:
    client = Client()
    client.force_login(vic)
    paths = client.get("/v1/openapi.json").json()["paths"]
    listed = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert listed >= {(method, PARAMETER.sub(lambda one: NAMES[one[0]], path)) for method, path, _ in SCOPES}


def test_the_reference_spells_fields_as_the_answers_do(vic: User) -> None:
    client = Client()
    client.force_login(vic)
    reference = client.get("/v1/openapi.json").json()
    schemas = reference["components"]["schemas"]
    assert list(schemas["AnomalyAnswer"]["properties"]) == list(golden(make.anomaly()))
    assert {"agentDid", "grantId", "principalId"} <= set(schemas["NewEntry"]["properties"])
    assert {"pageSize", "since"} <= {
        parameter["name"] for parameter in reference["paths"]["/v1/audit/entries"]["get"]["parameters"]
    }
    examples = {name: schema["examples"][0] for name, schema in schemas.items() if "examples" in schema}
    assert list(schemas["AlertAnswer"]["properties"]) == list(alert(make.anomaly()))
    assert set(examples["AlertAnswer"]) == set(schemas["AlertAnswer"]["properties"])
    assert set(examples["RuleAnswer"]) == set(schemas["RuleAnswer"]["properties"])
    assert set(examples["ChannelAnswer"]) == set(schemas["ChannelAnswer"]["properties"])
    assert set(examples["NewChannel"]) == set(schemas["NewChannel"]["properties"])
    assert set(examples["NewRule"]) == set(schemas["NewRule"]["properties"])
    assert set(examples["MetricsAnswer"]) == set(schemas["MetricsAnswer"]["properties"])
    stream = reference["paths"]["/v1/events/stream"]["get"]["responses"]
    assert "text/event-stream" in stream["200"]["content"]
    assert "429" in stream


def test_the_reference_needs_a_login(db: None) -> None:
    for path in ("/v1/docs", "/v1/openapi.json"):
        assert Client().get(path).status_code == 302
