"""Keys with which machines call."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from anomalies.models import ApiKey

LAST_USED_EVERY = timedelta(minutes=1)  # a busy key's row is not written at each call


class ApiKeyError(Exception):
    """A key that cannot be made; its text names the field."""


def _sha256(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()


def create(*, name: str, scopes: Sequence[str], expires_at: datetime | None = None) -> tuple[ApiKey, str]:
    """Make a key and return it with its plain text, which is kept nowhere."""
    unknown = set(scopes) - set(ApiKey.Scope.values)
    if unknown or not scopes:
        raise ApiKeyError(
            f"scope: one or more of {', '.join(ApiKey.Scope.values)}, not {', '.join(unknown) or 'none'}."
        )
    if ApiKey.objects.filter(name=name).exists():
        raise ApiKeyError(f"name: a key named {name} exists already.")
    plain = f"gx_live_{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        name=name, start=plain[:12], sha256=_sha256(plain), scopes=sorted(set(scopes)), expires_at=expires_at
    )
    return key, plain


def authenticate(plain: str, *, at: datetime) -> ApiKey | None:
    """Return the usable key of that plain text, or None, and note that it was used."""
    key = ApiKey.objects.usable(at=at).filter(sha256=_sha256(plain)).first()
    if key and (key.last_used_at is None or at - key.last_used_at >= LAST_USED_EVERY):
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=at)
    return key
