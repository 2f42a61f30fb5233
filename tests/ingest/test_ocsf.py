import json
from datetime import UTC, datetime
from typing import Any

import pytest

from anomalies.ingest.logins import is_login
from tests.ingest.samples import lines, outcomes, reason

TIME = 1_763_632_800_250  # 2025-11-20T10:00:00.25Z


def logon(**fields: Any) -> dict[str, Any]:
    return {
        "class_uid": 3002,
        "category_uid": 3,
        "activity_id": 1,
        "activity_name": "Logon",
        "type_uid": 300201,
        "time": TIME,
        "status_id": 1,
        "status": "Success",
        "user": {"name": "ana", "email_addr": "ana@example.com", "uid": "u-1", "domain": "CORP"},
        "actor": {"app_name": "portal"},
        "src_endpoint": {
            "ip": "198.51.100.7",
            "location": {"country": "DE", "city": "Berlin", "coordinates": [13.4, 52.5]},
        },
        "dst_endpoint": {"hostname": "web1"},
        "service": {"name": "sso"},
        "session": {"uid": "s-1"},
        "is_mfa": False,
        "auth_protocol": "SAML",
        "http_request": {"user_agent": "Mozilla/5.0"},
        "metadata": {"uid": "evt-1", "version": "1.1.0", "product": {"name": "Okta", "vendor_name": "Okta Inc"}},
        "unmapped": {"password": "p4ss"},
        "raw_data": "t0ken",
        **fields,
    }


def session(**fields: Any) -> dict[str, Any]:
    return logon(class_uid=3003, type_uid=300301, privileges=["SeDebug", "SeBackup"], **fields)


def access(**fields: Any) -> dict[str, Any]:
    return {
        **logon(class_uid=3005, activity_name="Assign Privileges", type_uid=300501),
        "actor": {"user": {"name": "root"}},
        "privileges": ["admin"],
        "resources": [{"name": "orders", "type": "table"}, {"uid": "arn:2"}],
        **fields,
    }


def read_one(event: dict[str, Any]) -> Any:
    [record], rejections, ended = outcomes("ocsf", lines(event))
    assert (rejections, ended) == ([], "")
    return record


def test_logon_becomes_an_event() -> None:
    record = read_one(logon())

    assert record.external_id == "evt-1"
    assert record.time == datetime(2025, 11, 20, 10, 0, 0, 250_000, tzinfo=UTC)
    assert (record.agent_id, record.principal_id) == ("portal", "ana@example.com")
    assert (record.action, record.status) == ("authentication.logon", "success")
    assert (record.resource, record.resource_type, record.integration) == ("web1", "endpoint", "Okta")
    assert (record.ip, record.country, record.city) == ("198.51.100.7", "DE", "Berlin")
    assert (record.latitude, record.longitude, record.user_agent) == (52.5, 13.4, "Mozilla/5.0")
    assert record.metadata == {
        "is_mfa": False,
        "auth_protocol": "SAML",
        "session": "s-1",
        "user": "u-1",
        "domain": "CORP",
    }


def test_session_becomes_an_event() -> None:
    record = read_one(session())

    assert (record.action, record.agent_id, record.principal_id) == (
        "authorize_session.assign_privileges", "portal", "ana@example.com",
    )  # fmt: skip
    assert record.permission == "SeDebug"
    assert record.metadata["privileges"] == ["SeDebug", "SeBackup"]


def test_change_of_access_is_done_by_the_actor_to_the_user() -> None:
    record = read_one(access())

    assert (record.action, record.agent_id, record.principal_id) == (
        "user_access.assign_privileges", "root", "ana@example.com",
    )  # fmt: skip
    assert (record.resource, record.resource_type, record.permission) == ("orders", "table", "admin")
    assert record.metadata["resources"] == ["orders", "arn:2"]


