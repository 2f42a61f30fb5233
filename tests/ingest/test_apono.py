import json
from datetime import UTC, datetime
from typing import Any

import pytest

from anomalies.ingest.access_request import AccessRequestRecord
from anomalies.ingest.apono import ACTIONS, by_person
from tests.ingest.samples import lines, outcomes, reason

TIME = 1_763_632_800.851898  # 2025-11-20T10:00:00.851898Z


def unit(resource: str = "orders", permission: str = "admin", **fields: Any) -> dict[str, Any]:
    return {
        "resource": {"id": f"id-{resource}", "name": resource, "path": f"db/{resource}", "type": "table", **fields},
        "permission": {"id": f"id-{permission}", "name": permission},
    }


def group(*units: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "integration": {"id": "i-1", "type": "postgresql", "name": "Orders DB"},
        "resource_types": [{"id": "table", "name": "Table", "display_path": "Table"}],
        "access_units": list(units) or [unit()],
        **fields,
    }


def approval(**fields: Any) -> dict[str, Any]:
    return {
        "name": "Manager",
        "type": "user",
        "status": "approved",
        "approver": {"id": "u-9", "name": "Max", "email": "max@example.com"},
        **fields,
    }


def event(kind: str = "Created", /, *, event_time: Any = TIME, data: Any = None, **fields: Any) -> dict[str, Any]:
    return {
        "event_type": f"AccessRequest{kind}",
        "event_time": event_time,
        "data": data
        or {
            "id": "r-1",
            "friendly_id": "AR-123",
            "requester": {"id": "u-1", "name": "Ana", "email": "ana@example.com"},
            "grantee": {"id": "u-2", "source_id": "okta", "name": "Bob", "type": "user"},
            "justification": "On call",
            "creation_date": TIME - 60,
            "revocation_date": None,
            "access_flow": {"id": "f-1", "name": "Production"},
            "access_bundle": {"id": "b-1", "name": "Bundle"},
            "access_duration_in_seconds": 3600,
            "access_groups": [group()],
            "approvals": [approval()],
            "custom_fields": {"ticket": "T-1"},
            **fields,
        },
    }


def read_one(*args: Any, **fields: Any) -> Any:
    [record], rejections, ended = outcomes("apono", json.dumps(event(*args, **fields)).encode())
    assert (rejections, ended) == ([], "")
    return record


def request_of(*args: Any, **fields: Any) -> AccessRequestRecord:
    request = AccessRequestRecord.from_metadata(read_one(*args, **fields).metadata)
    assert request is not None
    return request


def test_request_event_becomes_an_event() -> None:
    record = read_one()

    assert record.time == datetime(2025, 11, 20, 10, 0, 0, 851_898, tzinfo=UTC)
    assert (record.agent_id, record.principal_id) == ("apono", "ana@example.com")
    assert (record.action, record.status, record.request_id) == ("access_request.created", "success", "r-1")
    assert (record.resource, record.resource_type) == ("orders", "table")
    assert (record.integration, record.permission) == ("Orders DB", "admin")


def test_whole_request_is_in_the_metadata() -> None:
    assert read_one().metadata == {
        "access_request": {
            "id": "r-1",
            "friendly_id": "AR-123",
            "requester": {"id": "u-1", "name": "Ana", "email": "ana@example.com"},
            "grantee": {"id": "u-2", "source_id": "okta", "name": "Bob", "type": "user"},
            "justification": "On call",
            "requested_at": TIME - 60,
            "revoked_at": None,
            "flow": {"id": "f-1", "name": "Production"},
            "duration_seconds": 3600.0,
            "units": [
                {
                    "integration_id": "i-1",
                    "integration_type": "postgresql",
                    "integration": "Orders DB",
                    "resource_id": "id-orders",
                    "resource": "orders",
                    "resource_path": "db/orders",
                    "resource_type": "table",
                    "tags": [],
                    "permission": "admin",
                }
            ],
            "approvals": [
                {
                    "name": "Manager",
                    "type": "user",
                    "status": "approved",
                    "approver_id": "u-9",
                    "approver_name": "Max",
                    "approver_email": "max@example.com",
                    "manual": True,
                }
            ],
            "custom_fields": {"ticket": "T-1"},
        }
    }


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(event()).encode(),
        json.dumps(event(), indent=2).encode(),
        json.dumps(event(), indent=2).replace("\n", "\r\n").encode(),
        json.dumps([event()]).encode(),
        json.dumps([event()], indent=2).encode(),
        lines(event()),
    ],
    ids=["object", "indented object", "CRLF", "array", "indented array", "lines"],
)
def test_object_array_and_lines_are_read(content: bytes) -> None:
    assert outcomes("apono", content) == ([read_one()], [], "")


