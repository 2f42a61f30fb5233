"""How often each value of some columns occurs: the counts beside the options of a filter."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from psycopg.errors import QueryCanceled

from anomalies.models import Anomaly
from anomalies.models.anomaly import AnomalyQuerySet

MOST_ROWS = 10_000  # rows that are counted, so that a page costs the same at any size
# What passes several filters may lie far apart. Where counting takes longer, only those near the newest are counted.
MOST_MILLISECONDS = 30
NEAR = 10_000  # anomalies, from the newest one that passes

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Counts:
    """The values of each column; `capped`: there are more rows than were counted, so each count is a least one."""

    of: dict[str, Counter[Any]]
    capped: bool = False

    def said(self, column: str, value: Any) -> str:
        """`1,204`, or `1,204+` where not all rows were counted."""
        count = min(self.of[column][value], MOST_ROWS)
        return f"{count:,}{'+' if self.capped else ''}"


def count_values(rows: QuerySet[Any, Any], columns: Sequence[str]) -> Counts:
    """Return the counts of each column's values among the first 10,000 rows; None and "" are left out.

    One query for all columns: GROUPING SETS, which the ORM cannot say, around the SQL that the ORM makes.
    """
    counts: dict[str, Counter[Any]] = {column: Counter() for column in columns}
    try:
        sql, params = rows.values_list(*columns)[: MOST_ROWS + 1].query.sql_with_params()
    except EmptyResultSet:  # a condition that no row can meet
        return Counts(counts)
    quoted = [connection.ops.quote_name(column) for column in columns]  # only names within this statement
    aliases = ", ".join(quoted)
    # The columns are quoted names of the model's fields; every value is a parameter.
    statement = (
        f"SELECT GROUPING({aliases}), {aliases}, COUNT(*) FROM ({sql}) AS matching ({aliases}) "  # noqa: S608
        f"GROUP BY GROUPING SETS (({'), ('.join(quoted)}), ())"
    )
    # GROUPING() has a bit for each column, the first one highest, that is 0 for the column grouped by.
    position_of = {(1 << len(columns)) - 1 - (1 << (len(columns) - 1 - i)): i for i in range(len(columns))}
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        total = 0
        for mask, *values, count in cursor.fetchall():
            position = position_of.get(mask)
            if position is None:  # grouped by no column: all rows
                total = count
            elif isinstance(values[position], list):  # each of its values
                counts[columns[position]].update(dict.fromkeys(values[position], count))
            elif values[position] not in (None, ""):
                counts[columns[position]][values[position]] = count
    return Counts(counts, capped=total > MOST_ROWS)


def count_anomalies(rows: AnomalyQuerySet, columns: Sequence[str]) -> Counts:
    """Return the counts of each column's values among the first 10,000 anomalies, or those that could be in time."""
    counts, all_of_them = in_time(lambda some: count_values(some.newest_first(), columns), rows)
    return counts if all_of_them else replace(counts, capped=True)


def in_time(count: Callable[[AnomalyQuerySet], R], rows: AnomalyQuerySet) -> tuple[R, bool]:
    """Return what `count` makes of the rows and whether it is of all; in little time, whatever the filters are."""
    try:
        with _set(statement_timeout=str(MOST_MILLISECONDS)):
            return count(rows), True
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
    newest = rows.newest_first().values_list("detected_at", flat=True).first()
    if newest is None:
        return count(rows.none()), True
    around = Anomaly.objects.filter(detected_at__lte=newest).newest_first().values_list("detected_at", flat=True)
    oldest = around[NEAR : NEAR + 1].first()
    if oldest is None:
        return count(rows), True
    # By time alone, and what is kept beside an anomaly one by one: other indexes are what took too long.
    with _set(enable_bitmapscan="off", enable_hashjoin="off", enable_mergejoin="off"):
        return count(rows.filter(detected_at__gte=oldest)), False


@contextmanager
def _set(**parameters: str) -> Iterator[None]:
    """Set parameters of PostgreSQL in a transaction; what follows in one that goes on is as before."""
    with transaction.atomic(), connection.cursor() as cursor:
        names = list(parameters)
        cursor.execute(
            "SELECT name, current_setting(name), set_config(name, value, true)"
            " FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)",
            [names, list(parameters.values())],
        )
        before = {name: value for name, value, _ in cursor.fetchall()}
        yield
        cursor.execute(
            "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS kept (name, value)",
            [names, [before[name] for name in names]],
        )


def said_count(rows: AnomalyQuerySet) -> str:
    """`128`, `1,204`, `10,000+`; where only some were counted in time, `310+`."""
    count, all_of_them = in_time(bounded_count, rows)
    return said(count) if all_of_them else f"{min(count, MOST_ROWS):,}+"


def said(count: int) -> str:
    """`128`, `1,204`, `10,000+`."""
    return f"{count:,}" if count <= MOST_ROWS else f"{MOST_ROWS:,}+"


def bounded_count(rows: QuerySet[Any, Any]) -> int:
    """Count the rows, at most to 10,001."""
    return rows.order_by()[: MOST_ROWS + 1].count()
