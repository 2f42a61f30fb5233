"""Thousands of anomalies at once."""

from datetime import datetime

from django.db import connection

from anomalies.models import Anomaly


def copies(of: Anomaly, times: list[datetime], *, first: int) -> None:
    """Copies of an anomaly with ids from the first on, one for each time at which it is created."""
    own = {"id": "n", "public_id": "'anom_' || n", "fingerprint": "'copy-' || n", "created_at": "at"}
    columns = [field.column for field in Anomaly._meta.concrete_fields if not field.generated]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO anomalies_anomaly ({', '.join(columns)}) "
            f"SELECT {', '.join(own.get(column, f'a.{column}') for column in columns)} FROM anomalies_anomaly a, "
            "unnest(%s::timestamptz[]) WITH ORDINALITY AS made (at, number), "
            "LATERAL (SELECT %s + number - 1 AS n) AS numbered WHERE a.id = %s",
            [times, first, of.pk],
        )
