import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from anomalies.ingest.logins import is_login
from tests.ingest.samples import lines, outcomes, reason

APP = "00000002-0000-0ff1-ce00-000000000000"


def sign_in(**fields: Any) -> dict[str, Any]:
    return {
        "CreationTime": "2025-11-20T10:00:00",
        "Id": "b0ad6879-0000-4325-b541-de51b651cd00",
        "Operation": "UserLoggedIn",
        "OrganizationId": "org-1",
        "RecordType": 15,
        "ResultStatus": "Success",
        "UserKey": "key-1",
        "UserType": 0,
        "Workload": "AzureActiveDirectory",
        "ClientIP": "198.51.100.7",
        "ObjectId": APP,
        "UserId": "Ana@Example.com",
        "ExtendedProperties": [
            {"Name": "ResultStatusDetail", "Value": "Redirect"},
            {"Name": "UserAgent", "Value": "Mozilla/5.0"},
            {"Name": "RequestType", "Value": "OAuth2:Authorize"},
        ],
        "ActorIpAddress": "203.0.113.9",
        "ApplicationId": "app-1",
        "DeviceProperties": [{"Name": "OS", "Value": "Windows"}, {"Name": "SessionId", "Value": "s-1"}],
        "ErrorNumber": "0",
        **fields,
    }


def file_access(**fields: Any) -> dict[str, Any]:
    return {
        "CreationTime": "2025-11-20T10:00:00",
        "Id": "f-1",
        "Operation": "FileDownloaded",
        "Workload": "SharePoint",
        "UserId": "ana@example.com",
        "ObjectId": "https://example.sharepoint.com/a.docx",
        "ItemType": "File",
        **fields,
    }


def read_one(record: dict[str, Any], **options: Any) -> Any:
    [event], rejections, ended = outcomes("office365", lines(record), **options)
    assert (rejections, ended) == ([], "")
    return event


def test_sign_in_becomes_an_event() -> None:
    event = read_one(sign_in())

    assert event.external_id == "b0ad6879-0000-4325-b541-de51b651cd00"
    assert event.time == datetime(2025, 11, 20, 10, tzinfo=UTC)
    assert (event.agent_id, event.principal_id, event.action) == ("app-1", "ana@example.com", "UserLoggedIn")
    assert (event.status, event.ip, event.user_agent) == ("success", "198.51.100.7", "Mozilla/5.0")
    assert (event.resource, event.resource_type, event.integration) == (APP, "application", "AzureActiveDirectory")
    assert event.metadata == {
        "result_status": "Success",
        "result_detail": "Redirect",
        "request_type": "OAuth2:Authorize",
        "record_type": 15,
        "user_key": "key-1",
        "user_type": 0,
        "organization": "org-1",
        "session": "s-1",
    }


def test_file_access_becomes_an_event() -> None:
    event = read_one(file_access())

    assert (event.agent_id, event.action, event.status) == ("SharePoint", "FileDownloaded", "success")
    assert (event.resource, event.resource_type) == ("https://example.sharepoint.com/a.docx", "File")


@pytest.mark.parametrize(
    "content",
    [
        lines(sign_in()),
        json.dumps([sign_in()], indent=2).encode(),
        lines({"RecordType": "AzureActiveDirectoryStsLogon", "AuditData": json.dumps(sign_in())}),
        lines({"Identity": "x", "AuditData": sign_in()}),
    ],
    ids=["lines", "array", "search result", "search result, parsed"],
)
def test_lines_arrays_and_search_results_are_read(content: bytes) -> None:
    assert outcomes("office365", content) == ([read_one(sign_in())], [], "")


def test_record_delivered_again_has_the_same_id() -> None:
    records, _, _ = outcomes("office365", lines(sign_in(), sign_in()), new_id=lambda: "fresh")

    assert len({record.external_id for record in records}) == 1


def test_time_is_utc_in_whatever_zone_others_are() -> None:
    assert read_one(sign_in(), time_zone=ZoneInfo("Asia/Tokyo")).time == datetime(2025, 11, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("address", "ip"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.7:5678", "198.51.100.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("[::ffff:198.51.100.7]:443", "198.51.100.7"),
        ("", "203.0.113.9"),
        ("<null>", "203.0.113.9"),
        (None, "203.0.113.9"),
    ],
)
def test_port_and_brackets_are_no_part_of_the_address(address: str | None, ip: str) -> None:
    event = read_one(sign_in(ClientIP=address))

    assert event.ip == ip
    assert "source" not in event.metadata


def test_what_is_no_address_is_metadata() -> None:
    event = read_one(sign_in(ClientIP="198.51.100.7, 198.51.100.8"))

    assert event.ip is None
    assert event.metadata["source"] == "198.51.100.7, 198.51.100.8"