@pytest.mark.parametrize(
    ("kind", "action", "status"),
    [
        ("Created", "access_request.created", "success"),
        ("Approved", "access_request.approved", "success"),
        ("Rejected", "access_request.rejected", "blocked"),
        ("Granted", "access_request.granted", "success"),
        ("Expired", "access_request.expired", "success"),
        ("Revoked", "access_request.revoked", "success"),
        ("Failed", "access_request.failed", "failure"),
    ],
)
def test_each_type_has_its_action_and_status(kind: str, action: str, status: str) -> None:
    record = read_one(kind)

    assert (record.action, record.status) == (action, status)


def test_all_types_are_read() -> None:
    assert len(outcomes("apono", lines(*(event(kind.removeprefix("AccessRequest")) for kind in ACTIONS)))[0]) == 7


def test_event_delivered_again_has_the_same_id_and_another_does_not() -> None:
    again = json.loads(json.dumps(event()))
    again["data"]["justification"] = "Edited"
    records, _, _ = outcomes(
        "apono",
        lines(event(), again, event("Approved"), event(event_time=TIME + 1), event(id="r-2")),
        new_id=lambda: "fresh",
    )

    first, second, *others = (record.external_id for record in records)
    assert first == second
    assert len({first, *others}) == 4
    assert first.startswith("sha256:")


def test_time_as_text_is_the_same_event() -> None:
    assert read_one(event_time="2025-11-20T10:00:00.851898Z").external_id == read_one().external_id


def test_own_id_of_an_event_is_kept() -> None:
    [record], _, _ = outcomes("apono", lines({**event(), "id": "evt-1"}))

    assert record.external_id == "evt-1"


@pytest.mark.parametrize(("source", "agent"), [("", "apono"), ("apono", "apono"), ("eu", "eu:apono")])
def test_agent_is_named_for_its_source(source: str, agent: str) -> None:
    [record], _, _ = outcomes("apono", lines(event()), source=source)

    assert record.agent_id == agent


def test_requester_without_an_address_is_known_by_id() -> None:
    assert read_one(requester={"id": 17, "name": "Ana"}).principal_id == "17"


def test_first_unit_is_the_events_and_all_are_in_the_metadata() -> None:
    groups = [group(unit("orders", "read"), unit("bills", "write")), group(unit("logs", "admin"), integration=None)]

    record = read_one(access_groups=groups)

    assert (record.resource, record.permission, record.integration) == ("orders", "read", "Orders DB")
    units = record.metadata["access_request"]["units"]
    assert [(one["resource"], one["permission"], one["integration"]) for one in units] == [
        ("orders", "read", "Orders DB"),
        ("bills", "write", "Orders DB"),
        ("logs", "admin", ""),
    ]


def test_request_without_units_is_an_event() -> None:
    record = read_one(access_groups=[])

    assert (record.resource, record.resource_type, record.integration, record.permission) == ("", "", "", "")


def test_names_fall_back_to_ids_and_the_type_to_the_groups_only_one() -> None:
    bare = {"resource": {"id": "arn:1"}, "permission": {"id": "p-1"}}

    [one] = request_of(access_groups=[group(bare, integration={"id": "i-1"})]).units

    assert (one.resource, one.permission, one.integration, one.resource_type) == ("arn:1", "p-1", "i-1", "table")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (None, []),
        ([], []),
        (["prod", "pii"], ["prod", "pii"]),
        ({"env": "prod", "tier": 1, "old": None}, ["env=prod", "tier=1", "old="]),
    ],
)
def test_tags_are_texts_or_an_object(tags: Any, expected: list[str]) -> None:
    [one] = request_of(access_groups=[group(unit(tags=tags))]).units

    assert one.tags == expected


@pytest.mark.parametrize(
    ("kind", "approver", "manual"),
    [
        ("user", {"id": "u-9", "email": "max@example.com"}, True),
        ("user", {"email": "max@example.com"}, True),
        ("group", {"id": "u-9"}, True),
        ("", {"id": "u-9"}, True),
        ("author", {"id": "u-9"}, True),
        ("user", {}, False),
        ("user", {"name": "Max"}, False),
        ("user", None, False),
        ("automatic", {"id": "u-9", "email": "max@example.com"}, False),
        ("Auto", {"id": "u-9"}, False),
        ("AUTO_APPROVAL", {"id": "u-9"}, False),
        ("policy", {"id": "u-9"}, False),
        (" System ", {"id": "u-9"}, False),
    ],
)
def test_decision_is_manual_when_its_approver_is_a_person(kind: str, approver: Any, manual: bool) -> None:
    [one] = request_of("Rejected", approvals=[approval(type=kind, status="rejected", approver=approver)]).approvals

    assert one.manual is manual
    assert by_person(kind, approver_id=one.approver_id, approver_email=one.approver_email) is manual


