"""GET /metrics: the figures of the installation as Prometheus reads them.

All come from PostgreSQL when they are asked for: a count of its own in each of several web processes would be wrong.
"""

from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from anomalies.api.auth import ApiKeyAuth
from anomalies.models import ApiKey
from anomalies.services.figures import Figures, figures

READ = ApiKeyAuth(ApiKey.Scope.READ)

router = Router()

_TEXT = {
    "schema": {"type": "string"},
    "example": "# HELP anomalies_batches_uncounted Batches of events that no scan has counted yet.\n"
    "# TYPE anomalies_batches_uncounted gauge\nanomalies_batches_uncounted 0.0\n",
}
_FORMATS = {"responses": {200: {"content": {"text/plain": _TEXT, "application/openmetrics-text": _TEXT}}}}


@router.api_operation(["GET", "HEAD"], "/metrics", auth=READ, response={200: None}, openapi_extra=_FORMATS)
def metrics(request: HttpRequest) -> HttpResponse:
    """Return all figures in Prometheus's own format, or in OpenMetrics where that is asked for."""
    registry = CollectorRegistry()
    registry.register(_Told(figures(at=timezone.now())))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type, headers={"Cache-Control": "no-store"})


class _Told(Collector):
    def __init__(self, found: Figures) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        yield from _sources(self._found)
        yield from _scans(self._found)
        yield from _anomalies(self._found)
        yield from _channels(self._found)
        yield _gauge(
            "anomalies_revocations_pending",
            "Revocations of access that no integration has answered for good.",
            self._found.revocations_pending,
        )
        yield _gauge(
            "anomalies_streams_open", "Event streams that are listened to at the moment.", self._found.streams_open
        )


def _sources(found: Figures) -> Iterator[Metric]:
    received = CounterMetricFamily(
        "anomalies_events", "Records received, by source and by what became of them.", labels=["source", "outcome"]
    )
    late = CounterMetricFamily(
        "anomalies_events_late",
        "Events that were counted, but came too late for their time to be judged again.",
        labels=["source"],
    )
    behind = GaugeMetricFamily(
        "anomalies_source_watermark_lag_seconds", "Age of the newest event of a source.", labels=["source"]
    )
    for source in found.sources:
        for outcome in ("accepted", "duplicate", "rejected"):
            received.add_metric([source.name, outcome], getattr(source, outcome))
        late.add_metric([source.name], source.late)
        if source.behind is not None:
            behind.add_metric([source.name], source.behind.total_seconds())
    yield from (received, late, behind)
    yield _gauge(
        "anomalies_batches_uncounted", "Batches of events that no scan has counted yet.", found.batches_uncounted
    )
    oldest = found.oldest_uncounted_at
    yield _gauge(
        "anomalies_batches_uncounted_age_seconds",
        "For how long the oldest of the batches has waited that no scan has counted yet; 0 where none waits.",
        (found.at - oldest).total_seconds() if oldest else 0,
    )


def _scans(found: Figures) -> Iterator[Metric]:
    """Yield nothing before the first scan: none of it is known."""
    if found.scan is None or found.scan_age is None or found.scan_duration is None:
        return
    yield _gauge("anomalies_scan_age_seconds", "Since when the last scan is finished.", found.scan_age.total_seconds())
    yield _gauge(
        "anomalies_scan_duration_seconds",
        "For how long the last scan that was finished ran.",
        found.scan_duration.total_seconds(),
    )
    yield _gauge(
        "anomalies_scan_events_counted", "Events that the last finished scan counted.", found.scan.events_counted
    )
    yield _gauge(
        "anomalies_scan_series_failed",
        "Series that an error kept the last finished scan from judging; the log has it.",
        found.scan.series_failed,
    )


def _anomalies(found: Figures) -> Iterator[Metric]:
    open_ = GaugeMetricFamily(
        "anomalies_to_review",
        "Anomalies that nobody has decided about, and that are neither snoozed, suppressed nor withdrawn.",
        labels=["type", "severity"],
    )
    for (type_, severity), count in found.to_review.items():
        open_.add_metric([type_, severity.label], count)
    yield open_


def _channels(found: Figures) -> Iterator[Metric]:
    deliveries = GaugeMetricFamily(
        "anomalies_deliveries",
        "Messages for a channel that are not delivered: pending, failed (tried again), or dead (given up).",
        labels=["channel", "kind", "status"],
    )
    enabled = GaugeMetricFamily("anomalies_channel_enabled", "1 where a channel is on.", labels=["channel", "kind"])
    held = GaugeMetricFamily(
        "anomalies_channel_held",
        "1 where a channel is left alone for a while, as it did not answer.",
        labels=["channel", "kind"],
    )
    for channel in found.channels:
        for status, count in channel.deliveries.items():
            deliveries.add_metric([channel.name, channel.kind, status], count)
        enabled.add_metric([channel.name, channel.kind], channel.enabled)
        held.add_metric([channel.name, channel.kind], channel.held)
    yield from (deliveries, enabled, held)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)
