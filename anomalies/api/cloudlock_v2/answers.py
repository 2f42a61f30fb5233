"""Which error is raised for what. The contract is silent about its form: it is that of all APIs, with the field."""

from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from anomalies.api.bodies import BodyError
from anomalies.api.errors import Error, error_answer, exemplified, internal_error


class FieldAnswer(Error):  # noqa: N818  a schema, not raised
    field: str

    model_config = exemplified(
        {
            "message": "limit: 'ten' is no whole number.",
            "code": "BAD_REQUEST",
            "requestId": "0f8fad5b-d9cb-469f-a165-70867728950e",
            "field": "limit",
        }
    )


class FieldError(Exception):
    """A parameter or a field of the body that cannot be served; its text does not name it."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


class ConflictError(Exception):
    """A change that others were faster with, or that the threat does not allow; says what it is."""


def set_error_answers(api: NinjaAPI) -> None:
    """Map each error that may be raised in a call to its answer."""
    api.exception_handler(AuthenticationError)(_unauthorized)
    api.exception_handler(HttpError)(_http_error)
    api.exception_handler(Http404)(lambda _, error: error_answer(404, str(error)))
    api.exception_handler(RequestDataTooBig)(lambda _, error: error_answer(413, f"body: {error}"))
    api.exception_handler(TooManyFieldsSent)(lambda _, error: _bad_field("query", str(error).removesuffix(".")))
    api.exception_handler(ValidationError)(_validation_error)
    api.exception_handler(FieldError)(lambda _, error: _bad_field(error.field, str(error)))
    api.exception_handler(ConflictError)(lambda _, error: error_answer(409, str(error)))
    api.exception_handler(Exception)(internal_error)


def _unauthorized(request: HttpRequest, error: Exception) -> HttpResponse:
    given = "Authorization" in request.headers
    message = "The API key is unknown, expired or revoked." if given else "Authorization: Bearer <API key> is missing."
    answer = error_answer(401, message)
    answer["WWW-Authenticate"] = "Bearer"
    return answer


def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    if isinstance(error.__cause__, BodyError):  # ninja hides what the parser said behind a sentence of its own
        return _bad_field("body", str(error.__cause__).removeprefix("body: ").removesuffix("."))
    return error_answer(error.status_code, str(error))


def _validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    first = error.errors[0]
    where, *names = first["loc"]
    field = ".".join(str(name) for name in names[where == "body" :]) or "body"
    return _bad_field(field, first["msg"].removeprefix("Value error, "))


def _bad_field(field: str, message: str) -> HttpResponse:
    return error_answer(400, f"{field}: {message}.", field=field)