def test_decision_of_a_request_that_was_not_seen_is_no_error() -> None:
    assert read_one("Approved", creation_date=None).action == "access_request.approved"


def test_planned_revocation_may_lie_ahead() -> None:
    assert request_of(revocation_date=TIME + 10 * 366 * 86_400).revoked_at == TIME + 10 * 366 * 86_400


def test_what_may_be_missing_may_be_null_too() -> None:
    optional = (
        "friendly_id", "grantee", "justification", "creation_date", "revocation_date", "access_flow", "access_bundle",
        "access_duration_in_seconds", "approvals", "custom_fields",
    )  # fmt: skip
    request = request_of(**dict.fromkeys(optional))

    assert (request.friendly_id, request.flow, request.duration_seconds, request.approvals) == ("", None, None, [])
    without = event()
    for name in optional:
        del without["data"][name]
    [record], _, _ = outcomes("apono", lines(without))
    assert AccessRequestRecord.from_metadata(record.metadata) == request


def test_unknown_keys_are_no_error() -> None:
    assert read_one(novel={"a": 1}) == read_one()


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (event("Deleted"), 'event_type: "AccessRequestDeleted" is none of AccessRequestCreated, '),
        ({**event(), "event_type": None}, "event_type: it is missing."),
        ({**event(), "event_time": None}, "event_time: no time is given."),
        (event(event_time=TIME * 1000), "event_time: 1763632800851.898 looks like epoch milliseconds"),
        (event(event_time="soon"), 'event_time: "soon" is neither ISO 8601'),
        ({**event(), "data": None}, "data: it is missing."),
        ({**event(), "data": "r-1"}, 'data: "r-1" is not an object.'),
        (event(id=None), "data.id: it is missing."),
        (event(id="x" * 201), "data.id: it has 201 characters"),
        (event(requester=None), "data.requester: missing, or has neither email nor id to tell who asked."),
        (event(requester={"name": "Ana"}), "data.requester: missing, or has neither email nor id to tell who asked."),
        (event(requester={"email": 1.5}), "data.requester.email: 1.5 is not a text."),
        (event(requester={"email": "x" * 201}), "data.requester: it has 201 characters"),
        (event(grantee=[]), "data.grantee: a list is not an object."),
        (event(creation_date="x"), 'data.creation_date: "x" is neither'),
        (event(revocation_date=TIME * 1000), "data.revocation_date: 1763632800851.898 looks like epoch milliseconds"),
        (event(access_duration_in_seconds=-1), "data.access_duration_in_seconds: -1 is not a number of seconds"),
        (event(access_duration_in_seconds="1h"), 'data.access_duration_in_seconds: "1h" is not a number of seconds'),
        (event(access_groups=None), "data.access_groups: no list is given."),
        (event(access_groups={}), "data.access_groups: an object is not a list."),
        (event(access_groups=["x"]), 'data.access_groups[0]: "x" is not an object.'),
        (event(access_groups=[group(), group("x")]), 'data.access_groups[1].access_units[0]: "x" is not an object.'),
        (
            event(access_groups=[group(unit(tags=["a", 1]))]),
            "data.access_groups[0].access_units[0].resource.tags[1]: 1 is not a text.",
        ),
        (event(access_groups=[group(unit(tags=7))]), "resource.tags: 7 is neither a list nor an object."),
        (event(access_groups=[group(unit("x" * 1001))]), "data.access_groups: resource: it has 1,001 characters"),
        (event(access_groups=[group(unit(tags=["a\x00"]))]), "data: it contains a NUL character"),
        (event(access_groups=[group(*[unit()] * 400)]), "bytes as JSON; at most 65,536 can be stored."),
        (event(approvals=[approval(approver="max")]), 'data.approvals[0].approver: "max" is not an object.'),
        (event(custom_fields=[1]), "data.custom_fields: a list is not an object."),
        (event(custom_fields={"a": "\x00"}), "data.custom_fields: it contains a NUL character"),
    ],
)
def test_bad_event_names_the_field(broken: dict[str, Any], sentence: str) -> None:
    assert sentence in reason("apono", lines(broken))


def test_deep_custom_fields_are_rejected() -> None:
    deep = lines(event(custom_fields={"a": 0})).replace(b'"a": 0', b'"a": ' + b"[" * 900 + b"]" * 900)

    assert "data.custom_fields: it is nested deeper than 32 levels." in reason("apono", deep)


def test_other_objects_are_not_of_the_format() -> None:
    assert "has none of the fields event_type, event_time, data" in outcomes("apono", lines({"a": 1}))[2]
