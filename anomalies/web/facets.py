"""How often each value of some columns occurs: the counts beside the options of a filter."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet

MOST_ROWS = 10_000  # rows that are counted, so that a page costs the same at any size


def count_values(rows: QuerySet[Any, Any], columns: Sequence[str]) -> dict[str, Counter[Any]]:
    """Return the counts of each column's values among the first 10,000 rows; None and "" are left out.

    One query for all columns: GROUPING SETS, which the ORM cannot say, around the SQL that the ORM makes.
    """
    counts: dict[str, Counter[Any]] = {column: Counter() for column in columns}
    try:
        sql, params = rows.values_list(*columns)[:MOST_ROWS].query.sql_with_params()
    except EmptyResultSet:  # a condition that no row can meet
        return counts
    quoted = [connection.ops.quote_name(column) for column in columns]  # only names within this statement
    aliases = ", ".join(quoted)
    # The columns are quoted names of the model's fields; every value is a parameter.
    statement = (
        f"SELECT GROUPING({aliases}), {aliases}, COUNT(*) FROM ({sql}) AS matching ({aliases}) "  # noqa: S608
        f"GROUP BY GROUPING SETS ({', '.join(f'({name})' for name in quoted)})"
    )
    # GROUPING() has a bit for each column, the first one highest, that is 0 for the column grouped by.
    position_of = {(1 << len(columns)) - 1 - (1 << (len(columns) - 1 - i)): i for i in range(len(columns))}
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        for mask, *values, count in cursor.fetchall():
            position = position_of[mask]
            value = values[position]
            if value not in (None, ""):
                counts[columns[position]][value] = count
    return counts


def bounded_count(rows: QuerySet[Any, Any]) -> int:
    """Count the rows, at most to 10,001."""
    return rows.order_by()[: MOST_ROWS + 1].count()
