"""Keys with which machines call."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from anomalies.models import ApiKey
from anomalies.services import changes
from anomalies.services.actor import Actor

COMMAND_LINE = Actor(name="command line")  # who has a shell on the machine
MAX_NAME_LENGTH = 100  # characters
LAST_USED_EVERY = timedelta(minutes=1)  # a busy key's row is not written at each call


class ApiKeyError(Exception):
    """A key that cannot be made; its text names the field."""


def _sha256(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()


def create(
    *, name: str, scopes: Sequence[str], expires_at: datetime | None = None, by: Actor = COMMAND_LINE
) -> tuple[ApiKey, str]:
    """Make a key and return it with its plain text, which is kept nowhere.

    Raises ApiKeyError if the name is taken or without sense, or a scope is unknown.
    """
    unknown = set(scopes) - set(ApiKey.Scope.values)
    if unknown or not scopes:
        given = ", ".join(sorted(unknown)) or "none"
        raise ApiKeyError(f"scope: it is {given}, not one or more of {', '.join(ApiKey.Scope.values)}.")
    if not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise ApiKeyError(f"name: it has 1 to {MAX_NAME_LENGTH} printable characters.")
    plain = f"gx_live_{secrets.token_urlsafe(32)}"
    try:
        with transaction.atomic():
            key = ApiKey.objects.create(
                name=name, start=plain[:12], sha256=_sha256(plain), scopes=sorted(set(scopes)), expires_at=expires_at
            )
            ends = {"expires_at": expires_at.isoformat()} if expires_at else {}
            set_to = changes.between({}, {"scopes": key.scopes, **ends})
            changes.record("api_key", key.start, "created", by=by, at=key.created_at, name=name, changes=set_to)
    except IntegrityError as error:
        raise ApiKeyError(f"name: a key named {name} exists already.") from error
    return key, plain


def authenticate(plain: str, *, at: datetime) -> ApiKey | None:
    """Return the usable key of that plain text, or None, and note that it was used."""
    key = ApiKey.objects.usable(at=at).filter(sha256=_sha256(plain)).first()
    if key and (key.last_used_at is None or at - key.last_used_at >= LAST_USED_EVERY):
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=at)
    return key


@transaction.atomic
def revoke(key: ApiKey, *, at: datetime, by: Actor = COMMAND_LINE) -> None:
    """End a key for good. Raises ApiKeyError if it was revoked before."""
    if not ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=at):
        raise ApiKeyError(f"{key.name}: it is already revoked.")
    key.revoked_at = at
    changes.record("api_key", key.start, "revoked", by=by, at=at, name=key.name)
