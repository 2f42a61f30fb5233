"""By what the columns of the list are sorted: what each shows, in an expression that has an index.

Each order is the same in both directions and ends with the time of detection and the number: so it is total, and one
index serves both.
"""

from django.db.models import Case, F, Q, SmallIntegerField, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Left, NullIf

MOST_CHARACTERS = 200  # of a text by which is sorted: an index holds no longer ones

# Spelled out: these are parts of indexes, which change by a migration alone.
_UNDECIDED = Q(status="open")
STATUS_RANK = Case(
    When(_UNDECIDED & Q(state="withdrawn"), then=Value(5)),
    When(_UNDECIDED & Q(suppression__isnull=False), then=Value(4)),
    When(_UNDECIDED & Q(snoozed_until__isnull=False), then=Value(1)),
    When(Q(status="acknowledged"), then=Value(2)),
    When(Q(status="resolved"), then=Value(3)),
    default=Value(0),
    output_field=SmallIntegerField(),
)
HEADLINE = Coalesce(NullIf("title", Value("")), Left("description", MOST_CHARACTERS))
WHO = Case(
    When(kind="principal", then=Coalesce("principal_id", "agent_id", "entity")),
    default=Coalesce("agent_id", "principal_id", "entity"),
)

SORTED_BY: dict[str, Combinable] = {  # column of the list: what it is sorted by
    "detected": F("detected_at"),
    "severity": F("severity"),
    "type": F("type"),
    "what": HEADLINE,
    "who": WHO,
    "resource": Left("resource", MOST_CHARACTERS),
    "integration": F("integration"),
    "where": F("countries"),
    "status": STATUS_RANK,
}
LAST = ("detected_at", "id")  # of each order
