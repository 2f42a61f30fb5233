"""What all answers of this API share: which error is raised for what."""

from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError
from pydantic import AfterValidator

from anomalies.api.bodies import BodyError
from anomalies.api.errors import error_answer, internal_error
from anomalies.services.scans import ScanUnderWayError


def path_id(text: str) -> str:
    """The id in a path, fit to be looked up: none of ours holds a NUL, and PostgreSQL takes none."""
    return text.replace("\x00", "\ufffd")


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("it contains a NUL character, which cannot be stored")
    return text


NO_NUL = AfterValidator(_without_nul)

ALERTS = "/v1/anomaly/"  # where a bad body is a 400, too


def check_query(request: HttpRequest, wanted: type[Schema]) -> None:
    """Raise a 400 for a parameter that there is not, or that is there twice: no filter is ever dropped."""
    known = [field.alias or name for name, field in wanted.model_fields.items()]
    for name, values in request.GET.lists():
        if name not in known:
            raise HttpError(400, f"{name[:60]}: there is no such parameter, only {', '.join(known)}.")
        if len(values) > 1:
            raise HttpError(400, f"{name}: it is there {len(values):,} times.")


def set_error_answers(api: NinjaAPI) -> None:
    """Map each error that may be raised in a call to its answer."""
    api.exception_handler(AuthenticationError)(_unauthorized)
    api.exception_handler(HttpError)(_http_error)
    api.exception_handler(Http404)(lambda _, error: error_answer(404, str(error)))
    api.exception_handler(RequestDataTooBig)(lambda _, error: error_answer(413, f"body: {error}"))
    api.exception_handler(TooManyFieldsSent)(lambda _, error: error_answer(400, f"query: {error}"))
    api.exception_handler(ValidationError)(_validation_error)
    api.exception_handler(ScanUnderWayError)(lambda _, error: error_answer(503, str(error)))
    api.exception_handler(Exception)(internal_error)


def _unauthorized(request: HttpRequest, error: Exception) -> HttpResponse:
    given = "Authorization" in request.headers
    message = "The API key is unknown, expired or revoked." if given else "Authorization: Bearer <API key> is missing."
    answer = error_answer(401, message)
    answer["WWW-Authenticate"] = "Bearer"
    return answer


def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    # ninja hides what the parser said behind a sentence of its own.
    message = str(error.__cause__) if isinstance(error.__cause__, BodyError) else str(error)
    return error_answer(error.status_code, message)


def _validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """One sentence for each field; a bad query parameter is a 400, a bad body a 422, of alerts and the like a 400."""
    sentences = []
    for each in error.errors:
        where, *names = each["loc"]
        field = ".".join(str(name) for name in names[where == "body" :]) or "body"
        sentences.append(f"{field}: {each['msg'].removeprefix('Value error, ')}.")
    bad_request = error.errors[0]["loc"][0] == "query" or request.path_info.startswith(ALERTS)
    return error_answer(400 if bad_request else 422, " ".join(sentences))
