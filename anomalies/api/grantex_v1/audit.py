"""The audit log: what agents did, told by the clients that saw it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from ninja import Body, Query, Router
from ninja.errors import HttpError
from pydantic import AfterValidator, Field

from anomalies.api.auth import ApiKeyAuth, caller
from anomalies.api.bodies import in_utc, json_answer, streamed
from anomalies.api.errors import CamelSchema, Error, exemplified
from anomalies.api.grantex_v1.answers import NO_NUL, path_id
from anomalies.ingest.record import FieldError
from anomalies.models import ApiKey, AuditEntry
from anomalies.services import audit
from anomalies.services.audit import wire_time
from anomalies.services.parts import each_once

READ, INGEST = ApiKeyAuth(ApiKey.Scope.READ), ApiKeyAuth(ApiKey.Scope.INGEST)

PAGE_SIZE = 100  # of a client that names a page and no size; one that names neither gets all entries

Id = Annotated[str, Field(max_length=200), NO_NUL]
GivenId = Annotated[str, Field(min_length=1, max_length=200), NO_NUL]

router = Router(tags=["Audit log"], by_alias=True)

_GIVEN = {
    "agentId": "ag_01JD3W2Q7M5X9K4T8R6B1Y0ZVN",
    "agentDid": "did:grantex:ag_01JD3W2Q7M5X9K4T8R6B1Y0ZVN",
    "grantId": "grnt_01JD3W8F5C7H2P9S4X6A0K3MTE",
    "principalId": "user_1",
    "action": "invoice.read",
    "metadata": {"invoice": "2026-117"},
    "status": "success",
}
EXAMPLE: dict[str, Any] = {
    "entryId": "alog_01JD3WZ4N8B6Q1V7G5T2Y9R0XC",
    "developerId": "ci",
    **_GIVEN,
    "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "prevHash": None,
    "timestamp": "2026-11-20T12:00:00.000Z",
}


Time = Annotated[datetime, AfterValidator(in_utc)]


class NewEntry(CamelSchema):
    agent_id: Id = ""
    agent_did: Annotated[str, Field(max_length=300), NO_NUL] = ""
    grant_id: Id = ""
    principal_id: Id = ""
    action: Id = ""
    metadata: dict[str, Any] | None = None
    status: Literal["success", "failure", "blocked"] = "success"

    model_config = exemplified(_GIVEN)


class EntryAnswer(CamelSchema):
    entry_id: str
    agent_id: str
    agent_did: str
    grant_id: str
    principal_id: str
    developer_id: str
    action: str
    metadata: dict[str, Any]
    hash: str
    prev_hash: str | None
    timestamp: datetime
    status: str

    model_config = exemplified(EXAMPLE)


class EntryList(CamelSchema):
    entries: list[EntryAnswer]


class EntryFilter(CamelSchema):
    agent_id: GivenId | None = None
    grant_id: GivenId | None = None
    principal_id: GivenId | None = None
    action: GivenId | None = None
    since: Time | None = None
    until: Time | None = None
    page: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    page_size: Annotated[int, Field(ge=1, le=1000)] | None = None


REQUIRED = {
    "agent_id": "agentId",
    "agent_did": "agentDid",
    "grant_id": "grantId",
    "principal_id": "principalId",
    "action": "action",
}


def to_wire(entry: AuditEntry) -> dict[str, Any]:
    """The entry as Grantex spells it."""
    return {
        "entryId": entry.public_id,
        "agentId": entry.agent_id,
        "agentDid": entry.agent_did,
        "grantId": entry.grant_id,
        "principalId": entry.principal_id,
        "developerId": entry.developer_id,
        "action": entry.action,
        "metadata": entry.metadata,
        "hash": entry.hash,
        "prevHash": entry.prev_hash,
        "timestamp": wire_time(entry.timestamp),
        "status": entry.status,
    }


@router.post("/audit/log", auth=INGEST, response={201: EntryAnswer, 400: Error, 422: Error})
def log(request: HttpRequest, entry: Body[NewEntry | None] = None) -> HttpResponse:
    """Append an entry. Its hash covers the entry and the hash of the one before it; detection sees it as an event."""
    entry = entry or NewEntry()
    missing = [foreign for name, foreign in REQUIRED.items() if not getattr(entry, name).strip()]
    if missing:
        raise HttpError(400, f"{', '.join(missing)}: missing or empty.")
    try:
        logged = audit.log(
            developer_id=caller(request).name,
            agent_id=entry.agent_id,
            agent_did=entry.agent_did,
            grant_id=entry.grant_id,
            principal_id=entry.principal_id,
            action=entry.action,
            status=entry.status,
            metadata=entry.metadata or {},
            at=timezone.now(),
        )
    except FieldError as error:
        raise HttpError(422, str(error)) from None
    return json_answer(to_wire(logged), status=201)


@router.get("/audit/entries", auth=READ, response={200: EntryList, 400: Error})
def list_entries(request: HttpRequest, wanted: Query[EntryFilter]) -> HttpResponseBase:
    """Return entries, oldest first: all that match, or one page of them if `page` or `pageSize` is given.

    All of them are sent as they are read, however many they are; a page has 100, or as many as `pageSize` says.
    """
    entries = AuditEntry.objects.order_by("id")
    for field in ("agent_id", "grant_id", "principal_id", "action"):
        if (value := getattr(wanted, field)) is not None:
            entries = entries.filter(**{field: value})
    if wanted.since is not None:
        entries = entries.filter(timestamp__gte=wanted.since)
    if wanted.until is not None:
        entries = entries.filter(timestamp__lte=wanted.until)
    if wanted.page is not None or wanted.page_size is not None:
        size = wanted.page_size or PAGE_SIZE
        start = ((wanted.page or 1) - 1) * size
        entries = entries[start : start + size]
        return json_answer({"entries": [to_wire(entry) for entry in entries]})
    return streamed(request, "entries", map(to_wire, each_once(entries)))


@router.get("/audit/{path:entry_id}", auth=READ, response={200: EntryAnswer, 404: Error})
def get_entry(request: HttpRequest, entry_id: str) -> HttpResponse:
    """Return one entry."""
    entry = AuditEntry.objects.filter(public_id=path_id(entry_id)).first()
    if entry is None:
        raise Http404(f"There is no audit entry {entry_id}.")
    return json_answer(to_wire(entry))
