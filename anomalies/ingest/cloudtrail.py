"""AWS CloudTrail: the files {"Records": [...]} that it writes to S3, also one record a line or a plain array.

The agent is the identity that acts: an IAM user, the role of an assumed role, root, a federated user's issuer, another
account, or the AWS service that acts on its own. The principal is the person behind it where the record tells: the IAM
user; of an assumed role the source identity, or the session's name if it is no machine's (SDKs, instances and services
make up a new one for each session, which would look like a new principal each time; all are in the metadata).

The status is the authorization's. Denied (AccessDenied, UnauthorizedOperation and their like) is "blocked", a sign-in
with wrong credentials "failure". All other errors, throttling and missing resources too, are a "success": the call was
allowed and then found something wrong; `error_code` in the metadata tells.

Request parameters and answers are not kept but for the resource: they may hold secrets.
"""

import re
from collections.abc import Iterator, Mapping
from io import BufferedReader
from typing import Any

from anomalies.ingest.fields import event_record, known_ip_address
from anomalies.ingest.ids import Ids
from anomalies.ingest.json_records import json_records, object_with
from anomalies.ingest.nested import mapping, mappings, named
from anomalies.ingest.record import EventRecord, FieldError, ReadOptions, Rejection

_DENIED = re.compile(
    r"(?:(?:Client|Server|KMS)\.)?"
    r"(?:AccessDenied\w*|\w*UnauthorizedOperation|Unauthorized\w*|NotAuthorized\w*|AuthorizationError\w*|Forbidden\w*)"
)
# Session names that a machine makes up: instance ids, and anything with six digits or eight hexadecimal ones in a row.
_MACHINE_SESSION = re.compile(r"\d{6}|\b[0-9a-f]{8}|^i-[0-9a-f]+$|^(aws-|botocore-)", re.IGNORECASE)
NEEDED = ("eventTime", "eventSource", "eventName")
MAX_ERROR_MESSAGE = 500  # characters; encoded authorization messages are long and say nothing

# Which parameter names the resource, most telling first, and what that is.
RESOURCE_PARAMETERS = {
    "secretId": "secret",
    "bucketName": "bucket",
    "instanceId": "instance",
    "dBInstanceIdentifier": "database",
    "dBSnapshotIdentifier": "database snapshot",
    "functionName": "function",
    "tableName": "table",
    "queueUrl": "queue",
    "topicArn": "topic",
    "keyId": "key",
    "roleName": "role",
    "roleArn": "role",
    "userName": "user",
    "groupName": "group",
    "policyArn": "policy",
    "instanceProfileName": "instance profile",
    "groupId": "security group",
    "snapshotId": "snapshot",
    "volumeId": "volume",
    "imageId": "image",
    "vpcId": "vpc",
    "subnetId": "subnet",
    "allocationId": "address",
    "documentName": "document",
    "stackName": "stack",
    "trailName": "trail",
    "logGroupName": "log group",
    "clusterName": "cluster",
    "repositoryName": "repository",
    "resourceId": "resource",
    "resourceArn": "resource",
    "name": "resource",
}


def read(stream: BufferedReader, options: ReadOptions) -> Iterator[EventRecord | Rejection]:
    """Yield an event or a rejection for each record. Raises SourceError where the stream breaks off."""
    ids = Ids(options)
    for place, text in json_records(stream, key="Records"):
        if isinstance(text, Rejection):
            yield text
            continue
        try:
            yield ids.identified(event_record(_fields(object_with(text, *NEEDED)), options))
        except FieldError as error:
            yield place.rejection(error)


