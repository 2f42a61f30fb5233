"""Keys with which machines call: made, replaced, revoked, and how often each may call."""

import hashlib
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core import signing
from django.db import IntegrityError, connection, transaction

from anomalies.models import ApiKey, ApiKeyUse
from anomalies.services import changes
from anomalies.services.actor import Actor

COMMAND_LINE = Actor(name="command line")  # who has a shell on the machine
MAX_NAME_LENGTH = 100  # characters
MAX_OVERLAP_HOURS = 720
MAX_REQUESTS_PER_MINUTE = 1_000_000
LAST_USED_EVERY = timedelta(minutes=1)  # a busy key's row is not written at each call
MINUTE = timedelta(minutes=1)
TOKEN_LASTS = timedelta(hours=24)
_TOKEN_SALT = "anomalies.services.api_keys.token"  # noqa: S105  parts these signatures from all others

_COLUMNS = [field.attname for field in ApiKey._meta.concrete_fields]

# One statement, as it comes before each call: it finds the key, notes that it is used and counts the call. It commits
# by itself, so that calls of one key wait for each other no longer than it takes, and one that fails has been counted.
# A minute begins with the first call in it. One that begins over a minute from now is of a clock that was set. Of a key
# that was rotated the calls of the old one and the new one are counted together, with those of who has its name now.
_ADMIT = f"""
WITH known AS (
    SELECT {", ".join(_COLUMNS)}, coalesce(requests_per_minute, %(usual)s) AS most FROM anomalies_apikey
    WHERE {{column}} = %(known)s AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > %(at)s)
), noted AS (
    UPDATE anomalies_apikey AS noted SET last_used_at = %(at)s FROM known
    WHERE noted.id = known.id AND (noted.last_used_at IS NULL OR noted.last_used_at <= %(before)s)
), counted AS (
    INSERT INTO anomalies_apikeyuse AS used (api_key_id, since, calls)
    SELECT coalesce((
        SELECT now.id FROM anomalies_apikey now
        WHERE known.replaced_at IS NOT NULL AND now.name = known.name AND now.replaced_at IS NULL
    ), id), %(at)s, 1 FROM known WHERE most > 0
    ON CONFLICT (api_key_id) DO UPDATE SET
        since = CASE WHEN used.since > %(first)s AND used.since <= %(last)s THEN used.since ELSE excluded.since END,
        calls = CASE WHEN used.since > %(first)s AND used.since <= %(last)s THEN used.calls + 1 ELSE 1 END
    RETURNING since, calls
)
SELECT {", ".join(_COLUMNS)}, most, since, calls FROM known LEFT JOIN counted ON true
"""  # noqa: S608  columns of our own


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many calls a key has in the minute that runs, how many of them are left, and in how long the next begins."""

    limit: int
    remaining: int
    reset_seconds: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """A key that was let in. Without an allowance it may call as often as it likes."""

    key: ApiKey
    allowance: Allowance | None


class ApiKeyError(Exception):
    """A key that cannot be made or changed; its text names the field."""


class TooManyCallsError(Exception):
    """A key that has no call left in this minute."""

    def __init__(self, key: ApiKey, allowance: Allowance) -> None:
        self.allowance = allowance
        super().__init__(
            f"The key {key.name} may make {allowance.limit:,} calls a minute and has made them; "
            f"try again in {allowance.reset_seconds} seconds."
        )


def _sha256(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()


def create(
    *,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
    requests_per_minute: int | None = None,
    by: Actor = COMMAND_LINE,
) -> tuple[ApiKey, str]:
    """Make a key and return it with its plain text, which is kept nowhere.

    Raises ApiKeyError if the name is taken or without sense, a scope is unknown, or the limit out of bounds.
    """
    unknown = set(scopes) - set(ApiKey.Scope.values)
    if unknown or not scopes:
        given = ", ".join(sorted(unknown)) or "none"
        raise ApiKeyError(f"scope: it is {given}, not one or more of {', '.join(ApiKey.Scope.values)}.")
    if not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise ApiKeyError(f"name: it has 1 to {MAX_NAME_LENGTH} printable characters.")
    if not 0 <= (requests_per_minute or 0) <= MAX_REQUESTS_PER_MINUTE:
        raise ApiKeyError(f"requests_per_minute: it is 0, for no limit, to {MAX_REQUESTS_PER_MINUTE:,}.")
    key, plain = _new(name=name, scopes=sorted(set(scopes)), expires_at=expires_at, limit=requests_per_minute)
    try:
        with transaction.atomic():
            key.save(force_insert=True)
            limit = {} if requests_per_minute is None else {"requests_per_minute": requests_per_minute}
            set_to = changes.between({}, {"scopes": key.scopes, **_ends(expires_at), **limit})
            changes.record("api_key", key.start, "created", by=by, at=key.created_at, name=name, changes=set_to)
    except IntegrityError as error:
        raise ApiKeyError(f"name: a key named {name} exists already.") from error
    return key, plain


@transaction.atomic
def rotate(key: ApiKey, *, at: datetime, overlap_hours: int = 0, by: Actor = COMMAND_LINE) -> tuple[ApiKey, str]:
    """Make a key that takes the place of this one, and return it with its plain text, which is kept nowhere.

    It has the name, the scopes and the limit of the old one, which holds for both together, and as long a life from
    now on. The old one lets in for the overlap, if it does not expire before. Raises ApiKeyError if it was revoked or
    replaced before, or the overlap is out of bounds.
    """
    if not 0 <= overlap_hours <= MAX_OVERLAP_HOURS:
        raise ApiKeyError(f"overlap: it is 0 to {MAX_OVERLAP_HOURS} hours.")
    old = ApiKey.objects.select_for_update().get(pk=key.pk)
    if old.replaced_at is not None:
        raise ApiKeyError(f"{old.name}: another key has taken the place of {old.start} already.")
    if old.revoked_at is not None:
        raise ApiKeyError(f"{old.name}: it is revoked, and none takes its place; make one of another name.")
    life = old.expires_at - old.created_at if old.expires_at else None
    until = min(filter(None, (old.expires_at, at + timedelta(hours=overlap_hours))))
    ApiKey.objects.filter(pk=old.pk).update(replaced_at=at, expires_at=until)
    new, plain = _new(
        name=old.name, scopes=old.scopes, expires_at=at + life if life else None, limit=old.requests_per_minute
    )
    new.replaces, new.created_at = old, at
    new.save(force_insert=True)
    # Copied: a call locks what its key made before the key itself, and so neither waits for the other in a ring.
    if used := ApiKeyUse.objects.filter(api_key=old).first():
        ApiKeyUse.objects.create(api_key=new, since=used.since, calls=used.calls)
    changes.record(
        "api_key",
        new.start,
        "rotated",
        by=by,
        at=at,
        name=new.name,
        changes=changes.between(
            {"key": old.start, **_ends(old.expires_at)}, {"key": new.start, **_ends(new.expires_at)}
        ),
        note=f"{old.start} lets in until {until.isoformat()}." if until > at else f"{old.start} lets in no more.",
    )
    return new, plain


def limit_of(key: ApiKey) -> int:
    """Return how many calls a minute a key may make; 0: as many as it likes."""
    usual: int = settings.ANOMALIES_REQUESTS_PER_MINUTE
    return usual if key.requests_per_minute is None else key.requests_per_minute


def find(plain: str, *, at: datetime) -> ApiKey | None:
    """Return the usable key of that plain text, or None, and note nothing of it."""
    return ApiKey.objects.usable(at=at).filter(sha256=_sha256(plain)).first()


def authenticate(plain: str, *, at: datetime) -> Admitted | None:
    """Let the usable key of that plain text make a call: None if there is none, TooManyCallsError once it made enough.

    A call that is refused begins no new minute, and delays none.
    """
    return _admitted("sha256", _sha256(plain), at=at)


def token_of(key: ApiKey, *, at: datetime) -> str:
    """Return a token that stands for a key for 24 hours, unless the key ends before."""
    return signing.dumps([key.pk, int((at + TOKEN_LASTS).timestamp())], salt=_TOKEN_SALT)


def authenticate_token(token_or_plain: str, *, at: datetime) -> Admitted | None:
    """Let the usable key make a call that a token stands for, or whose plain text it is, as `authenticate` does."""
    try:
        pk, until = signing.loads(token_or_plain, salt=_TOKEN_SALT)
    except signing.BadSignature:
        return authenticate(token_or_plain, at=at)
    return _admitted("id", pk, at=at) if at.timestamp() < until else None


def _admitted(column: str, known: object, *, at: datetime) -> Admitted | None:
    wanted = {
        "known": known,
        "at": at,
        "before": at - LAST_USED_EVERY,
        "first": at - MINUTE,
        "last": at + MINUTE,
        "usual": settings.ANOMALIES_REQUESTS_PER_MINUTE,
    }
    with connection.cursor() as cursor:
        cursor.execute(_ADMIT.format(column=column), wanted)
        row = cursor.fetchone()
    if row is None:
        return None
    *columns, most, since, calls = row
    key = ApiKey.from_db(connection.alias, _COLUMNS, columns)
    if not most:
        return Admitted(key, None)
    seconds = math.ceil((since + MINUTE - at).total_seconds())
    allowance = Allowance(most, max(0, most - calls), max(1, min(seconds, 60)))
    if calls > most:
        raise TooManyCallsError(key, allowance)
    return Admitted(key, allowance)


@transaction.atomic
def revoke(key: ApiKey, *, at: datetime, by: Actor = COMMAND_LINE) -> None:
    """End a key for good. Raises ApiKeyError if it was revoked before."""
    if not ApiKey.objects.filter(pk=key.pk, revoked_at__isnull=True).update(revoked_at=at):
        raise ApiKeyError(f"{key.name}: it is already revoked.")
    key.revoked_at = at
    changes.record("api_key", key.start, "revoked", by=by, at=at, name=key.name)


def _new(*, name: str, scopes: Sequence[str], expires_at: datetime | None, limit: int | None) -> tuple[ApiKey, str]:
    plain = f"gx_live_{secrets.token_urlsafe(32)}"
    key = ApiKey(
        name=name,
        start=plain[:12],
        sha256=_sha256(plain),
        scopes=list(scopes),
        expires_at=expires_at,
        requests_per_minute=limit,
    )
    return key, plain


def _ends(expires_at: datetime | None) -> dict[str, str]:
    return {"expires_at": expires_at.isoformat()} if expires_at else {}
