"""Microsoft 365: records of the unified audit log, as the Management Activity API and Purview's searches give them.

One a line or a JSON array. A result of Search-UnifiedAuditLog, which has the record as text in its field `AuditData`,
counts as that record; its CSV is not read (turn it into JSON with ConvertTo-Json). The log delivers records again,
with the same Id.

The agent is the application that the user acts with, by its id, or else the workload. The principal is the UserId,
in lower case: the log spells the same address differently.

The status of a sign-in (UserLoggedIn, UserLoginFailed) is not its ResultStatus: "Succeeded" there says only that the
HTTP call was answered, and whether the logon failed is in LogonError and the error number, whatever the operation is
called. Disabled users come as UserLoggedIn with a LogonError. So:

- UserLoginFailed, and UserLoggedIn with an error or with a ResultStatus of Failed, is a "failure";
- it is "blocked" where the credentials are not what was wrong: conditional access, a locked or disabled account, a
  policy of the tenant;
- where the sign-in was not over, such as a second factor asked for, or "Keep me signed in?", neither has happened: that
  is a "success" of the action UserLoginInterrupted, which is no login.

Of all other operations a ResultStatus of Failed or False is a "failure", all else a "success".

Sources: Office 365 Management Activity API schema; Microsoft Entra authentication and authorization error codes;
Cisco Cloudlock's and AT&T Cybersecurity's notes on UserLoggedIn with a LogonError.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from io import BufferedReader
from typing import Any

from anomalies.ingest.fields import as_spelt, event_record, known_ip_address
from anomalies.ingest.ids import Ids
from anomalies.ingest.json_records import json_records, object_with, parsed_object
from anomalies.ingest.nested import mapping, mappings, named
from anomalies.ingest.record import EventRecord, FieldError, ReadOptions, Rejection
from anomalies.ingest.times import parsed_time
from anomalies.ingest.wording import shown

NEEDED = ("CreationTime", "Operation")
SIGN_INS = ("UserLoggedIn", "UserLoginFailed")
INTERRUPTED = "UserLoginInterrupted"  # ours
FAILED = ("failed", "failure", "fail", "false")
# What stands where there is nothing.
PLACEHOLDERS = ("unknown", "not available", "<null>", "null", "none", "00000000-0000-0000-0000-000000000000")
THEIRS = {
    "id": "Id",
    "agent_id": "ApplicationId",
    "principal_id": "UserId",
    "action": "Operation",
    "resource": "ObjectId",
    "resource_type": "ItemType",
    "integration": "Workload",
    "user_agent": "UserAgent",
}

# Error numbers of sign-ins (AADSTS...) and what LogonError calls them.
BLOCKED = {
    "50005": "DevicePolicyError",
    "50053": "IdsLocked",
    "50057": "UserDisabled",
    "50105": "EntitlementGrantsNotFound",
    "50131": "ConditionalAccessFailed",
    "53000": "DeviceNotCompliant",
    "53001": "DeviceNotDomainJoined",
    "53002": "ApplicationUsedIsNotAnApprovedApp",
    "53003": "BlockedByConditionalAccess",
    "53004": "ProofUpBlockedDueToRisk",
    "53010": "ProofUpBlockedDueToSecurityInfoAcr",
    "53011": "UserBlockedDueToRiskOnHomeTenant",
    "80012": "OnPremisePasswordValidationAccountLogonInvalidHours",
    "500021": "RestrictedTenant",
    "500022": "RestrictedTenant",
    "500212": "NotAllowedByOutboundPolicyTenant",
    "500213": "NotAllowedByInboundPolicyTenant",
    "530034": "DelegatedAdminBlockedDueToSuspiciousActivity",
    "530035": "BlockedBySecurityDefaults",
}
INTERRUPTS = {
    "16000": "InteractionRequired",
    "50058": "UserInformationNotProvided",  # asked whether somebody is signed in already; nobody is
    "50072": "UserStrongAuthEnrollmentRequiredInterrupt",
    "50074": "UserStrongAuthClientAuthNRequiredInterrupt",
    "50076": "UserStrongAuthClientAuthNRequired",
    "50078": "UserStrongAuthExpired",
    "50079": "UserStrongAuthEnrollmentRequired",
    "50097": "DeviceAuthenticationRequired",
    "50125": "PasswordResetRegistrationRequiredInterrupt",
    "50127": "BrokerAppNotInstalled",
    "50129": "DeviceIsNotWorkplaceJoined",
    "50140": "KmsiInterrupt",
    "50168": "ChromeBrowserSsoInterruptRequired",
    "50199": "CmsiInterrupt",
    "51006": "ForceReauthDueToInsufficientAuth",
    "65001": "DelegationDoesNotExist",  # consent is asked for
    "70016": "AuthorizationPending",
}

# An address with its port: 1.2.3.4:5678, [2001:db8::1]:443.
_WITH_PORT = re.compile(r"(?:\[(?P<bracketed>[^\]]+)\]|(?P<plain>\d+(?:\.\d+){3}))(?::\d{1,5})?")


def read(stream: BufferedReader, options: ReadOptions) -> Iterator[EventRecord | Rejection]:
    """Yield an event or a rejection for each record. Raises SourceError where the stream breaks off."""
    ids = Ids(options)
    for place, text in json_records(stream):
        if isinstance(text, Rejection):
            yield text
            continue
        try:
            yield ids.identified(_record(_audit_data(object_with(text, *NEEDED, "AuditData")), options))
        except FieldError as error:
            yield place.rejection(error)


def _audit_data(result: dict[str, Any]) -> dict[str, Any]:
    data = result.get("AuditData")
    if not isinstance(data, str):
        return data if isinstance(data, dict) else result
    try:
        return parsed_object(data.encode())
    except (FieldError, UnicodeEncodeError) as error:
        raise FieldError(f"AuditData: {error}") from None


def _record(record: Mapping[str, Any], options: ReadOptions) -> EventRecord:
    for name in NEEDED:
        if not isinstance(record.get(name), str):
            raise FieldError(f"{name}: it is missing, so this is not a record of the audit log.")
    time = parsed_time(record["CreationTime"], replace(options, time_zone=None), field="CreationTime")  # always UTC
    operation, status = _operation_and_status(record)
    address = _told(record, "ClientIP", "ClientIPAddress", "ActorIpAddress")
    ip = _ip(address)
    sign_in = record["Operation"] in SIGN_INS
    try:
        return event_record(
            {
                "id": record.get("Id"),
                "time": time,
                "agent_id": _agent(record),
                "principal_id": _told(record, "UserId", "UserKey").lower(),
                "action": operation,
                "status": status,
                "resource": _told(record, "ObjectId"),
                "resource_type": _told(record, "ItemType") or ("application" if sign_in else ""),
                "integration": _told(record, "Workload"),
                "ip": ip,
                "user_agent": named(record, "UserAgent")
                or _property(record, "ExtendedProperties", "UserAgent")
                or named(record, "ClientInfoString"),
                "metadata": _metadata(record, source="" if ip else address),
            },
            options,
        )
    except FieldError as error:
        raise as_spelt(error, THEIRS) from None


def _told(record: Mapping[str, Any], *names: str) -> str:
    """Return the first of these texts that says something, or ""."""
    for name in names:
        text = named(record, name).strip()
        if text and text.lower() not in PLACEHOLDERS:
            return text
    return ""


def _property(record: Mapping[str, Any], listed: str, name: str) -> str:
    """Return the value of that name in a list of {"Name": ..., "Value": ...}, or ""."""
    return next((named(one, "Value") for one in mappings(record, listed) if one.get("Name") == name), "")


def _operation_and_status(record: Mapping[str, Any]) -> tuple[str, str]:
    operation = record["Operation"]
    result = _word(record.get("ResultStatus"))
    if operation not in SIGN_INS:
        return operation, "failure" if result in FAILED else "success"
    number = _error_number(record)
    reason = _told(record, "LogonError").partition(";")[0]  # the first of several is why
    if number in INTERRUPTS or reason in INTERRUPTS.values():
        return INTERRUPTED, "success"
    if number in BLOCKED or reason in BLOCKED.values():
        return operation, "blocked"
    failed = operation == "UserLoginFailed" or number or reason or result in FAILED
    return operation, "failure" if failed else "success"


def _word(value: object) -> str:
    """Return a text, number, true or false in lower case, "" for all else."""
    if isinstance(value, int):
        return shown(value)
    return value.strip().lower() if isinstance(value, str) else ""


def _error_number(record: Mapping[str, Any]) -> str:
    """Return the number, or "" for none: 0 is none."""
    for name in ("ErrorNumber", "ErrorCode"):  # as records spell it, and as the schema does
        number = _word(record.get(name))
        if number.strip("0"):
            return number
    return ""


def _agent(record: Mapping[str, Any]) -> str:
    agent = (
        _told(record, "AppId", "ApplicationId", "ClientAppId")
        or _told(mapping(record, "AppAccessContext"), "ClientAppId")
        or _told(record, "Workload")
    )
    if not agent:
        raise FieldError("Workload: it is missing, and no ApplicationId tells who acted either.")
    return agent


def _ip(address: str) -> str | None:
    match = _WITH_PORT.fullmatch(address)
    return known_ip_address((match["bracketed"] or match["plain"]) if match else address)


def _metadata(record: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    found = {
        "result_status": record.get("ResultStatus"),
        "result_detail": _property(record, "ExtendedProperties", "ResultStatusDetail"),
        "logon_error": _told(record, "LogonError"),
        "error_number": _error_number(record),
        "request_type": _property(record, "ExtendedProperties", "RequestType"),
        "record_type": record.get("RecordType"),
        "user_key": _told(record, "UserKey"),
        "user_type": record.get("UserType"),
        "organization": _told(record, "OrganizationId"),
        "application": _told(record, "ApplicationDisplayName"),
        "session": _property(record, "DeviceProperties", "SessionId")
        or _told(mapping(record, "AppAccessContext"), "AADSessionId"),
        "source": source,
    }
    return {name: value for name, value in found.items() if value is not None and value != ""}
