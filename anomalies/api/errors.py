"""What the answers of all APIs share: the form of errors, request ids, and how many calls are left."""

import functools
import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI, Schema
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

from anomalies.services.api_keys import Allowance

Urls = tuple[list[URLResolver | URLPattern], str, str]
ErrorForm = Callable[[int, str], HttpResponse]

logger = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
CALLS_LIMITED = (
    "Each key may make so many calls a minute: `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` "
    "(seconds) tell of them, and a call too many is a 429 with `Retry-After`."
)
CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    501: "NOT_IMPLEMENTED",
    503: "SERVICE_UNAVAILABLE",
}


def exemplified(*examples: dict[str, Any]) -> ConfigDict:
    """What a schema says of itself in the reference: examples, as they are sent."""
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class CamelSchema(Schema):
    """Fields named in our own way, spelt in Grantex's."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Error(CamelSchema):
    message: str
    code: str
    request_id: str

    model_config = exemplified(
        {
            "message": "There is nothing at /v1/nowhere.",
            "code": "NOT_FOUND",
            "requestId": "0f8fad5b-d9cb-469f-a165-70867728950e",
        }
    )


def error_answer(status: int, message: str, **more: Any) -> JsonResponse:
    """An error in the form that all APIs share, with what else one of them tells."""
    request_id = str(uuid4())
    answer = JsonResponse({"message": message, "code": CODES[status], "requestId": request_id, **more}, status=status)
    answer[REQUEST_ID] = request_id
    return answer


def answered(view: Callable[..., HttpResponseBase], form: ErrorForm = error_answer) -> Callable[..., HttpResponseBase]:
    """Give each answer of the view what all share, and the errors that are not raised inside it the form of its API.

    All share a request id, and to keys that may not call as often as they like what is left of their calls.
    """

    @functools.wraps(view)
    def answering(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            answer = view(request, *args, **kwargs)
        except Http404:
            answer = form(404, f"There is nothing at {request.path}.")
        if isinstance(answer, HttpResponseNotAllowed):
            allowed = answer["Allow"]
            answer = form(405, f"{request.method} is not possible here, but {allowed}.")
            answer["Allow"] = allowed
        answer.headers.setdefault(REQUEST_ID, str(uuid4()))
        if (allowance := getattr(request, "allowance", None)) is not None:
            _tell_allowance(answer, allowance)
        return answer

    return answering


def _tell_allowance(answer: HttpResponseBase, allowance: Allowance) -> None:
    """Plain integers, as clients read them: `Reset` is in seconds from now."""
    answer["X-RateLimit-Limit"] = str(allowance.limit)
    answer["X-RateLimit-Remaining"] = str(allowance.remaining)
    answer["X-RateLimit-Reset"] = str(allowance.reset_seconds)
    if answer.status_code == 429:
        answer.headers.setdefault("Retry-After", str(allowance.reset_seconds))


def answered_urls(api: NinjaAPI, form: ErrorForm = error_answer) -> Urls:
    """The urls of an API, each of its views `answered`."""
    urls = api.urls
    for pattern in urls[0]:
        if isinstance(pattern, URLPattern):
            pattern.callback = answered(pattern.callback, form)
    return urls


@csrf_exempt  # who calls with a key has no cookie to be misused, and is told what is wrong
def unknown_path(request: HttpRequest, path: str = "") -> HttpResponse:
    """The answer where this API has nothing."""
    return error_answer(404, f"There is nothing at {request.path}.")


def internal_error(request: HttpRequest, error: Exception, form: ErrorForm = error_answer) -> HttpResponse:
    answer = form(500, "Something broke here; the log has it under this request id.")
    logger.error("%s %s failed, request %s", request.method, request.path, answer[REQUEST_ID], exc_info=error)
    return answer
