"""What else happened then to the same user, from the same address or through the same agent."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Case, F, IntegerField, Q, QuerySet, Value, When
from django.db.models.functions import Abs, Extract

from anomalies.models import Anomaly
from anomalies.web.facets import bounded_count
from anomalies.web.listing.row import Row

NEAR = timedelta(hours=2)
MOST = 8
SAME = {"principal_id": "user", "ip": "address", "agent_id": "agent"}  # the closest relation first


@dataclass(frozen=True, slots=True)
class Related:
    """One that is near; `same` names what the two have in common, `user and agent`."""

    row: Row
    same: str


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Those shown, oldest first, and how many more there are."""

    shown: list[Related]
    rest: int


def neighbours(anomaly: Anomaly) -> Neighbours:
    """Return the anomalies of the same user, address or agent of which the times are at most two hours apart.

    Where there are many, those of the same user come first, then those of the same address, then what is nearest.
    """
    near = _near(anomaly)
    if near is None:
        return Neighbours([], 0)
    closest = [
        Case(When(**{name: value}, then=0), default=1, output_field=IntegerField())
        for name in SAME
        if (value := getattr(anomaly, name))
    ]
    apart = Abs(Extract(F("started_at") - Value(anomaly.started_at), "epoch"))
    found = list(near.order_by(*closest, apart, "id")[:MOST])
    rest = bounded_count(near) - len(found) if len(found) == MOST else 0
    found.sort(key=lambda one: (one.started_at, one.pk))
    return Neighbours([Related(Row(one), " and ".join(_in_common(anomaly, one))) for one in found], rest)


def _near(anomaly: Anomaly) -> QuerySet[Anomaly] | None:
    known = [Q(**{name: value}) for name in SAME if (value := getattr(anomaly, name))]
    if not known:
        return None
    same = known[0]
    for one in known[1:]:
        same |= one
    return (
        Anomaly.objects.standing()
        .exclude(state=Anomaly.State.WITHDRAWN)
        .exclude(pk=anomaly.pk)
        .filter(same, started_at__lte=anomaly.active_until + NEAR, active_until__gte=anomaly.started_at - NEAR)
    )


def _in_common(anomaly: Anomaly, other: Anomaly) -> Iterator[str]:
    for name, word in SAME.items():
        if getattr(anomaly, name) and getattr(anomaly, name) == getattr(other, name):
            yield word
