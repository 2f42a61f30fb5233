"""What this contract tells of an anomaly: each field once, as SQL, to be read, filtered and ordered by."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import (
    BigIntegerField,
    Case,
    DecimalField,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    TextField,
    Value,
    When,
)
from django.db.models.expressions import Combinable
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce
from ninja import Schema

from anomalies.api.cloudlock_v2.countries import country_name
from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Principal, ReviewEntry, Scan, Series
from anomalies.models.anomaly import SUPPRESSED, WITHDRAWN

ROWS_AT_ONCE = 2000
ACTIVE, DISMISSED = "ACTIVE", "DISMISSED"

# Dismiss reasons that are offered, and the verdict that each is; another one is kept in its own words.
VERDICTS = {
    "false_positive": Anomaly.Verdict.FALSE_POSITIVE,
    "expected_behavior": Anomaly.Verdict.BENIGN,
    "resolved": Anomaly.Verdict.TRUE_POSITIVE,
    "duplicate": Anomaly.Verdict.DUPLICATE,
}
OTHER = "other"

_RESOLVED = Q(status=Anomaly.Status.RESOLVED)
_MERGED = Q(merged_into__isnull=False)
_WITHDRAWN = Q(status=Anomaly.Status.OPEN, state=Anomaly.State.WITHDRAWN)
_SUPPRESSED = Q(status=Anomaly.Status.OPEN, suppression__isnull=False)
IS_DISMISSED = _RESOLVED | _MERGED | _WITHDRAWN | _SUPPRESSED

_REASON = Case(
    When(_RESOLVED & ~Q(reason=""), then=F("reason")),
    *(When(_RESOLVED & Q(verdict=verdict), then=Value(reason)) for reason, verdict in VERDICTS.items()),
    When(_RESOLVED, then=Value(OTHER)),
    When(_MERGED, then=Value("duplicate")),
    When(_WITHDRAWN, then=Value(WITHDRAWN)),
    When(_SUPPRESSED, then=Value(SUPPRESSED)),
    default=None,
    output_field=TextField(),
)
_WHO = Case(
    When(kind=Series.Kind.PRINCIPAL, then=Value("user")),
    When(kind=Series.Kind.ADDRESS, then=Value("ip")),
    default=F("kind"),
    output_field=TextField(),
)
_RISK = Case(*(When(type=type_, then=Value(one.risk)) for type_, one in DETECTORS.items()), default=Value(""))
_ENTITY = Coalesce(
    KeyTextTransform("entity", "evidence"),
    Case(
        *(When(type=type_, then=Value(one.entity)) for type_, one in DETECTORS.items() if one.entity),
        default=_WHO,
        output_field=TextField(),
    ),
    output_field=TextField(),
)
_EVENTS = Cast(
    Cast(KeyTextTransform("event_count", "evidence"), DecimalField(max_digits=20, decimal_places=0)), BigIntegerField()
)

# `created_at` is when the row was made, not the time at which a scan would have found it: that may lie in the past,
# where no poller looks any more.
SCALARS: Mapping[str, Any] = {
    "id": F("pk"),
    "status": Case(When(IS_DISMISSED, then=Value(DISMISSED)), default=Value(ACTIVE)),
    "dismissed_at": F("resolved_at"),
    "dismiss_reason": _REASON,
    "created_at": F("created_at"),
    "updated_at": F("updated_at"),
    "detected_at": F("created_at"),
    "start_time": F("started_at"),
    "end_time": F("active_until"),
    "short_description": F("title"),
    "description": F("description"),
    "threat_type": F("type"),
    "threat_risk": _RISK,
    "threat_entity": _ENTITY,
    "event_count": Coalesce(_EVENTS, Value(0), output_field=BigIntegerField()),
    "suspicious_ip": F("ip"),
}
_LISTS = ("platforms", "countries", "principal_ids")

EXAMPLE: dict[str, Any] = {
    "id": 1003391,
    "status": "ACTIVE",
    "dismissed_at": None,
    "dismiss_reason": None,
    "created_at": "2020-09-19T03:16:50.016438+00:00",
    "updated_at": "2020-09-19T03:16:50.016448+00:00",
    "detected_at": "2020-09-19T03:16:50.016438+00:00",
    "start_time": "2020-09-18T00:03:27+00:00",
    "end_time": "2020-09-18T10:55:36+00:00",
    "short_description": "",
    "description": "lee@example.com has an abnormal frequency of suspicious login activity from India",
    "threat_type": "suspicious_login",
    "threat_risk": "Account Compromise",
    "threat_entity": "location",
    "platforms": ["office365"],
    "event_count": 13,
    "suspicious_ip": None,
    "locations": ["India"],
    "users": [{"display_name": "lee@example.com", "email": "lee@example.com"}],
}


class User(Schema):
    display_name: str
    email: str | None


class Threat(Schema):
    """One anomaly. `short_description` is what reviewers call it; `users` are at most 100, the busiest first;
    `event_count` are the events of the whole buckets by which it was judged, in which it may have begun later.

    ACTIVE: somebody may be asked to act on it. It is open, also if it is snoozed, which ends by itself, or was seen and
    not judged yet. DISMISSED: nobody is asked any more. It was resolved, with `dismissed_at` and a reason; or, at no
    time of anybody's, it is `suppressed`, `withdrawn` (events that came late explain it) or a `duplicate`, found to be
    a part of another. A threat is never taken off the list again: the places of those after it would shift, and a
    poller that pages by `offset` would miss one.
    """

    id: int
    status: str
    dismissed_at: datetime | None
    dismiss_reason: str | None
    created_at: datetime
    updated_at: datetime
    detected_at: datetime
    start_time: datetime
    end_time: datetime
    short_description: str
    description: str
    threat_type: str
    threat_risk: str
    threat_entity: str
    platforms: list[str]
    event_count: int
    suspicious_ip: str | None
    locations: list[str] | None
    users: list[User]

    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}


def threats(anomalies: QuerySet[Anomaly]) -> QuerySet[Anomaly]:
    """Those of the anomalies that are items: what stood for itself once the scan that raised it was over.

    While a scan runs, what it raises is not shown: it may be merged yet, and of workers that share it the later one may
    be the first to be done, so that a poller would look past what the other adds. What was merged in that scan never
    is an item; what a later one merges stays one.
    """
    return anomalies.filter(~_MERGED | Exists(_merged_later())).exclude(scan__in=_under_way())


def count_threats(anomalies: QuerySet[Anomaly]) -> int:
    """Return how many of the anomalies are items: all but the few that are none, each of which has an index."""
    under_way = list(_under_way())  # known by its id, or PostgreSQL reads all rows for it, and mostly there is none
    raised_now = anomalies.filter(scan__in=under_way).count()
    merged_at_once = anomalies.filter(_MERGED, ~Exists(_merged_later())).exclude(scan__in=under_way).count()
    return anomalies.count() - raised_now - merged_at_once


def _under_way() -> QuerySet[Scan, int]:
    newest = Scan.objects.order_by("-id")[:1]
    return Scan.objects.filter(pk__in=newest.values("pk"), finished_at__isnull=True).values_list("pk", flat=True)


def _merged_later() -> QuerySet[ReviewEntry]:
    return ReviewEntry.objects.filter(
        anomaly=OuterRef("pk"), action=ReviewEntry.Action.MERGED, at__gt=F("anomaly__scan__now")
    )


def ordered(anomalies: QuerySet[Anomaly], field: str, *, descending: bool) -> QuerySet[Anomaly]:
    """Order by a field of the item, those that are the same in it by id."""
    by: list[Combinable] = [SCALARS[field], F("pk")]
    return anomalies.order_by(*(one.desc() if descending else one.asc() for one in by))  # type: ignore[attr-defined]


def told(anomalies: QuerySet[Anomaly]) -> Iterator[dict[str, Any]]:
    """Yield the item of each, 2,000 at a time read from the database, with one query for the users of all of these."""
    rows = anomalies.values_list(*SCALARS.values(), *_LISTS).iterator(ROWS_AT_ONCE)
    while some := list(islice(rows, ROWS_AT_ONCE)):
        ids = {principal_id for row in some for principal_id in row[-1]}
        known = Principal.objects.filter(public_id__in=ids).values_list("public_id", "name", "email") if ids else ()
        users = {public_id: _user(public_id, name, email) for public_id, name, email in known}
        for row in some:
            yield _item(row, users)


def _user(public_id: str, name: str = "", email: str = "") -> dict[str, str | None]:
    address = email or (public_id if "@" in public_id else None)
    return {"display_name": name or email or public_id, "email": address}


def _item(row: Sequence[Any], users: Mapping[str, dict[str, str | None]]) -> dict[str, Any]:
    *scalars, platforms, countries, principal_ids = row
    return {
        **{name: _wire(value) for name, value in zip(SCALARS, scalars, strict=True)},
        "platforms": platforms,
        "locations": [country_name(code) for code in countries] or None,
        "users": [users.get(principal_id) or _user(principal_id) for principal_id in principal_ids],
    }


def _wire(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
