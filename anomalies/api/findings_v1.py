"""GET /v1/findings: what became of anomalies, as OCSF findings, for SIEMs that poll."""

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Query, Schema
from pydantic import AfterValidator, AwareDatetime

from anomalies.api.auth import ApiKeyAuth
from anomalies.api.bodies import in_utc, json_answer
from anomalies.api.documented import DocumentedAPI
from anomalies.api.errors import Error, answered_urls, error_answer, exemplified
from anomalies.api.refusals import set_refusals
from anomalies.models import ApiKey
from anomalies.services import finding_feed, stream

api = DocumentedAPI(
    title="Findings",
    version="1",
    description="Anomalies as OCSF 1.5.0 Detection Findings (class 2004): one for each change, in a settled order.",
    urls_namespace="findings-v1",
    docs_url="/findings/docs",
    openapi_url="/findings/openapi.json",
)


class Findings(Schema):
    """`next` is where to go on, now or later; with `more` others may follow at once."""

    findings: list[dict[str, Any]]
    next: str
    more: bool

    model_config = exemplified(
        {
            "findings": [
                {
                    "class_uid": 2004,
                    "activity_name": "Create",
                    "status": "New",
                    "severity": "High",
                    "finding_info": {"uid": "anom_01JD3XK8Q2V5N7M4T6R9W1Y0ZB", "title": "Rate spike"},
                }
            ],
            "next": "evt_7201_42",
            "more": False,
        }
    )


@api.get(
    "/findings",
    auth=ApiKeyAuth(ApiKey.Scope.READ),
    response={200: Findings, (400, 401, 403, 429): Error},
    summary="Poll findings",
    by_alias=True,
)
def poll(
    request: HttpRequest,
    after: Annotated[str, Query(description="The `next` of the answer before")] = "",
    since: Annotated[
        Annotated[AwareDatetime, AfterValidator(in_utc)] | None,
        Query(description="Where to begin without `after`: what was announced from then on; else all"),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=finding_feed.MOST)] = finding_feed.MOST,
) -> HttpResponse:
    """Return the next changes to anomalies, each once to whoever goes on by `next`.

    The first of an anomaly creates its finding, the others update it, and its resolution closes it: all of them have
    the same `finding_info.uid`, and each a `metadata.uid` of its own. Nothing is announced of what is suppressed, or
    was long over when it was found; the export of the list has both.
    """
    if after and since:
        return error_answer(400, "since: it says where to begin; leave it out with after, which says where to go on.")
    try:
        position = stream.position_of(after) if after else finding_feed.start(since)
    except stream.UnknownPositionError:
        return error_answer(400, "after: it is no `next` of an answer of this call.")
    found = finding_feed.page(position, limit=limit)
    return json_answer({"findings": found.findings, "next": str(found.position), "more": found.more})


set_refusals(api)
urls = answered_urls(api)
