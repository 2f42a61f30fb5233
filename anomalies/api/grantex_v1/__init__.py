"""The Grantex API: what its published clients send and expect, so that each works here unmodified."""

from django.contrib.auth.decorators import login_required
from ninja import NinjaAPI
from ninja.openapi.docs import Swagger

from anomalies.api.bodies import StrictParser
from anomalies.api.errors import answered_urls, unknown_path
from anomalies.api.grantex_v1 import agents, anomalies, audit, stream
from anomalies.api.grantex_v1.answers import set_error_answers

__all__ = ["api", "unknown_path", "urls"]

api = NinjaAPI(
    title="Grantex API",
    version="1",
    description="Anomalies, the audit log, agents and the event stream, as the published Grantex clients call them. "
    "Events in bulk go to [their own API](/v1/events/docs).",
    urls_namespace="grantex_v1",
    parser=StrictParser(),
    docs=Swagger(settings={"validatorUrl": "none"}),  # it would ask another host about our schema
    docs_decorator=login_required,
)
api.add_router("", anomalies.router)
api.add_router("", stream.router)
api.add_router("", audit.router)
api.add_router("", agents.router)
set_error_answers(api)

urls = answered_urls(api)
