"""Who did what when, over everything: what people and keys did to anomalies, and what they changed beside them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import Any

from django.db.models import Q, QuerySet

from anomalies.models import AuditEntry, Change, ReviewEntry
from anomalies.services import audit
from anomalies.services.timeline import DETECTION

ANOMALY = "anomaly"  # the type of what review entries are about
ROWS_AT_ONCE = 2000
MOST_VERIFIED = 200_000  # entries of the chain that one call looks at


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of the audit log. `key` is `r12` of a review entry, `c12` of a change."""

    key: str
    at: datetime
    actor: str
    action: str
    subject_type: str
    subject_id: str
    subject_name: str
    changes: dict[str, Any]
    note: str
    is_bulk: bool

    @property
    def order(self) -> tuple[datetime, str, int]:
        """By what the log is sorted; the newest has the highest."""
        return self.at, self.key[0], int(self.key[1:])


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which happenings: those that meet all that is given. `subject` is a type, an id, or a part of a name."""

    actor: str = ""
    action: str = ""
    subject: str = ""
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    rows: list[Happening]
    older: str  # the key after which the next page begins; empty: there is none
    newer: str


@dataclass(frozen=True, slots=True)
class Chain:
    """What verifying the audit log of Grantex clients came to."""

    verified: int  # entries that hold, from the first on
    last: AuditEntry | None  # the last of them
    is_all: bool
    broken: str  # why the next one does not hold; empty: it does, or there is none


def page(wanted: Wanted, *, size: int, after: str = "", before: str = "") -> Page:
    """Return happenings, newest first: the first ones, or those after or before one, by its key."""
    boundary, backwards = _boundary(before or after), bool(before)
    found = list(islice(_merged(wanted, boundary, backwards=backwards, most=size + 1), size + 1))
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    has_older = bool(found) if backwards else more
    has_newer = more if backwards else boundary is not None and bool(found)
    return Page(found, found[-1].key if has_older else "", found[0].key if has_newer else "")


def everything(wanted: Wanted) -> Iterator[Happening]:
    """Yield all happenings, newest first, in parts: any number of them takes the same memory."""
    after = ""
    while part := page(wanted, size=ROWS_AT_ONCE, after=after):
        yield from part.rows
        if not part.older:
            return
        after = part.older


def actions() -> list[str]:
    """Return all that can have been done."""
    changed = Change.objects.order_by().values_list("action", flat=True).distinct()
    return sorted({*ReviewEntry.Action.values, *changed})


def verify_chain() -> Chain:
    """Follow the chain of Grantex clients' entries from the first one on."""
    verified, last = 0, None
    try:
        for entry in islice(audit.verified(), MOST_VERIFIED):
            verified, last = verified + 1, entry
    except audit.BrokenChainError as error:
        return Chain(verified, last, is_all=False, broken=str(error))
    newest = AuditEntry.objects.order_by("-id").first()
    return Chain(verified, last, is_all=newest is None or (last is not None and last.pk >= newest.pk), broken="")


def _boundary(key: str) -> tuple[datetime, str, int] | None:
    kind, number = key[:1], key[1:]
    if kind not in ("r", "c") or not (number.isascii() and number.isdigit() and len(number) < 19):
        return None
    rows: QuerySet[Any] = ReviewEntry.objects.all() if kind == "r" else Change.objects.all()
    at = rows.filter(pk=number).values_list("at", flat=True).first()
    return (at, kind, int(number)) if at else None


def _merged(
    wanted: Wanted, boundary: tuple[datetime, str, int] | None, *, backwards: bool, most: int
) -> Iterator[Happening]:
    order = ("at", "id") if backwards else ("-at", "-id")
    entries = _beyond(_entries(wanted), "r", boundary, backwards=backwards).order_by(*order)[:most]
    changes = _beyond(_changes(wanted), "c", boundary, backwards=backwards).order_by(*order)[:most]
    sources = (map(_of_entry, entries), map(_of_change, changes))
    return merge(*sources, key=lambda one: one.order, reverse=not backwards)


def _beyond(
    rows: QuerySet[Any], kind: str, boundary: tuple[datetime, str, int] | None, *, backwards: bool
) -> QuerySet[Any]:
    """Those of a kind that come after the boundary in the order of the log, or before it."""
    if boundary is None:
        return rows
    at, of, number = boundary
    past = "gt" if backwards else "lt"
    elsewhere = Q(at=at) if (kind > of) == backwards else Q(pk__in=[])
    same = Q(at=at, **{f"id__{past}": number}) if kind == of else elsewhere
    return rows.filter(Q(**{f"at__{past}e": at}), Q(**{f"at__{past}": at}) | same)


def _entries(wanted: Wanted) -> QuerySet[ReviewEntry]:
    rows = ReviewEntry.objects.exclude(actor=DETECTION.name).select_related("anomaly")
    if wanted.subject:
        text = wanted.subject
        called = Q(anomaly__title__icontains=text) | Q(anomaly__description__icontains=text)
        rows = rows if text == ANOMALY else rows.filter(Q(anomaly__public_id=text) | called)
    return _common(rows, wanted)


def _changes(wanted: Wanted) -> QuerySet[Change]:
    rows = Change.objects.all()
    if wanted.subject:
        rows = rows.filter(
            Q(subject_id=wanted.subject) | Q(subject_type=wanted.subject) | Q(subject_name__icontains=wanted.subject)
        )
    return _common(rows, wanted)


def _common(rows: QuerySet[Any], wanted: Wanted) -> QuerySet[Any]:
    given = {"actor": wanted.actor, "action": wanted.action, "at__gte": wanted.start, "at__lt": wanted.end}
    return rows.filter(**{name: value for name, value in given.items() if value})


def _of_entry(entry: ReviewEntry) -> Happening:
    anomaly = entry.anomaly
    return Happening(
        key=f"r{entry.pk}",
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        subject_type=ANOMALY,
        subject_id=anomaly.public_id,
        subject_name=anomaly.title or anomaly.description,
        changes=entry.changes,
        note=entry.note,
        is_bulk=entry.bulk_id is not None,
    )


def _of_change(change: Change) -> Happening:
    return Happening(
        key=f"c{change.pk}",
        at=change.at,
        actor=change.actor,
        action=change.action,
        subject_type=change.subject_type,
        subject_id=change.subject_id,
        subject_name=change.subject_name,
        changes=change.changes,
        note=change.note,
        is_bulk=False,
    )
