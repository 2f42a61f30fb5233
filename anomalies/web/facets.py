"""How often each value of some columns occurs: the counts beside the options of a filter."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

MOST_ROWS = 10_000  # rows that are counted, so that a page costs the same at any size


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


def bounded_count(rows: QuerySet[Any, Any]) -> int:
    """Count the rows, at most to 10,001."""
    return rows.order_by()[: MOST_ROWS + 1].count()
