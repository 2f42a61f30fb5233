"""What a call gets whose key does not let it in, or whose parameters make no sense: in the form that all APIs share."""

from django.core.exceptions import TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, ValidationError

from anomalies.api.auth import RateLimitError, ScopeMissingError
from anomalies.api.errors import error_answer, internal_error


def set_refusals(api: NinjaAPI) -> None:
    api.exception_handler(AuthenticationError)(_not_let_in)
    api.exception_handler(ScopeMissingError)(_scope_missing)
    api.exception_handler(RateLimitError)(_too_many_calls)
    api.exception_handler(TooManyFieldsSent)(lambda _, error: error_answer(400, f"query: {error}"))
    api.exception_handler(ValidationError)(_parameter_refused)
    api.exception_handler(Exception)(internal_error)


def _not_let_in(_request: HttpRequest, _error: AuthenticationError) -> HttpResponse:
    answer = error_answer(401, "Send Authorization: Bearer <key>, with a key that is known and not expired.")
    answer["WWW-Authenticate"] = "Bearer"
    return answer


def _scope_missing(_request: HttpRequest, error: ScopeMissingError) -> HttpResponse:
    return error_answer(403, str(error))


def _too_many_calls(_request: HttpRequest, error: RateLimitError) -> HttpResponse:
    return error_answer(429, str(error))


def _parameter_refused(_request: HttpRequest, error: ValidationError) -> HttpResponse:
    first = error.errors[0]
    return error_answer(400, f"{first['loc'][-1]}: {first['msg']}.")
