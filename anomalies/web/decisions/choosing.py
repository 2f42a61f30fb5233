"""What a reviewer chooses from in the forms that decide."""

from datetime import datetime
from functools import cached_property

from django.contrib.auth.models import User
from django.http import HttpRequest

from anomalies.models import Anomaly
from anomalies.web.decisions.snoozing import Choice, choices
from anomalies.web.people import MOST_LISTED, reviewers


class Choosing:
    """Verdicts, times and people, each read when the template asks for it."""

    def __init__(self, user: User, *, now: datetime) -> None:
        self.user, self.now = user, now

    @property
    def verdicts(self) -> list[tuple[str, str]]:
        return [(verdict.value, verdict.label) for verdict in Anomaly.Verdict]

    @property
    def snoozes(self) -> list[Choice]:
        return choices(self.now)

    @cached_property
    def reviewers(self) -> list[str]:
        """Who else can have it, by name."""
        return [name for name in reviewers() if name != self.user.get_username()]

    @property
    def reviewers_are_many(self) -> bool:
        return len(self.reviewers) > MOST_LISTED


def choosing_of(request: HttpRequest, *, now: datetime) -> Choosing:
    assert isinstance(request.user, User)
    return Choosing(request.user, now=now)
