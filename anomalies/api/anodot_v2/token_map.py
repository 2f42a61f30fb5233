"""Which properties metrics that deviate have in common, beside how many metrics have them at all."""

from itertools import groupby
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router

from anomalies.api.anodot_v2 import access_token
from anomalies.api.anodot_v2.answers import ErrorAnswer, FieldError
from anomalies.api.anodot_v2.parameters import TokenMapParameters, check_names
from anomalies.api.anodot_v2.wording import resolution_of
from anomalies.api.auth import key_of
from anomalies.api.bodies import json_answer
from anomalies.api.errors import CamelSchema, exemplified
from anomalies.models import Anomaly, Metric

CLUSTERS = TOKENS = 100

# Series are what there is; of what nobody counts, such as first meetings, all metrics that ever deviated.
_MAP = """
WITH abnormal AS MATERIALIZED (
    SELECT DISTINCT what, kind, entity, action FROM anomalies_metric WHERE id IN ({metrics})
), known AS (
    SELECT metric AS what, kind, entity, action FROM anomalies_series WHERE metric IN (SELECT what FROM abnormal)
    UNION
    SELECT DISTINCT what, kind, entity, action FROM anomalies_metric
    WHERE what IN (SELECT what FROM abnormal) AND what NOT IN (SELECT DISTINCT metric FROM anomalies_series)
    UNION
    SELECT what, kind, entity, action FROM abnormal
), counted AS MATERIALIZED (
    SELECT known.what, key, value, count(abnormal.what) AS abnormal, count(*) AS total,
           count(abnormal.what)::float8 / count(*) AS weight
    FROM known LEFT JOIN abnormal USING (what, kind, entity, action),
         LATERAL (VALUES ('', known.what), (kind, entity), ('action', action)) AS property (key, value)
    WHERE value <> ''
    GROUP BY known.what, key, value
    HAVING count(abnormal.what) > 0
), clusters AS (
    SELECT * FROM counted WHERE key = '' ORDER BY weight DESC, abnormal DESC, what LIMIT %s
), tokens AS (
    SELECT *, row_number() OVER (PARTITION BY what ORDER BY weight DESC, abnormal DESC, key, value) AS place
    FROM counted WHERE key <> ''
)
SELECT c.what, c.weight, c.abnormal, c.total, t.key, t.value, t.weight, t.abnormal, t.total
FROM clusters c JOIN tokens t ON t.what = c.what AND t.place <= %s
ORDER BY c.weight DESC, c.abnormal DESC, c.what, t.place
"""

EXAMPLE: dict[str, Any] = {
    "key": "what",
    "value": "failures",
    "weight": 0.0970873786407767,
    "tokens": [
        {
            "key": "agent",
            "value": "ag_billing",
            "weight": 0.5,
            "anomalyOccurrences": 2,
            "totalOccurrences": 4,
        }
    ],
    "anomalyOccurrences": 30,
    "totalOccurrences": 309,
}

router = Router(tags=["Anomalies"], by_alias=True)


class Token(CamelSchema):
    """A property, how many metrics with it deviate, of how many that there are; `weight` is their share."""

    key: str
    value: str
    weight: float
    anomaly_occurrences: int
    total_occurrences: int


class Cluster(CamelSchema):
    """The same of what is counted, with the properties of what deviates, the heaviest first."""

    key: str
    value: str
    weight: float
    tokens: list[Token]
    anomaly_occurrences: int
    total_occurrences: int

    model_config = exemplified(EXAMPLE)


@router.get(
    "/anomalies/tokenMap", auth=access_token.READ, response={200: list[Cluster], (400, 401, 403, 404): ErrorAnswer}
)
def read_token_map(request: HttpRequest, wanted: Query[TokenMapParameters]) -> HttpResponse:
    """Return what metrics that deviate have in common: those of the anomalies that pass, or of one anomaly."""
    check_names(request, TokenMapParameters)
    tokens = wanted.token_map_cluster_limit or wanted.token_limit_misspelt or TOKENS
    return json_answer(_clusters(_metrics(request, wanted), wanted.token_map_clusters_limit or CLUSTERS, tokens))


def _metrics(request: HttpRequest, wanted: TokenMapParameters) -> QuerySet[Metric]:
    passing = Metric.objects.filter(wanted.metrics())
    if wanted.anomaly_id is None:
        if not wanted.q:
            raise FieldError("q", "it is missing; without it there has to be anomalyId")
        return passing.filter(anomaly__in=wanted.matching(me=key_of(request).name, at=timezone.now()))
    if not wanted.resolution:
        raise FieldError("resolution", "it is missing; with anomalyId it has to be there")
    anomaly = Anomaly.objects.called(wanted.anomaly_id)
    if anomaly is None:
        raise Http404(f"There is no anomaly {wanted.anomaly_id[:60]}.")
    return (
        passing.filter(anomaly=anomaly)
        if resolution_of(anomaly.resolution_seconds) in wanted.resolution.split(",")
        else Metric.objects.none()
    )


def _clusters(metrics: QuerySet[Metric], most: int, most_tokens: int) -> list[dict[str, Any]]:
    try:
        sql, parameters = metrics.order_by().values("pk").query.sql_with_params()
    except EmptyResultSet:  # what no metric can have was asked for
        return []
    with connection.cursor() as cursor:
        cursor.execute(_MAP.format(metrics=sql), [*parameters, most, most_tokens])
        rows = cursor.fetchall()
    return [
        {**_counted("what", *cluster), "tokens": [_counted(*row[4:6], *row[6:]) for row in some]}
        for cluster, some in groupby(rows, key=lambda row: row[:4])
    ]


def _counted(key: str, value: str, weight: float, abnormal: int, total: int) -> dict[str, Any]:
    return {"key": key, "value": value, "weight": weight, "anomalyOccurrences": abnormal, "totalOccurrences": total}
