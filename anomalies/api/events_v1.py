"""POST /v1/events: events in, one batch a call, and what became of each record out."""

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from io import BytesIO
from typing import Annotated, Any

from django.conf import settings
from django.core.exceptions import TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Header, Query, Schema
from ninja.errors import AuthenticationError, ValidationError

from anomalies.api.auth import ApiKeyAuth, RateLimitError, ScopeMissingError
from anomalies.api.documented import DocumentedAPI
from anomalies.api.errors import CALLS_LIMITED, Error, answered_urls, error_answer, exemplified, internal_error
from anomalies.ingest import reading
from anomalies.ingest.lines import BROKEN_STREAM
from anomalies.ingest.record import EventRecord, ReadOptions, Rejection, SourceError
from anomalies.ingest.registry import FORMATS
from anomalies.models import ApiKey
from anomalies.models.public_id import new_event_id
from anomalies.services import events
from anomalies.services.events import MAX_REASONS_TOLD

MAX_IDEMPOTENCY_KEY = 255  # characters
EMPTY = "The body is empty."

api = DocumentedAPI(
    title="Events",
    version="1",
    description="Send authorization events. A record that cannot be read is named with its line and loses no other. "
    f"{CALLS_LIMITED}",
    urls_namespace="events-v1",
    docs_url="/events/docs",
    openapi_url="/events/openapi.json",
)


class RecordError(Schema):
    line: int
    reason: str


class Answer(Schema):
    """`errors` tells of the first 1,000 that were rejected, `rejected` of all."""

    accepted: int
    duplicate: int
    rejected: int
    errors: list[RecordError]
    batch: str | None

    model_config = exemplified(
        {
            "accepted": 1,
            "duplicate": 0,
            "rejected": 1,
            "errors": [{"line": 2, "reason": "time: it is missing."}],
            "batch": "batch_17",
        }
    )


class Refusal(Error):  # noqa: N818  a schema, not raised
    """Nothing was stored; `message` says why."""

    errors: list[RecordError] = []

    model_config = exemplified(
        {
            "message": "No record was accepted; line 1: time: it is missing.",
            "code": "BAD_REQUEST",
            "requestId": "0f8fad5b-d9cb-469f-a165-70867728950e",
            "errors": [{"line": 1, "reason": "time: it is missing."}],
        }
    )


class CallError(Exception):
    """A call that cannot be served as a whole."""

    def __init__(self, status: int, message: str, *, errors: Iterable[Rejection] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.errors = [asdict(error) for error in errors]


_EVENT = {
    "time": "2026-11-20T12:00:00Z",
    "agent_id": "ag_billing",
    "principal_id": "user_1",
    "action": "invoice.read",
    "status": "success",
    "ip": "198.51.100.7",
}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "One JSON object a line, or a JSON array of them; with `Content-Encoding: gzip` compressed.",
        "content": {
            "application/x-ndjson": {"schema": {"type": "string"}, "example": f"{json.dumps(_EVENT)}\n"},
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}, "example": [_EVENT]},
        },
    }
}


@api.post(
    "/events",
    auth=ApiKeyAuth(ApiKey.Scope.INGEST),
    response={200: Answer, (400, 401, 403, 413, 415, 422, 429): Refusal},
    openapi_extra=_BODY,
    summary="Store events",
    by_alias=True,
)
def store_events(
    request: HttpRequest,
    response: HttpResponse,
    source: Annotated[str, Query(description="Where they come from; ids are unique within a source")] = "http",
    form: Annotated[str, Query(alias="format", description=f"One of {', '.join(FORMATS)}")] = "native",
    idempotency_key: Annotated[
        str | None,
        Header(alias="Idempotency-Key", description="A repeated call with this key is answered as the first was"),
    ] = None,
) -> Any:
    """Store each event once: a record whose id its source has sent before with the same time is a duplicate.

    So a record that is sent again must carry its time again: the same id with another time is another event.

    All accepted events are stored together. Without an id a record gets a fresh one.
    """
    if form not in FORMATS:
        raise CallError(400, f"format: {form[:60]!r} is unknown; it is one of {', '.join(FORMATS)}.")
    if idempotency_key is not None and not 0 < len(idempotency_key) <= MAX_IDEMPOTENCY_KEY:
        raise CallError(400, f"Idempotency-Key: it must have 1 to {MAX_IDEMPOTENCY_KEY} characters.")
    body = _body(request)
    now = timezone.now()
    options = ReadOptions(
        now=now, source=source, new_id=new_event_id, kept_days=settings.ANOMALIES_EVENT_RETENTION_DAYS
    )
    told: list[Rejection] = []
    try:
        stored = events.store(
            _noted(reading.read(FORMATS[form], BytesIO(_inflated(body, request)), options), told),
            source_name=source,
            format=form,
            received_at=now,
            idempotency_key=idempotency_key,
            body_sha256=hashlib.sha256(body).hexdigest(),
        )
    except (SourceError, events.SourceNameError) as error:
        raise CallError(400, str(error), errors=told) from error
    except events.IdempotencyError as error:
        raise CallError(422, str(error)) from error
    if stored.replayed:
        response["Idempotent-Replayed"] = "true"
    return {
        "accepted": stored.accepted,
        "duplicate": stored.duplicate,
        "rejected": stored.rejected,
        "errors": [asdict(rejection) for rejection in stored.rejections[:MAX_REASONS_TOLD]],
        "batch": f"batch_{stored.batch.pk}" if stored.batch else None,
    }