@pytest.mark.parametrize(
    ("event", "action"),
    [
        (logon(activity_id=2), "authentication.logoff"),
        (logon(activity_id=3), "authentication.authentication_ticket"),
        (logon(activity_id=7), "authentication.account_switch"),
        (logon(activity_id=99, activity_name="Password Spray!"), "authentication.password_spray"),
        (logon(activity_id=0, activity_name=None), "authentication.other"),
        (session(activity_id=3), "authorize_session.assign_roles"),
        (access(activity_id=2), "user_access.revoke_privileges"),
        (access(activity_id=4), "user_access.remove_role"),
    ],
)
def test_each_activity_has_its_action_and_only_a_logon_is_a_login(event: dict[str, Any], action: str) -> None:
    assert read_one(event).action == action
    assert not is_login(action)
    assert is_login(read_one(logon()).action)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"status_id": 1, "status": "0x0"}, "success"),
        ({"status_id": 2, "status": "0xC000006D"}, "failure"),
        ({"status_id": 2, "status_detail": "INVALID_CREDENTIALS"}, "failure"),
        ({"status_id": 2, "status_detail": "ACCOUNT_LOCKED_OUT"}, "blocked"),
        ({"status_id": 2, "status_detail": "ACCOUNT_DISABLED"}, "blocked"),
        ({"status_id": 99, "status": "Failed"}, "failure"),
        ({"status_id": 0, "status": "success"}, "success"),
        ({"status_id": None, "status": "Failure"}, "failure"),
        ({"status_id": 2, "action_id": 2}, "blocked"),
        ({"status_id": 1, "disposition_id": 2}, "blocked"),
        ({"status_id": 2, "action_id": 1}, "failure"),
    ],
)
def test_status_is_the_id_or_else_the_text_unless_denied(fields: dict[str, Any], status: str) -> None:
    assert read_one(logon(**fields)).status == status


def test_what_was_given_is_a_success_without_a_status() -> None:
    assert read_one(session(status_id=None, status=None)).status == "success"
    assert read_one(access(status_id=0, status=None)).status == "success"


@pytest.mark.parametrize(
    ("fields", "principal"),
    [
        ({"user": {"name": "ana", "uid": "u-1"}}, "ana"),
        ({"user": {"name": "-", "uid": "u-1"}}, "u-1"),
        ({"user": None, "actor": {"user": {"name": "bob"}}}, "bob"),
        ({"user": {"uid": "NULL SID"}, "actor": {"user": {"name": "bob"}}}, "bob"),
    ],
)
def test_user_is_known_by_address_name_or_id(fields: dict[str, Any], principal: str) -> None:
    assert read_one(logon(**fields)).principal_id == principal


@pytest.mark.parametrize(
    ("fields", "agent"),
    [
        ({"actor": {"app_uid": "app-1"}}, "app-1"),
        ({"actor": {"user": {"name": "ana"}}}, "sso"),
        ({"actor": None, "service": None}, "web1"),
        ({"actor": None, "service": None, "dst_endpoint": {"svc_name": "console", "ip": "::1"}}, "console"),
        ({"actor": None, "service": None, "dst_endpoint": None}, "Okta"),
    ],
)
def test_application_acts_or_else_what_it_asked(fields: dict[str, Any], agent: str) -> None:
    assert read_one(logon(**fields)).agent_id == agent


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ({"coordinates": [-73.98, 40.7]}, (40.7, -73.98)),
        ({"lat": 40.7, "long": -73.98}, (40.7, -73.98)),
        ({"lat": 40.7, "long": -73.98, "coordinates": [0, 0]}, (40.7, -73.98)),
        ({"country": "US"}, (None, None)),
        (None, (None, None)),
    ],
)
def test_place_is_a_pair_of_longitude_and_latitude_or_two_fields(location: Any, place: tuple[Any, Any]) -> None:
    record = read_one(logon(src_endpoint={"ip": "198.51.100.7", "location": location}))

    assert (record.latitude, record.longitude) == place


def test_roles_and_groups_are_permissions_too() -> None:
    assert read_one(access(privileges=None, iam_role={"name": "owner"})).permission == "owner"
    assert read_one(logon(class_uid=3003, groups=[{"name": "wheel"}, {"uid": "g-2"}])).metadata["privileges"] == [
        "wheel",
        "g-2",
    ]