@pytest.mark.parametrize(
    ("operation", "fields", "status"),
    [
        ("UserLoggedIn", {}, "success"),
        ("UserLoggedIn", {"ResultStatus": "Succeeded"}, "success"),
        ("UserLoggedIn", {"ResultStatus": ""}, "success"),
        ("UserLoggedIn", {"ResultStatus": None, "ErrorNumber": None}, "success"),
        ("UserLoggedIn", {"LogonError": "Not Available"}, "success"),
        ("UserLoggedIn", {"ResultStatus": "Failed"}, "failure"),
        ("UserLoggedIn", {"LogonError": "UserAccountNotFound"}, "failure"),
        ("UserLoggedIn", {"LogonError": "UserDisabled"}, "blocked"),
        ("UserLoggedIn", {"ErrorNumber": "50034"}, "failure"),
        ("UserLoggedIn", {"ErrorNumber": 53003}, "blocked"),
        ("UserLoginFailed", {}, "failure"),
        ("UserLoginFailed", {"ResultStatus": "Succeeded"}, "failure"),
        ("UserLoginFailed", {"ErrorNumber": "50126", "LogonError": "InvalidUserNameOrPassword"}, "failure"),
        ("UserLoginFailed", {"ErrorNumber": None, "ErrorCode": "500121"}, "failure"),
        ("UserLoginFailed", {"ErrorNumber": "50053", "LogonError": "IdsLocked"}, "blocked"),
        ("UserLoginFailed", {"ErrorNumber": "53003"}, "blocked"),
        ("UserLoginFailed", {"ErrorNumber": None, "ErrorCode": "50053"}, "blocked"),
        ("UserLoginFailed", {"LogonError": "BlockedByConditionalAccess"}, "blocked"),
        ("UserLoginFailed", {"LogonError": "IdsLocked;PP_E_LOCKED"}, "blocked"),
    ],
)
def test_sign_in_is_what_its_error_says_not_its_result(operation: str, fields: dict[str, Any], status: str) -> None:
    event = read_one(sign_in(Operation=operation, **fields))

    assert (event.action, event.status) == (operation, status)
    assert is_login(event.action)


@pytest.mark.parametrize("operation", ["UserLoggedIn", "UserLoginFailed"])
@pytest.mark.parametrize(
    "fields",
    [{"ErrorNumber": "50140"}, {"ErrorNumber": 50058}, {"ErrorNumber": "50074"}, {"LogonError": "KmsiInterrupt"}],
)
def test_sign_in_that_is_not_over_is_no_failure_and_no_login(operation: str, fields: dict[str, Any]) -> None:
    event = read_one(sign_in(Operation=operation, **fields))

    assert (event.action, event.status) == ("UserLoginInterrupted", "success")
    assert not is_login(event.action)


@pytest.mark.parametrize(
    ("result", "status"),
    [
        ("Success", "success"),
        ("Succeeded", "success"),
        ("PartiallySucceeded", "success"),
        ("True", "success"),
        (True, "success"),
        (None, "success"),
        ("", "success"),
        ("Failed", "failure"),
        ("FAILED", "failure"),
        ("failure", "failure"),
        ("False", "failure"),
        (False, "failure"),
    ],
)
def test_result_of_other_operations_is_their_status(result: Any, status: str) -> None:
    assert read_one(file_access(ResultStatus=result)).status == status
    assert read_one(file_access(Operation="MailboxLogin", ResultStatus=result)).status == status


@pytest.mark.parametrize(
    ("fields", "agent"),
    [
        ({"AppId": "a-1", "ApplicationId": "a-2", "ClientAppId": "a-3"}, "a-1"),
        ({"AppId": "", "ApplicationId": "a-2", "ClientAppId": "a-3"}, "a-2"),
        ({"ClientAppId": "a-3"}, "a-3"),
        ({"AppAccessContext": {"ClientAppId": "a-4"}}, "a-4"),
        ({"ApplicationId": "00000000-0000-0000-0000-000000000000"}, "SharePoint"),
    ],
)
def test_application_acts_or_else_the_workload(fields: dict[str, Any], agent: str) -> None:
    assert read_one(file_access(**fields)).agent_id == agent


@pytest.mark.parametrize(
    ("fields", "principal"),
    [
        ({"UserId": "Not Available", "UserKey": "Key-1"}, "key-1"),
        ({"UserId": "Unknown"}, None),
        ({"UserId": None}, None),
    ],
)
def test_user_that_is_not_known_is_nobody(fields: dict[str, Any], principal: str | None) -> None:
    assert read_one(file_access(**fields)).principal_id == principal


def test_mail_client_is_the_user_agent() -> None:
    assert read_one(file_access(ClientInfoString="Client=OWA;Mozilla/5.0")).user_agent == "Client=OWA;Mozilla/5.0"


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (sign_in(Operation=None), "Operation: it is missing, so this is not a record of the audit log."),
        (sign_in(CreationTime=7), "CreationTime: it is missing, so this is not a record of the audit log."),
        (sign_in(CreationTime="6/18/2023 12:26 PM"), 'CreationTime: "6/18/2023 12:26 PM" is neither ISO 8601'),
        (sign_in(ApplicationId=None, Workload=None), "Workload: it is missing"),
        (sign_in(UserId="x" * 201), "UserId: it has 201 characters"),
        (sign_in(Operation="x" * 201), "Operation: it has 201 characters"),
        (sign_in(ObjectId="x" * 1001), "ObjectId: it has 1,001 characters"),
        ({"AuditData": "{"}, "AuditData: It is not JSON"),
        ({"AuditData": None}, "CreationTime: it is missing"),
    ],
)
def test_bad_record_names_the_field(broken: dict[str, Any], sentence: str) -> None:
    assert sentence in reason("office365", lines(broken))


def test_other_objects_are_not_of_the_format() -> None:
    assert outcomes("office365", lines({"a": 1}))[2].startswith("It does not look like Microsoft 365 audit records")