def _body(request: HttpRequest) -> bytes:
    """Return the body as it was sent. Raises CallError if it is too large, before all of it is read."""
    if request.content_type == "multipart/form-data":
        raise CallError(415, "Content-Type: send the records themselves as the body, not a form.")
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and int(length) > settings.ANOMALIES_MAX_BODY_BYTES:
        raise _too_large()
    body = request.read(settings.ANOMALIES_MAX_BODY_BYTES + 1)
    if len(body) > settings.ANOMALIES_MAX_BODY_BYTES:
        raise _too_large()
    return body


def _inflated(body: bytes, request: HttpRequest) -> bytes:
    """Return the body, inflated if it is gzip and is so within the limit."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip"):
        raise CallError(415, f"Content-Encoding: {encoding[:60]!r} is unknown; send gzip, or leave it out.")
    if not body.startswith(reading.GZIP_MAGIC):
        if not body:
            raise CallError(400, EMPTY)
        if encoding != "identity":
            raise CallError(400, "Content-Encoding says gzip, but the body is not gzip.")
        return body
    try:
        with gzip.GzipFile(fileobj=BytesIO(body)) as stream:
            inflated = stream.read(settings.ANOMALIES_MAX_BODY_BYTES + 1)
    except EOFError:
        raise CallError(400, "The gzip of the body is truncated; nothing was stored.") from None
    except BROKEN_STREAM as error:
        raise CallError(400, f"The gzip of the body is corrupt ({error}); nothing was stored.") from None
    if not inflated:
        raise CallError(400, EMPTY)
    if len(inflated) > settings.ANOMALIES_MAX_BODY_BYTES:
        raise _too_large()
    return inflated


def _too_large() -> CallError:
    most = settings.ANOMALIES_MAX_BODY_BYTES
    return CallError(413, f"The body is larger than {most:,} bytes, compressed or inflated; send it in parts.")


def _noted(outcomes: Iterable[EventRecord | Rejection], told: list[Rejection]) -> Iterator[EventRecord | Rejection]:
    """Yield them all and note the first rejections, for a call that is refused."""
    for outcome in outcomes:
        if isinstance(outcome, Rejection) and len(told) < MAX_REASONS_TOLD:
            told.append(outcome)
        yield outcome


def _refusal(status: int, message: str, errors: Iterable[Any] = ()) -> HttpResponse:
    return error_answer(status, message, errors=list(errors))


@api.exception_handler(CallError)
def _refused(_request: HttpRequest, error: CallError) -> HttpResponse:
    return _refusal(error.status, str(error), error.errors)


@api.exception_handler(AuthenticationError)
def _not_let_in(_request: HttpRequest, _error: AuthenticationError) -> HttpResponse:
    answer = _refusal(401, "Send Authorization: Bearer <key>, with a key that is known and not expired.")
    answer["WWW-Authenticate"] = "Bearer"
    return answer


@api.exception_handler(ScopeMissingError)
def _scope_missing(_request: HttpRequest, error: ScopeMissingError) -> HttpResponse:
    return _refusal(403, str(error))


@api.exception_handler(RateLimitError)
def _too_many_calls(_request: HttpRequest, error: RateLimitError) -> HttpResponse:
    return _refusal(429, str(error))


@api.exception_handler(TooManyFieldsSent)
def _query_too_long(_request: HttpRequest, error: TooManyFieldsSent) -> HttpResponse:
    return _refusal(400, f"query: {error}")


@api.exception_handler(ValidationError)
def _parameter_refused(_request: HttpRequest, error: ValidationError) -> HttpResponse:
    first = error.errors[0]
    return _refusal(400, f"{first['loc'][-1]}: {first['msg']}.")


api.exception_handler(Exception)(internal_error)
urls = answered_urls(api)
