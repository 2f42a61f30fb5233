"""Who an anomaly can be given to."""

from functools import cache
from typing import Any

from django.contrib.auth.models import User
from django.db import connection

from anomalies.services.reviews import ReviewError
from anomalies.web.access import REVIEW

MOST_LISTED = 8  # more are searched for by name


def reviewers() -> list[str]:
    """Those who may decide, by name."""
    with connection.cursor() as cursor:
        cursor.execute(*_reviewers())
        return [name for (name,) in cursor.fetchall()]


@cache
def _reviewers() -> tuple[str, tuple[Any, ...]]:
    """The query, made once: each page of the list asks, and to make it takes longer than to run it."""
    names = User.objects.with_perm(REVIEW).order_by("username").values_list("username")
    return names.query.sql_with_params()


def assignee_called(name: str) -> User | None:
    """Return the reviewer of that name, or nobody for none. Raises ReviewError."""
    if not name:
        return None
    user = User.objects.filter(username=name.replace("\x00", "")).first()
    if user is None:
        raise ReviewError(f"assignee: there is no user “{name[:80]}”.")
    return user
