"""Who calls: a key in `Authorization: Bearer ...`, with the scope that the call needs."""

from django.http import HttpRequest
from django.utils import timezone
from ninja.errors import AuthorizationError
from ninja.security import HttpBearer

from anomalies.models import ApiKey
from anomalies.services import api_keys
from anomalies.services.actor import Actor


class ScopeMissingError(AuthorizationError):
    """The key is good, but not for this call."""

    def __init__(self, key: ApiKey, scope: ApiKey.Scope) -> None:
        self.scope = scope
        super().__init__(message=f"The key {key.name} lacks the scope {scope.value}; it has {', '.join(key.scopes)}.")


class ApiKeyAuth(HttpBearer):
    """Let in keys with that scope and put the ApiKey into `request.auth`.

    A missing, unknown, expired or revoked key raises ninja's AuthenticationError, one without the scope
    ScopeMissingError; each API maps both to errors of its own.
    """

    def __init__(self, scope: ApiKey.Scope) -> None:
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> ApiKey | None:  # noqa: ARG002  ninja passes it
        key = api_keys.authenticate(token.strip(), at=timezone.now())
        if key is not None and self.scope not in key.scopes:
            raise ScopeMissingError(key, self.scope)
        return key


def key_of(request: HttpRequest) -> ApiKey:
    """The key that ApiKeyAuth let in."""
    key = request.auth  # type: ignore[attr-defined]  # set by ninja
    assert isinstance(key, ApiKey)
    return key


def caller(request: HttpRequest) -> Actor:
    """Who makes the change that is called for."""
    return Actor(name=key_of(request).name)