def _fields(record: Mapping[str, Any]) -> dict[str, Any]:
    for name in NEEDED:
        if not isinstance(record.get(name), str):
            raise FieldError(f"{name}: it is missing, so this is not a CloudTrail record.")
    identity = mapping(record, "userIdentity")
    resource, resource_type = _resource(record)
    address = record.get("sourceIPAddress")
    ip = known_ip_address(address) if isinstance(address, str) else None
    return {
        "id": record.get("eventID"),
        "time": record["eventTime"],
        "agent_id": _agent(identity),
        "principal_id": _principal(identity),
        "action": record["eventName"],
        "status": _status(record),
        "request_id": record.get("requestID"),
        "resource": resource,
        "resource_type": resource_type,
        "integration": record["eventSource"].removesuffix(".amazonaws.com"),
        "ip": ip,
        "user_agent": record.get("userAgent"),
        "metadata": _metadata(record, identity, source=None if ip else address),
    }


def _issuer(identity: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(identity, "sessionContext", "sessionIssuer")


def _agent(identity: Mapping[str, Any]) -> str:
    kind = identity.get("type")
    if kind == "Root":
        return "root"
    if kind in ("AssumedRole", "FederatedUser", "Role"):
        agent = named(_issuer(identity), "userName", "arn") or _role_of(named(identity, "arn"))
    elif kind == "AWSAccount":
        agent = f"account:{named(identity, 'accountId')}"
    else:
        agent = named(identity, "userName", "invokedBy")
    agent = agent or named(identity, "arn", "principalId", "invokedBy", "accountId")
    if not agent:
        raise FieldError("userIdentity: it names nobody.")
    return agent


def _role_of(arn: str) -> str:
    """Return the role in arn:aws:sts::123456789012:assumed-role/ROLE/SESSION."""
    parts = arn.split("/")
    return parts[1] if len(parts) == 3 and parts[0].endswith(":assumed-role") else ""


def _session(identity: Mapping[str, Any]) -> str:
    return named(identity, "principalId").partition(":")[2]


def _principal(identity: Mapping[str, Any]) -> str:
    kind = identity.get("type")
    if kind in ("IAMUser", "SAMLUser", "WebIdentityUser"):
        return named(identity, "userName")
    if kind == "IdentityCenterUser":
        return named(mapping(identity, "onBehalfOf"), "userId")
    person = named(mapping(identity, "sessionContext"), "sourceIdentity")
    if kind == "AssumedRole" and not person and not identity.get("invokedBy"):
        session = _session(identity)
        person = "" if _MACHINE_SESSION.search(session) else session
    return person


def _status(record: Mapping[str, Any]) -> str:
    if record.get("eventType") == "AwsConsoleSignIn":
        failed = mapping(record, "responseElements").get(record["eventName"]) == "Failure"
        return "failure" if failed else "success"
    code = record.get("errorCode")
    return "blocked" if isinstance(code, str) and _DENIED.fullmatch(code) else "success"


def _resource(record: Mapping[str, Any]) -> tuple[str, str]:
    for resource in mappings(record, "resources"):
        if arn := named(resource, "ARN"):
            return arn, named(resource, "type")
    parameters = mapping(record, "requestParameters")
    for name, kind in RESOURCE_PARAMETERS.items():
        if value := named(parameters, name):
            return value, kind
    return "", ""


def _metadata(record: Mapping[str, Any], identity: Mapping[str, Any], *, source: object) -> dict[str, Any]:
    attributes = mapping(identity, "sessionContext", "attributes")
    found = {
        "error_code": record.get("errorCode"),
        "error_message": named(record, "errorMessage")[:MAX_ERROR_MESSAGE],
        "region": record.get("awsRegion"),
        "account": record.get("recipientAccountId"),
        "event_type": record.get("eventType"),
        "read_only": record.get("readOnly"),
        "identity_type": identity.get("type"),
        "identity_arn": identity.get("arn"),
        "access_key": identity.get("accessKeyId"),
        "session": _session(identity),
        "invoked_by": identity.get("invokedBy"),
        "mfa": attributes.get("mfaAuthenticated"),
        "source": source,
    }
    return {name: value for name, value in found.items() if value is not None and value != ""}
