"""For those who run it: whether it lives, whether it is ready, and its figures for Prometheus."""

from anomalies.api.documented import DocumentedAPI
from anomalies.api.errors import answered_urls
from anomalies.api.operations import health, metrics
from anomalies.api.refusals import set_refusals

__all__ = ["api", "urls"]

api = DocumentedAPI(
    title="Operations",
    version="1",
    description="Whether it lives, whether it is ready, and its figures for Prometheus.",
    urls_namespace="operations",
    docs_url="/operations/docs",
    openapi_url="/operations/openapi.json",
)
api.add_router("", health.router)
api.add_router("", metrics.router)
set_refusals(api)

urls = answered_urls(api)
