"""What the answers of all APIs share: the form of errors, and request ids."""

import functools
import logging
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, URLResolver
from ninja import NinjaAPI, Schema
from pydantic import ConfigDict
from pydantic.alias_generators import to_camel

Urls = tuple[list[URLResolver | URLPattern], str, str]

logger = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
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


class CamelSchema(Schema):
    """Fields named in our own way, spelt in Grantex's."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Error(CamelSchema):
    message: str
    code: str
    request_id: str


def error_answer(status: int, message: str, **more: Any) -> JsonResponse:
    """An error in the form that all APIs share, with what else one of them tells."""
    request_id = str(uuid4())
    answer = JsonResponse({"message": message, "code": CODES[status], "requestId": request_id, **more}, status=status)
    answer[REQUEST_ID] = request_id
    return answer


def answered(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Give each answer of the view a request id, and the errors that are not raised inside it the shared form."""

    @functools.wraps(view)
    def answering(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            answer = view(request, *args, **kwargs)
        except Http404:
            answer = unknown_path(request)
        if isinstance(answer, HttpResponseNotAllowed):
            allowed = answer["Allow"]
            answer = error_answer(405, f"{request.method} is not possible here, but {allowed}.")
            answer["Allow"] = allowed
        answer.headers.setdefault(REQUEST_ID, str(uuid4()))
        return answer

    return answering


def answered_urls(api: NinjaAPI) -> Urls:
    """The urls of an API, each of its views `answered`."""
    urls = api.urls
    for pattern in urls[0]:
        if isinstance(pattern, URLPattern):
            pattern.callback = answered(pattern.callback)
    return urls


def unknown_path(request: HttpRequest, path: str = "") -> HttpResponse:
    """The answer where this API has nothing."""
    return error_answer(404, f"There is nothing at {request.path}.")


def internal_error(request: HttpRequest, error: Exception) -> HttpResponse:
    answer = error_answer(500, "Something broke here; the log has it under this request id.")
    logger.error("%s %s failed, request %s", request.method, request.path, answer[REQUEST_ID], exc_info=error)
    return answer