def test_what_is_no_address_is_metadata() -> None:
    record = read_one(logon(src_endpoint={"ip": "somewhere"}))

    assert (record.ip, record.metadata["source"]) == (None, "somewhere")
    assert "source" not in read_one(logon(src_endpoint={"ip": "-"})).metadata


def test_raw_and_unmapped_data_are_not_kept() -> None:
    assert "p4ss" not in repr(read_one(logon()))
    assert "t0ken" not in repr(read_one(logon()))


def test_event_without_an_id_gets_one_of_its_content() -> None:
    records, _, _ = outcomes("ocsf", lines(logon(metadata=None), logon(metadata=None, time=TIME + 1)))

    assert len({record.external_id for record in records if record.external_id.startswith("sha256:")}) == 2


@pytest.mark.parametrize("uid", [0, 1001, 3001, 3006, 4001, 6003, 201_003])
def test_events_of_other_classes_are_no_events(uid: int) -> None:
    assert outcomes("ocsf", lines({"class_uid": uid, "time": "whenever"})) == ([], [], "")
    assert len(outcomes("ocsf", json.dumps([logon(), {"class_uid": uid}]).encode())[0]) == 1


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (logon(class_uid=None), "class_uid: it is missing."),
        (logon(class_uid=42), "class_uid: 42 is no class of OCSF, such as 3002 (Authentication)."),
        (logon(class_uid=-3002), "class_uid: -3002 is no class of OCSF"),
        (logon(class_uid="3002"), 'class_uid: "3002" is no class of OCSF'),
        (logon(class_uid=True), "class_uid: true is no class of OCSF"),
        (logon(activity_id=None), "activity_id: it is missing."),
        (logon(activity_id="1"), 'activity_id: "1" is no integer.'),
        (logon(time=None), "time: it is missing."),
        (logon(time=TIME // 1000), "time: 1763632800 looks like epoch seconds; the time of OCSF is in milliseconds."),
        (logon(time=TIME * 1000), "time: 1763632800250000 looks like epoch microseconds or nanoseconds;"),
        (logon(time="2025-11-20T10:00:00Z"), 'time: "2025-11-20T10:00:00Z" is not a number of milliseconds'),
        (logon(time=TIME * 2), "time: 2081-"),
        (logon(user=None), "user: it is missing, or has no email_addr, name or uid."),
        (logon(user={"name": "-"}), "user: it is missing, or has no email_addr, name or uid."),
        (access(user=None), "user: it is missing, or has no email_addr, name or uid."),
        (logon(user={"name": "x" * 201}), "user: it has 201 characters"),
        (logon(status_id=99, status="Challenged"), "status_id: neither it nor status tells whether"),
        (logon(status_id=None, status=None), "status_id: neither it nor status tells whether"),
        (logon(actor={}, service={}, dst_endpoint={}, metadata={}), "actor: neither it nor service, dst_endpoint"),
        (logon(src_endpoint={"location": {"country": "Germany"}}), 'src_endpoint.location.country: "Germany" is not'),
        (logon(src_endpoint={"location": {"coordinates": [1]}}), "src_endpoint.location.coordinates: a list is not"),
        (
            logon(src_endpoint={"location": {"coordinates": [52.5, 113.4]}}),
            "src_endpoint.location (latitude): 113.4 is not a number from -90 to 90.",
        ),
        (logon(metadata={"uid": "x" * 201}), "metadata.uid: it has 201 characters"),
        (logon(http_request={"user_agent": "x" * 2001}), "http_request.user_agent: it has 2,001 characters"),
    ],
)
def test_bad_event_names_the_field(broken: dict[str, Any], sentence: str) -> None:
    assert sentence in reason("ocsf", lines(broken))


def test_other_objects_are_not_of_the_format() -> None:
    assert outcomes("ocsf", lines({"a": 1}))[2].startswith("It does not look like OCSF identity and access events")
