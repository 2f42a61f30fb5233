"""The Anodot API: anomalies as measured deviations, so that tools written for it work here."""

from django.urls import URLPattern

from anomalies.api import errors as shared
from anomalies.api.anodot_v2 import access_token, anomalies, token_map
from anomalies.api.anodot_v2.answers import ErrorAnswer, error_answer, set_error_answers, unknown_path
from anomalies.api.anodot_v2.group import EXAMPLE
from anomalies.api.documented import DocumentedAPI
from anomalies.api.errors import CALLS_LIMITED, answered, answered_urls

__all__ = ["api", "unknown_path", "urls"]

api = DocumentedAPI(
    title="Anodot API",
    version="2",
    description="Anomalies as groups of metrics that left their bands. Times are whole seconds since 1970. Parameters "
    "that are unknown or empty are left out of account; a wrong one is a 400 that names it. The token is one of "
    f"`POST /api/v2/access-token`, or an API key with the scope `read`. {CALLS_LIMITED}",
    urls_namespace="anodot_v2",
    docs_url="/anomalies/docs",
    openapi_url="/anomalies/openapi.json",
    error=ErrorAnswer,
    examples={"anomaly_id": EXAMPLE["id"], "metric_id": EXAMPLE["metrics"][0]["name"]},
)
api.add_router("", access_token.router)
api.add_router("", token_map.router)
api.add_router("", anomalies.router)
set_error_answers(api)

urls = answered_urls(api, error_answer)
for pattern in urls[0]:
    if isinstance(pattern, URLPattern) and pattern.name == "api-root":
        pattern.callback = answered(shared.unknown_path)  # shared with other APIs, and nothing in any
