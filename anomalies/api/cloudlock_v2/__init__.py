"""The Cloudlock API: threats as its published endpoint tells them, so that pollers written for it work here."""

from django.contrib.auth.decorators import login_required
from ninja import NinjaAPI
from ninja.openapi.docs import Swagger

from anomalies.api.bodies import StrictParser
from anomalies.api.cloudlock_v2 import threats
from anomalies.api.cloudlock_v2.answers import set_error_answers
from anomalies.api.errors import answered_urls, unknown_path

__all__ = ["api", "unknown_path", "urls"]

api = NinjaAPI(
    title="Cloudlock API",
    version="2",
    description="Anomalies as threats: which users, where and on which platforms. An error is "
    "`{message, code, requestId}`, and a bad parameter is a 400 that names it in `field` as well; parameters that are "
    "unknown, empty or given twice are bad.",
    urls_namespace="cloudlock_v2",
    docs_url="/threats/docs",
    openapi_url="/threats/openapi.json",
    parser=StrictParser(),
    docs=Swagger(settings={"validatorUrl": "none"}),  # it would ask another host about our schema
    docs_decorator=login_required,
)
api.add_router("", threats.router)
set_error_answers(api)

urls = answered_urls(api)
