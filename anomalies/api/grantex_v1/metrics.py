"""Metrics: how many alerts there were lately."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router
from pydantic import Field

from anomalies.api.auth import ApiKeyAuth
from anomalies.api.bodies import json_answer
from anomalies.api.errors import CamelSchema, Error
from anomalies.api.grantex_v1.answers import NO_NUL, check_query
from anomalies.models import Anomaly, ApiKey, Severity
from anomalies.services import totals

WINDOWS = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
# Also those of which there are none; nothing is critical here, but clients ask for it.
STATUSES, SEVERITIES = Anomaly.Status.values, ("critical", *(one.label for one in reversed(Severity)))
_EXAMPLE: dict[str, Any] = {
    "window": "24h",
    "total": 3,
    "byStatus": {"open": 1, "acknowledged": 0, "resolved": 2},
    "bySeverity": {"critical": 0, "high": 2, "medium": 1, "low": 0},
    "byType": {"high_failure_rate": 1, "rate_spike": 2},
    "recentActivity": [{"date": "2026-11-19", "count": 0}, {"date": "2026-11-20", "count": 3}],
}

router = Router(tags=["Alerts"], by_alias=True)


class Day(CamelSchema):
    date: str
    count: int


class MetricsAnswer(CamelSchema):
    """`recentActivity` has each day of the window, in UTC, also those without an alert."""

    window: str
    total: int
    by_status: dict[str, int]
    by_severity: dict[str, int]
    by_type: dict[str, int]
    recent_activity: list[Day]

    model_config = {"json_schema_extra": {"examples": [_EXAMPLE]}}


class Wanted(CamelSchema):
    window: Literal["1h", "6h", "24h", "7d", "30d"] = "24h"
    agent_id: Annotated[str, Field(min_length=1, max_length=200), NO_NUL] | None = None


@router.get("/anomaly/metrics", auth=ApiKeyAuth(ApiKey.Scope.READ), response={200: MetricsAnswer, 400: Error})
def get_metrics(request: HttpRequest, wanted: Query[Wanted]) -> HttpResponse:
    """Count the alerts that were detected within the window that ends now."""
    check_query(request, Wanted)
    now = timezone.now()
    counted = totals.count(since=now - WINDOWS[wanted.window], until=now, agent_id=wanted.agent_id)
    return json_answer(
        {
            "window": wanted.window,
            "total": counted.total,
            "byStatus": {status: counted.by_status.get(status, 0) for status in STATUSES},
            "bySeverity": {severity: counted.by_severity.get(severity, 0) for severity in SEVERITIES},
            "byType": counted.by_type,
            "recentActivity": [{"date": day, "count": count} for day, count in counted.by_day.items()],
        }
    )
