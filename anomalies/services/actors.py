"""All agents or all users, page by page in any order, with what they did lately and what is open about them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import Count, Model

from anomalies.models import Agent, Anomaly, BucketBlock, Principal, Series, Severity

HOUR = timedelta(hours=1)
HOURS = 24  # of which the requests are told, the present one among them
MODELS: dict[str, type[Agent] | type[Principal]] = {Series.Kind.AGENT: Agent, Series.Kind.PRINCIPAL: Principal}
A = TypeVar("A", bound=Model)

# What sorts, by column: an expression that is never NULL.
COLUMNS = {
    "id": "a.public_id",
    "name": "a.name",
    "group": 'a."group"',
    "email": "a.email",
    "status": "CASE WHEN a.deleted_at IS NOT NULL THEN 'deleted' ELSE a.status END",
    "first": "coalesce(a.first_seen, 'infinity')",
    "seen": "coalesce(a.last_seen, '-infinity')",
    "open": "coalesce(undecided.weight, 0)",
    "requests": "coalesce(lately.requests, 0)",
}

# The worst first: one of high severity outweighs any number below. Read from the index of what is up for review alone.
_OPEN = """
LEFT JOIN (
    SELECT {column} AS public_id,
           sum(CASE severity WHEN 3 THEN 1000000000000 WHEN 2 THEN 1000000 ELSE 1 END::bigint) AS weight
    FROM anomalies_anomaly
    WHERE status = 'open' AND state <> 'withdrawn' AND suppression_id IS NULL AND snoozed_until IS NULL
      AND merged_into_id IS NULL AND {column} IS NOT NULL
    GROUP BY {column}
) AS undecided ON undecided.public_id = a.public_id
"""
_LATELY = """
LEFT JOIN (
    SELECT s.entity AS public_id, sum((
        SELECT sum(count) FROM unnest(b.counts[greatest(1, extract(epoch FROM %(since)s - b.start)::integer / 3600 + 1):
                                               extract(epoch FROM %(until)s - b.start)::integer / 3600]) AS count
    )) AS requests
    FROM anomalies_series s JOIN anomalies_bucketblock b ON b.series_id = s.id
    WHERE s.kind = %(kind)s AND s.metric = 'requests' AND s.action = '' AND s.last_time >= %(since)s
      AND b.resolution_seconds = 3600 AND b.start > %(since)s - interval '1 day' AND b.start < %(until)s
    GROUP BY s.entity
) AS lately ON lately.public_id = a.public_id
"""
_BASE = "SELECT a.*, {key} AS sorted_by FROM {table} a {joined}"
_PAGE = """
WITH known AS ({base})
SELECT k.public_id FROM known k
WHERE {conditions}
ORDER BY k.sorted_by {direction}, k.public_id {direction} LIMIT %(limit)s
"""
_COUNT = "SELECT count(*) FROM (SELECT FROM {table} k WHERE {conditions} LIMIT %(most)s) AS matching"
_BEYOND = "(k.sorted_by, k.public_id) {sign} (SELECT sorted_by, public_id FROM known WHERE public_id = %(from)s)"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which agents or users, in which order; `sort` names a column, `-` before it for the largest first."""

    sort: str = "-open"
    text: str = ""
    status: str = ""  # or `deleted`
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Lately:
    """What one of them did in each of the last 24 hours, and how many undecided anomalies there are of it."""

    requests: tuple[int, ...] = (0,) * HOURS
    undecided: Mapping[int, int] = field(default_factory=dict)  # by severity

    @property
    def total(self) -> int:
        return sum(self.requests)


@dataclass(frozen=True, slots=True)
class Listed(Generic[A]):
    """One page; `later` and `earlier` are the ids that its neighbours go on from, empty where there is none."""

    rows: list[A]
    later: str
    earlier: str


