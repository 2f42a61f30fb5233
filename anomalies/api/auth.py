"""Who calls: a key in `Authorization: Bearer ...`, with the scope that the call needs, and how often it may."""

from collections.abc import Callable

from django.http import HttpRequest
from django.utils import timezone
from ninja.errors import AuthorizationError, HttpError
from ninja.security import HttpBearer

from anomalies.models import ApiKey
from anomalies.services import api_keys
from anomalies.services.actor import Actor


class ScopeMissingError(AuthorizationError):
    """The key is good, but not for this call."""

    def __init__(self, key: ApiKey, scope: ApiKey.Scope) -> None:
        self.scope = scope
        super().__init__(message=f"The key {key.name} lacks the scope {scope.value}; it has {', '.join(key.scopes)}.")


class RateLimitError(HttpError):
    """The key is good, but made all its calls of this minute; its answer says in how long the next one begins."""

    def __init__(self, error: api_keys.TooManyCallsError) -> None:
        super().__init__(429, str(error))


class ApiKeyAuth(HttpBearer):
    """Let in keys with that scope and put the ApiKey into `request.auth`.

    A missing, unknown, expired or revoked key raises ninja's AuthenticationError, one that made all its calls
    RateLimitError, one without the scope ScopeMissingError; each API maps them to errors of its own. What is left of
    the key's calls goes into `request.allowance`, for the headers of whatever the answer is. `admit` lets in the key
    that what was sent stands for.
    """

    def __init__(
        self, scope: ApiKey.Scope, *, admit: Callable[..., api_keys.Admitted | None] = api_keys.authenticate
    ) -> None:
        super().__init__()
        self.scope, self.admit = scope, admit

    def authenticate(self, request: HttpRequest, token: str) -> ApiKey | None:
        key = let_in(request, token, admit=self.admit)
        if key is not None:
            _check(key, self.scope)
        return key


def let_in(
    request: HttpRequest, sent: str, *, admit: Callable[..., api_keys.Admitted | None] = api_keys.authenticate
) -> ApiKey | None:
    """Return the key that may make this call, or None if what was sent stands for none.

    What is left of its calls goes into `request.allowance`. Raises RateLimitError if it has made all of them.
    """
    try:
        admitted = admit(sent.strip(), at=timezone.now())
    except api_keys.TooManyCallsError as error:
        request.allowance = error.allowance  # type: ignore[attr-defined]  # for api/errors
        raise RateLimitError(error) from None
    if admitted is None:
        return None
    request.allowance = admitted.allowance  # type: ignore[attr-defined]  # for api/errors
    return admitted.key


def _check(key: ApiKey, scope: ApiKey.Scope) -> None:
    if scope not in key.scopes:
        raise ScopeMissingError(key, scope)


def need(request: HttpRequest, scope: ApiKey.Scope) -> None:
    """Let the call go on if its key has another scope as well. Raises ScopeMissingError."""
    _check(key_of(request), scope)


def key_of(request: HttpRequest) -> ApiKey:
    """The key that ApiKeyAuth let in."""
    key = request.auth  # type: ignore[attr-defined]  # set by ninja
    assert isinstance(key, ApiKey)
    return key


def caller(request: HttpRequest) -> Actor:
    """Who makes the change that is called for."""
    return Actor(name=key_of(request).name)
