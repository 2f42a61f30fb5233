"""Who an anomaly can be given to."""

from django.contrib.auth.models import User
from django.db.models import QuerySet

from anomalies.services.reviews import ReviewError
from anomalies.web.access import REVIEW

MOST_LISTED = 8  # more are searched for by name


def reviewers() -> QuerySet[User]:
    """Those who may decide, by name."""
    return User.objects.with_perm(REVIEW).order_by("username")


def assignee_called(name: str) -> User | None:
    """Return the reviewer of that name, or nobody for none. Raises ReviewError."""
    if not name:
        return None
    user = User.objects.filter(username=name.replace("\x00", "")).first()
    if user is None:
        raise ReviewError(f"assignee: there is no user “{name[:80]}”.")
    return user