def listed(
    kind: str, wanted: Wanted, *, now: datetime, size: int, after: str = "", before: str = ""
) -> Listed[Agent | Principal]:
    """Return the page after one id, before one, or the first; any page costs the same."""
    model, backwards = MODELS[kind], bool(before)
    falling = wanted.sort.startswith("-") != backwards
    since, until = bounds(now)
    conditions, parameters = _conditions(model, wanted)
    if start := before or after:
        conditions.append(_BEYOND.format(sign="<" if falling else ">"))
        parameters["from"] = start
    statement = _PAGE.format(
        base=_BASE.format(
            key=COLUMNS[wanted.sort.lstrip("-")],
            table=model._meta.db_table,
            joined=_joined(wanted.sort, f"{kind}_id"),
        ),
        conditions=" AND ".join(conditions),
        direction="DESC" if falling else "ASC",
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, {**parameters, "kind": kind, "since": since, "until": until, "limit": size + 1})
        ids = [public_id for (public_id,) in cursor.fetchall()]
    more, ids = len(ids) > size, ids[:size]
    if backwards:
        ids.reverse()
    found: dict[str, Any] = model._default_manager.in_bulk(ids, field_name="public_id")
    has_later, has_earlier = (True, more) if backwards else (more, bool(after))
    return Listed(
        [found[one] for one in ids if one in found],
        later=ids[-1] if ids and has_later else "",
        earlier=ids[0] if ids and has_earlier else "",
    )


def _joined(sort: str, column: str) -> str:
    match sort.lstrip("-"):
        case "open":
            return _OPEN.format(column=column)
        case "requests":
            return _LATELY
    return ""


def _conditions(model: type[Model], wanted: Wanted) -> tuple[list[str], dict[str, Any]]:
    conditions, parameters = ["true"], {}
    if wanted.text:
        second = "email" if model is Principal else '"group"'
        conditions.append(f"(k.public_id ILIKE %(text)s OR k.name ILIKE %(text)s OR k.{second} ILIKE %(text)s)")
        escaped = wanted.text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
        parameters["text"] = f"%{escaped}%"
    if wanted.status == "deleted":
        conditions.append("k.deleted_at IS NOT NULL")
    elif wanted.status:
        conditions.append("k.deleted_at IS NULL AND k.status = %(status)s")
        parameters["status"] = wanted.status
    if wanted.group is not None:
        conditions.append('k."group" = %(group)s')
        parameters["group"] = wanted.group
    return conditions, parameters


def count(kind: str, wanted: Wanted, *, most: int) -> int:
    """Return how many match, counted up to `most`."""
    model = MODELS[kind]
    conditions, parameters = _conditions(model, wanted)
    statement = _COUNT.format(table=model._meta.db_table, conditions=" AND ".join(conditions))
    with connection.cursor() as cursor:
        cursor.execute(statement, {**parameters, "most": most})
        return int(cursor.fetchone()[0])


def lately(kind: str, ids: Iterable[str], *, now: datetime) -> dict[str, Lately]:
    """Return of each of these what it did in the last 24 hours and what is undecided about it, by two queries."""
    ids = list(ids)
    since, until = bounds(now)
    requests = {one: [0] * HOURS for one in ids}
    blocks = BucketBlock.objects.filter(
        series__kind=kind,
        series__entity__in=ids,
        series__action="",
        series__metric=Series.Metric.REQUESTS,
        resolution_seconds=HOUR.seconds,
        start__gt=since - timedelta(days=1),
        start__lt=until,
    )
    for entity, start, counts in blocks.values_list("series__entity", "start", "counts"):
        first = (start - since) // HOUR
        for hour, count in enumerate(counts, first):
            if 0 <= hour < HOURS:
                requests[entity][hour] += count
    column = f"{kind}_id"
    undecided: dict[str, dict[int, int]] = {one: {} for one in ids}
    counted = Anomaly.objects.needs_review().filter(**{f"{column}__in": ids}).order_by()
    for one, severity, count in counted.values_list(column, "severity").annotate(count=Count("*")):
        undecided[one][Severity(severity)] = count
    return {one: Lately(tuple(requests[one]), undecided[one]) for one in ids}


def bounds(now: datetime) -> tuple[datetime, datetime]:
    """Return the start of the first and the end of the last of the 24 hours."""
    until = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + HOUR
    return until - HOURS * HOUR, until


def groups(most: int) -> list[str]:
    """Return the names of the groups of agents, at most so many."""
    named = Agent.objects.exclude(group="").order_by("group").values_list("group", flat=True)
    return list(named.distinct()[:most])
