import json
from collections import Counter
from typing import Any

import pytest

from tests.ingest.samples import CLOUDTRAIL_FOLDER, needs_cloudtrail, outcomes, reason

ROLE = {
    "type": "AssumedRole",
    "principalId": "AROA:session",
    "arn": "arn:aws:sts::1:assumed-role/deploy/session",
    "sessionContext": {"sessionIssuer": {"type": "Role", "userName": "deploy"}},
}


def trail(**fields: Any) -> dict[str, Any]:
    return {
        "eventID": "id-1",
        "eventTime": "2023-07-10T11:42:36Z",
        "eventSource": "secretsmanager.amazonaws.com",
        "eventName": "GetSecretValue",
        "userIdentity": {"type": "IAMUser", "userName": "ana", "accountId": "1"},
        "sourceIPAddress": "198.51.100.7",
        "userAgent": "aws-cli",
        "requestID": "r-1",
        "requestParameters": {"secretId": "db"},
        **fields,
    }


def read_one(**fields: Any) -> Any:
    [record], rejections, ended = outcomes("cloudtrail", json.dumps({"Records": [trail(**fields)]}).encode())
    assert (rejections, ended) == ([], "")
    return record


def test_record_becomes_an_event() -> None:
    record = read_one()

    assert record.external_id == "id-1"
    assert (record.agent_id, record.principal_id) == ("ana", "ana")
    assert (record.action, record.integration, record.status) == ("GetSecretValue", "secretsmanager", "success")
    assert (record.resource, record.resource_type, record.request_id) == ("db", "secret", "r-1")
    assert (record.ip, record.user_agent) == ("198.51.100.7", "aws-cli")


@pytest.mark.parametrize(
    ("identity", "agent", "principal"),
    [
        (ROLE, "deploy", "session"),
        ({**ROLE, "principalId": "AROA:ana@example.com"}, "deploy", "ana@example.com"),
        ({**ROLE, "principalId": "AROA:aws-go-sdk-1688990082523310002"}, "deploy", None),
        ({**ROLE, "principalId": "AROA:i-0dbc91f429e48eeed"}, "deploy", None),
        ({**ROLE, "invokedBy": "inspector2.amazonaws.com"}, "deploy", None),
        ({**ROLE, "sessionContext": {**ROLE["sessionContext"], "sourceIdentity": "ana"}}, "deploy", "ana"),
        ({**ROLE, "sessionContext": None}, "deploy", "session"),
        ({"type": "AWSService", "invokedBy": "rds.amazonaws.com"}, "rds.amazonaws.com", None),
        ({"accountId": "1", "invokedBy": "ec2.amazonaws.com"}, "ec2.amazonaws.com", None),
        ({"type": "Root", "accountId": "1"}, "root", None),
        ({"type": "AWSAccount", "accountId": "2", "principalId": "X"}, "account:2", None),
        ({"type": "IAMUser", "userName": "ana", "invokedBy": "AWS Internal"}, "ana", "ana"),
    ],
)
def test_who_acts_and_for_whom(identity: dict[str, Any], agent: str, principal: str | None) -> None:
    record = read_one(userIdentity=identity)

    assert (record.agent_id, record.principal_id) == (agent, principal)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("AccessDenied", "blocked"),
        ("AccessDeniedException", "blocked"),
        ("Client.UnauthorizedOperation", "blocked"),
        ("UnauthorizedAccess", "blocked"),
        ("ThrottlingException", "success"),
        ("NoSuchBucketPolicy", "success"),
        ("Client.InvalidVolume.NotFound", "success"),
        ("InvalidAccessException", "success"),
    ],
)
def test_only_a_denial_is_blocked(code: str, status: str) -> None:
    record = read_one(errorCode=code, errorMessage="why")

    assert record.status == status
    assert record.metadata["error_code"] == code


@pytest.mark.parametrize(("answer", "status"), [("Failure", "failure"), ("Success", "success")])
def test_sign_in_with_wrong_credentials_is_a_failure(answer: str, status: str) -> None:
    record = read_one(eventType="AwsConsoleSignIn", eventName="ConsoleLogin", responseElements={"ConsoleLogin": answer})

    assert record.status == status


def test_service_name_instead_of_an_address_is_metadata() -> None:
    record = read_one(sourceIPAddress="rds.amazonaws.com")

    assert record.ip is None
    assert record.metadata["source"] == "rds.amazonaws.com"


def test_listed_resource_goes_before_the_parameters() -> None:
    record = read_one(resources=[{"ARN": "arn:aws:s3:::b", "type": "AWS::S3::Bucket"}])

    assert (record.resource, record.resource_type) == ("arn:aws:s3:::b", "AWS::S3::Bucket")


def test_parameters_and_answers_are_not_kept() -> None:
    record = read_one(requestParameters={"password": "p4ss"}, responseElements={"token": "t0ken"})

    assert "p4ss" not in repr(record)
    assert "t0ken" not in repr(record)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"eventName": None}, "eventName: it is missing, so this is not a CloudTrail record."),
        ({"userIdentity": {}}, "userIdentity: it names nobody."),
        ({"userIdentity": None}, "userIdentity: it names nobody."),
        ({"eventTime": "soon"}, "time: "),
        ({"requestParameters": [], "resources": 7, "userAgent": 1}, "user_agent: 1 is not a text."),
    ],
)
def test_bad_record_says_why(fields: dict[str, Any], sentence: str) -> None:
    assert sentence in reason("cloudtrail", json.dumps({"Records": [trail(**fields)]}).encode())


def test_lines_and_plain_arrays_are_read_too() -> None:
    one = json.dumps(trail()).encode()

    assert len(outcomes("cloudtrail", one + b"\n" + one)[0]) == 2
    assert len(outcomes("cloudtrail", b"[" + one + b"]")[0]) == 1


def test_file_without_records_is_valid() -> None:
    assert outcomes("cloudtrail", b'{"Records": []}') == ([], [], "")


@needs_cloudtrail
def test_real_files_give_all_their_events() -> None:
    records = []
    for path in sorted(CLOUDTRAIL_FOLDER.glob("*.json")):
        found, rejections, ended = outcomes("cloudtrail", path.read_bytes())
        assert (rejections, ended) == ([], ""), path
        records += found

    assert len({record.external_id for record in records}) == len(records) == 2900
    assert Counter(record.status for record in records) == {"success": 2840, "blocked": 60}
    sweep = [record for record in records if record.action == "GetPasswordData"]
    assert {(record.agent_id, record.status) for record in sweep} == {
        ("stratus-red-team-ec2-get-password-data-role", "blocked")
    }
