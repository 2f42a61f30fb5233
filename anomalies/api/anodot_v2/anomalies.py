"""List and count anomalies; read one with its metrics and their data points."""

from typing import Any
from urllib.parse import unquote

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router, Schema

from anomalies.api.anodot_v2 import access_token
from anomalies.api.anodot_v2.answers import ErrorAnswer
from anomalies.api.anodot_v2.group import EXAMPLE, Group, GroupAnswer, groups
from anomalies.api.anodot_v2.metric import Deviating, MetricAnswer, interval_told, others_of
from anomalies.api.anodot_v2.parameters import PAGING_MAX, Filters, Listing, Paging, Span, check_names
from anomalies.api.anodot_v2.points import points, window_of
from anomalies.api.auth import key_of
from anomalies.api.bodies import encoded, json_answer
from anomalies.api.errors import CamelSchema, exemplified
from anomalies.models import Anomaly, Metric

METRICS_AT_ONCE = 50  # each with all of its data points

router = Router(tags=["Anomalies"], by_alias=True)


class AnomalyList(CamelSchema):
    """`total` pass the filters, of which those beyond `pagingMax` are found by time."""

    total: int
    paging_max: int
    anomalies: list[GroupAnswer]

    model_config = exemplified({"total": 1, "pagingMax": PAGING_MAX, "anomalies": [EXAMPLE]})


class Total(Schema):
    total: int

    model_config = exemplified({"total": 1819})


@router.get("/anomalies", auth=access_token.READ, response={200: AnomalyList, (400, 401, 403): ErrorAnswer})
def list_anomalies(request: HttpRequest, wanted: Query[Listing]) -> HttpResponse:
    """Return anomalies, the latest first, each with the metrics that pass what is asked of metrics.

    A group passes if one of its metrics does. What was merged into another is told as that, what turned out to be
    none is not told any more. Parameters that are unknown or empty are left out of account.
    """
    check_names(request, Listing)
    at = timezone.now()
    rows = wanted.matching(me=key_of(request).name, at=at)
    numbers = wanted.page(rows, at=at)
    told = encoded(one.told([one.metric(metric) for metric in one.passing], at=at) for one in _groups(numbers, wanted))
    return json_answer({"total": rows.count(), "pagingMax": PAGING_MAX, "anomalies": told})


@router.get("/anomalies/count", auth=access_token.READ, response={200: Total, (400, 401, 403): ErrorAnswer})
def count_anomalies(request: HttpRequest, wanted: Query[Filters]) -> HttpResponse:
    """Return how many anomalies pass the filters, which are those of the list."""
    check_names(request, Filters)
    return json_answer({"total": wanted.matching(me=key_of(request).name, at=timezone.now()).count()})


@router.get(
    "/anomalies/{anomaly_id}/metrics",
    auth=access_token.READ,
    response={200: GroupAnswer, (400, 401, 403, 404): ErrorAnswer},
)
def read_metrics(request: HttpRequest, anomaly_id: str, wanted: Query[Paging]) -> HttpResponse:
    """Return one anomaly with those of its metrics that pass, their data points and their bands.

    `startDate` and `endDate` are those of the data points; what else is asked of anomalies chooses none here. 50
    metrics are told at once, and `index` leads to those that follow; `metricsCount` says how many there are. The id of
    an anomaly that was merged into another leads to that.
    """
    check_names(request, Paging)
    anomaly, group = _found(anomaly_id, wanted.metrics())
    start = wanted.index or 0
    shown = group.passing[start : start + min(wanted.size or METRICS_AT_ONCE, METRICS_AT_ONCE)]
    return json_answer(group.told(_with_points(anomaly, group, shown, wanted), at=timezone.now()))


@router.get(
    "/anomalies/{anomaly_id}/metric/{path:metric_id}",
    auth=access_token.READ,
    response={200: MetricAnswer, (400, 401, 403, 404): ErrorAnswer},
)
def read_metric(request: HttpRequest, anomaly_id: str, metric_id: str, wanted: Query[Span]) -> HttpResponse:
    """Return one metric of an anomaly by its id or name, with its data points and its band."""
    check_names(request, Span)
    anomaly, group = _found(anomaly_id, Q())
    meant = {metric_id, unquote(metric_id)}  # some clients encode twice
    found = next((one for one in group.metrics if meant & {one.id, one.name}), None)
    if found is None:
        raise Http404(f"The anomaly {anomaly} has no metric {metric_id[:200]}.")
    return json_answer(_with_points(anomaly, group, [found], wanted)[0])


def _groups(numbers: list[int], wanted: Filters) -> Any:
    return groups(numbers, wanted.metrics()) if numbers else ()


def _found(anomaly_id: str, wanted: Q) -> tuple[Anomaly, Group]:
    anomaly = Anomaly.objects.called(anomaly_id)
    group = next(groups([anomaly.pk], wanted), None) if anomaly else None
    if anomaly is None or group is None:
        raise Http404(f"There is no anomaly {anomaly_id[:60]}.")
    return anomaly, group


def _with_points(
    anomaly: Anomaly, group: Group, metrics: list[Deviating], wanted: Span | Filters
) -> list[dict[str, Any]]:
    """Return metrics with what was observed, and when else they deviated meanwhile."""
    now = timezone.now()
    rows = Metric.objects.in_bulk([one.pk for one in metrics])
    metrics = [one for one in metrics if one.pk in rows]  # none that was deleted meanwhile
    window = window_of(anomaly, list(rows.values()), start=wanted.start_date, end=wanted.end_date, now=now)
    others = others_of(metrics, window)
    told = points(anomaly, [rows[one.pk] for one in metrics], window, now=now)
    return [
        {
            **group.metric(one),
            "otherAnomalyIntervals": [interval_told(other) for other in others[one.pk]],
            **its_points,
        }
        for one, its_points in zip(metrics, told, strict=True)
    ]
