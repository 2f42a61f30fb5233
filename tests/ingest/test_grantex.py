import json
from typing import Any

import pytest

from tests.ingest.samples import lines, outcomes, reason


def entry(**fields: Any) -> dict[str, Any]:
    return {
        "entryId": "alog_1",
        "agentId": "ag_1",
        "agentDid": "did:grantex:ag_1",
        "grantId": "grnt_1",
        "principalId": "user_1",
        "developerId": "dev_1",
        "action": "email.send",
        "metadata": {"to": "x"},
        "hash": "00",
        "prevHash": None,
        "timestamp": "2026-11-20T10:00:00.000Z",
        "status": "success",
        **fields,
    }


@pytest.mark.parametrize(
    "content",
    [lines(entry()), json.dumps([entry()]).encode(), json.dumps({"entries": [entry()], "total": 1}).encode()],
)
def test_entry_becomes_an_event(content: bytes) -> None:
    [record], rejections, ended = outcomes("grantex", content)

    assert (rejections, ended) == ([], "")
    assert (record.external_id, record.agent_id, record.principal_id) == ("alog_1", "ag_1", "user_1")
    assert (record.grant_id, record.action, record.status) == ("grnt_1", "email.send", "success")
    assert record.metadata == {"to": "x", "agentDid": "did:grantex:ag_1", "developerId": "dev_1"}


def test_entry_without_status_is_a_success() -> None:
    assert outcomes("grantex", lines(entry(status=None)))[0][0].status == "success"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"agentId": ""}, "agentId: it is empty."),
        ({"timestamp": 1_763_632_800_000}, "timestamp: 1763632800000 looks like epoch milliseconds"),
        ({"status": "denied"}, 'status: "denied" is not one of'),
    ],
)
def test_bad_field_is_named_as_grantex_spells_it(fields: dict[str, Any], sentence: str) -> None:
    assert sentence in reason("grantex", lines(entry(**fields)))
