"""The form of errors, and which is raised for what."""

from uuid import uuid4

from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError

from anomalies.api.bodies import BodyError
from anomalies.api.errors import CODES, REQUEST_ID, exemplified, internal_error

_NO_SCORE = "'high' is no number from 0 to 1, or to 100 as percent."


class OneError(Schema):
    """`error` names the parameter that is wrong, else what kind of error it is; `index` is the place in `q`, or 0."""

    index: int
    error: str
    description: str


class ErrorAnswer(Schema):
    message: str
    errors: list[OneError]

    model_config = exemplified(
        {
            "message": f"score: {_NO_SCORE}",
            "errors": [{"index": 0, "error": "score", "description": _NO_SCORE}],
        }
    )


class FieldError(Exception):
    """A parameter or a field of the body that cannot be served; its text does not name it."""

    def __init__(self, field: str, message: str, *, index: int = 0) -> None:
        self.field, self.index = field, index
        super().__init__(message)


def error_answer(status: int, message: str, *, field: str = "", index: int = 0) -> JsonResponse:
    """One error, in the contract's form."""
    error = {"index": index, "error": field or CODES[status], "description": message}
    answer = JsonResponse({"message": f"{field}: {message}" if field else message, "errors": [error]}, status=status)
    answer[REQUEST_ID] = str(uuid4())
    return answer


def unknown_path(request: HttpRequest) -> HttpResponse:
    """The answer where this API has nothing."""
    return error_answer(404, f"There is nothing at {request.path}.")


def set_error_answers(api: NinjaAPI) -> None:
    """Map each error that may be raised in a call to its answer."""
    api.exception_handler(AuthenticationError)(_unauthorized)
    api.exception_handler(HttpError)(_http_error)
    api.exception_handler(Http404)(lambda _, error: error_answer(404, str(error)))
    api.exception_handler(RequestDataTooBig)(lambda _, error: error_answer(413, str(error), field="body"))
    api.exception_handler(TooManyFieldsSent)(lambda _, error: error_answer(400, str(error), field="query"))
    api.exception_handler(ValidationError)(_validation_error)
    api.exception_handler(FieldError)(_field_error)
    api.exception_handler(Exception)(lambda request, error: internal_error(request, error, error_answer))


def _unauthorized(request: HttpRequest, error: Exception) -> HttpResponse:
    given = "Authorization" in request.headers
    message = (
        "The token or API key is unknown, expired or revoked."
        if given
        else "Authorization: Bearer <token> is missing; POST /api/v2/access-token gives one for an API key."
    )
    answer = error_answer(401, message)
    answer["WWW-Authenticate"] = "Bearer"
    return answer


def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    if isinstance(error.__cause__, BodyError):  # ninja hides what the parser said behind a sentence of its own
        return error_answer(400, str(error.__cause__).removeprefix("body: "), field="body")
    return error_answer(error.status_code, str(error))


def _validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """All that is wrong, each by its name; the message is the first of them."""
    wrong = [
        {"index": 0, "error": str(one["loc"][-1]), "description": f"{one['msg'].removeprefix('Value error, ')}."}
        for one in error.errors
    ]
    answer = JsonResponse({"message": f"{wrong[0]['error']}: {wrong[0]['description']}", "errors": wrong}, status=400)
    answer[REQUEST_ID] = str(uuid4())
    return answer


def _field_error(request: HttpRequest, error: FieldError) -> HttpResponse:
    return error_answer(400, f"{error}.", field=error.field, index=error.index)
