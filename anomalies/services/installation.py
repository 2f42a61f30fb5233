"""What the first start gives to whoever runs it: a login and a key."""

import json
import os
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.contrib.auth.models import Group, User
from django.db import transaction

from anomalies.models import ApiKey
from anomalies.services import api_keys

NAME = "admin"  # of the user
KEY_NAME = "up"
SCOPES = tuple(ApiKey.Scope)  # as whoever starts it may do all


@dataclass(frozen=True, slots=True)
class Credentials:
    """None where somebody has since taken it into their own hands: changed the password, revoked the key."""

    password: str | None
    api_key: str | None


def credentials(path: Path, *, database: str, at: datetime) -> Credentials:
    """Return the login and the key of that database, making them where it has none.

    `path` keeps them for the next time, by database, readable by its owner alone.
    """
    kept = json.loads(path.read_text()) if path.exists() else {}
    known = kept.get(database, {})
    with transaction.atomic():
        found = Credentials(
            password=_password(known.get("password") or secrets.token_urlsafe(12)),
            api_key=_api_key(known.get("api_key"), at=at),
        )
        wanted = {"password": found.password, "api_key": found.api_key}
        if wanted != known:
            _keep(path, {**kept, database: wanted})
    return found


def _password(wanted: str) -> str | None:
    user = User.objects.filter(username=NAME).first()
    if user is None:
        user = User.objects.create_superuser(NAME, password=wanted)
        user.groups.set(Group.objects.filter(name="admin"))  # none where it was deleted: a superuser may do all
    return wanted if user.check_password(wanted) else None


def _api_key(plain: str | None, *, at: datetime) -> str | None:
    if plain and api_keys.find(plain, at=at):
        return plain
    if ApiKey.objects.filter(name=KEY_NAME).exists():
        return None
    return api_keys.create(name=KEY_NAME, scopes=SCOPES)[1]


def _keep(path: Path, kept: dict[str, dict[str, str | None]]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.touch(mode=0o600)
    new.write_text(json.dumps(kept, indent=2))
    new.replace(path)
