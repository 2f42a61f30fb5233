"""What a reviewer was not shown yet: that something was assigned to them, or that what they snoozed came back."""

from dataclasses import dataclass

from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from anomalies.models import ReviewEntry
from anomalies.services import notices
from anomalies.web.access import REVIEW, VIEW, requires
from anomalies.web.request import Request

MOST_TOLD = 99  # more are `99+`


@dataclass(frozen=True, slots=True)
class Unseen:
    """`up_to` is the newest of them: what comes after it was not shown."""

    assigned: int
    back: int
    up_to: int

    @property
    def sentence(self) -> str:
        """`2 assigned to you, 1 back from snooze`."""
        parts = ((self.assigned, "assigned to you"), (self.back, "back from snooze"))
        return ", ".join(f"{_capped(count)} {what}" for count, what in parts if count)


def unseen_by(user: User | AnonymousUser) -> Unseen | None:
    """Return what they were not shown, or None if there is nothing. That of a bulk review stands for all of it."""
    if not isinstance(user, User) or not user.has_perm(REVIEW) or not notices.has_unseen(user):
        return None
    found = list(notices.unseen(user).values_list("pk", "entry__action", "entry__bulk")[: MOST_TOLD + 1])
    if not found:
        return None
    back = sum(action == ReviewEntry.Action.WOKEN for _, action, _ in found)
    bulks = [bulk for _, _, bulk in found if bulk]
    of_bulks = notices.theirs(user).filter(bulk__in=bulks)[: MOST_TOLD + 1].count() if bulks else 0
    return Unseen(assigned=len(found) - back - len(bulks) + of_bulks, back=back, up_to=found[0][0])


@require_POST
@requires(VIEW)
def see_notices(request: Request) -> HttpResponse:
    """Lead to what they are about, and mark as seen what was shown: to one, to their own, or to what came back."""
    assert isinstance(request.user, User)
    number = request.POST.get("up_to", "")
    up_to = int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0
    shown = list(notices.unseen(request.user).filter(pk__lte=up_to)[: MOST_TOLD + 1])
    notices.see(request.user, up_to=up_to, at=timezone.now())
    query = QueryDict(mutable=True)
    if len(shown) == 1 and shown[0].entry.bulk_id is None:
        query["open"] = shown[0].entry.anomaly.public_id
    if any(one.entry.action == ReviewEntry.Action.ASSIGNED for one in shown) or not shown:
        query["assignee"] = "me"
    elif len(shown) > 1:
        query["status"] = "open"
    return redirect(f"{reverse('anomaly_list')}?{query.urlencode()}")


def _capped(count: int) -> str:
    return f"{count}" if count <= MOST_TOLD else f"{MOST_TOLD}+"
