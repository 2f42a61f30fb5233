"""The Cloudlock API: threats as its published endpoint tells them, so that pollers written for it work here."""

from anomalies.api.cloudlock_v2 import threats
from anomalies.api.cloudlock_v2.answers import set_error_answers
from anomalies.api.cloudlock_v2.threat import EXAMPLE
from anomalies.api.documented import DocumentedAPI
from anomalies.api.errors import CALLS_LIMITED, answered_urls, unknown_path

__all__ = ["api", "unknown_path", "urls"]

api = DocumentedAPI(
    title="Cloudlock API",
    version="2",
    description="Anomalies as threats: which users, where and on which platforms. An error is "
    "`{message, code, requestId}`, and a bad parameter is a 400 that names it in `field` as well; parameters that are "
    f"unknown, empty or given twice are bad. {CALLS_LIMITED}",
    urls_namespace="cloudlock_v2",
    docs_url="/threats/docs",
    openapi_url="/threats/openapi.json",
    examples={"threat_id": EXAMPLE["id"]},
)
api.add_router("", threats.router)
set_error_answers(api)

urls = answered_urls(api)
