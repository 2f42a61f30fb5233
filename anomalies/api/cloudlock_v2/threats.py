"""List threats, as JSON or CSV; read one, dismiss it and take that back."""

from typing import Annotated, Any

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from ninja import Query, Router, Schema
from pydantic import Field

from anomalies.api.auth import ApiKeyAuth, caller
from anomalies.api.bodies import encoded, json_answer
from anomalies.api.cloudlock_v2.answers import ConflictError, FieldAnswer, FieldError
from anomalies.api.cloudlock_v2.parameters import DEFAULT_LIMIT, Parameters, Status, check_names
from anomalies.api.cloudlock_v2.table import HEADER, csv_answer
from anomalies.api.cloudlock_v2.threat import ACTIVE, DISMISSED, EXAMPLE, OTHER, VERDICTS, Page, Threat, Where, told
from anomalies.api.errors import Error
from anomalies.models import Anomaly, ApiKey
from anomalies.services import decisions, reviews

READ, REVIEW = ApiKeyAuth(ApiKey.Scope.READ), ApiKeyAuth(ApiKey.Scope.REVIEW)
MAX_ID = 2**63 - 1

router = Router(tags=["Threats"], by_alias=True)


class ThreatList(Schema):
    """`total` pass the filters, `results` are on this page."""

    limit: int
    offset: int
    total: int
    results: int
    items: list[Threat]

    model_config = {
        "json_schema_extra": {"examples": [{"limit": 50, "offset": 0, "total": 1, "results": 1, "items": [EXAMPLE]}]}
    }


class Change(Schema):
    """All else in the body is left out of account, so that a threat can be sent back whole."""

    status: Status
    dismiss_reason: Annotated[str, Field(max_length=reviews.MAX_NOTE_LENGTH)] | None = Field(
        None, description=f"With DISMISSED: one of {', '.join(VERDICTS)}, {OTHER}, or your own words"
    )

    model_config = {
        "json_schema_extra": {
            "examples": [{"status": "DISMISSED", "dismiss_reason": "false_positive"}, {"status": "ACTIVE"}]
        }
    }


_LINE = "1003391,lee@example.com has an abnormal frequency of logins,13,Account Compromise,office365,lee@example.com,"
_CSV = {
    "text/csv": {
        "schema": {"type": "string"},
        "example": f"{','.join(HEADER)}\r\n{_LINE}ACTIVE,India,2020-09-19T03:16:50.016438+00:00\r\n",
    }
}


@router.get(
    "/threats",
    auth=READ,
    response={200: ThreatList, 400: FieldAnswer, (401, 403): Error},
    openapi_extra={"responses": {200: {"content": _CSV}}},
)
def list_threats(request: HttpRequest, wanted: Query[Parameters]) -> HttpResponseBase:
    """Return threats, the latest created first; with `Accept: text/csv` as `/threats.csv` does.

    To see each one exactly once: ask with `order=created_at`, then again and again with `created_after` = the last
    `created_at` seen and `offset` = how many were seen with it.
    """
    check_names(request)
    answer: HttpResponseBase
    if request.get_preferred_type(["application/json", "text/csv"]) == "text/csv":
        answer = csv_answer(request, wanted.page(wanted.limit))
    else:
        limit = wanted.limit or DEFAULT_LIMIT
        items = encoded(told(wanted.page(limit)))
        total = wanted.where().total()
        answer = json_answer(
            {"limit": limit, "offset": wanted.offset, "total": total, "results": len(items), "items": items}
        )
    patch_vary_headers(answer, ["Accept"])
    return answer


@router.get(
    "/threats.csv",
    auth=READ,
    response={200: None, 400: FieldAnswer, (401, 403): Error},
    openapi_extra={"responses": {200: {"content": _CSV}}},
)
def list_threats_as_csv(request: HttpRequest, wanted: Query[Parameters]) -> HttpResponseBase:
    """Return threats as CSV: all of them, unless there is a limit. Lists are joined with `;`.

    A cell that a spreadsheet would take for a formula has `'` before it.
    """
    check_names(request)
    return csv_answer(request, wanted.page(wanted.limit))


@router.get("/threats/{threat_id}", auth=READ, response={200: Threat, (401, 403, 404): Error})
def get_threat(request: HttpRequest, threat_id: str) -> HttpResponse:
    """Return one threat."""
    return json_answer(_item(_number(threat_id)))


@router.put(
    "/threats/{threat_id}", auth=REVIEW, response={200: Threat, 400: FieldAnswer, (401, 403, 404, 409, 413): Error}
)
def change_threat(request: HttpRequest, threat_id: str, change: Change) -> HttpResponse:
    """Dismiss a threat with a reason, or make it active again, which clears both.

    A call that is repeated is answered as the first was. Where somebody else decided otherwise it is a 409 that says
    who. What is suppressed, withdrawn or a part of another is no decision of anybody's, and not made active by a call.
    """
    pk = _number(threat_id)
    reason = _reason(change)
    item = _item(pk)
    if not _is_so(item, change, reason):
        try:
            _decide(Anomaly.objects.get(pk=pk), change, reason, request)
        except decisions.RefusedError as error:
            item = _item(pk)
            if not _is_so(item, change, reason):
                raise ConflictError(f"Threat {pk} is {error.reason}.") from None
        else:
            item = _item(pk)
    return json_answer(item)


def _decide(anomaly: Anomaly, change: Change, reason: str, request: HttpRequest) -> None:
    by, at = caller(request), timezone.now()
    if change.status == DISMISSED:
        verdict = VERDICTS.get(reason, Anomaly.Verdict.BENIGN)
        reviews.resolve(anomaly, verdict=verdict, by=by, at=at, reason="" if reason in VERDICTS else reason)
    elif why := decisions.set_aside(anomaly):
        raise ConflictError(f"Threat {anomaly.pk} is {why}: nobody decided so, and no call changes it.")
    else:
        reviews.reopen(anomaly, by=by, at=at)


def _is_so(item: dict[str, Any], change: Change, reason: str) -> bool:
    if change.status == ACTIVE:
        return bool(item["status"] == ACTIVE)
    return bool(item["status"] == DISMISSED and item["dismiss_reason"] == reason)


def _reason(change: Change) -> str:
    """Return the dismiss reason as it is kept. Raises FieldError if there is none."""
    if change.status == ACTIVE:
        return ""
    reason = (change.dismiss_reason or "").strip()
    if not reason:
        raise FieldError(
            "dismiss_reason", f"it is missing; it is one of {', '.join(VERDICTS)}, {OTHER}, or other words"
        )
    if "\x00" in reason:
        raise FieldError("dismiss_reason", "it contains a NUL character, which cannot be stored")
    code = reason.lower()
    return code if code in (*VERDICTS, OTHER) else reason


def _number(threat_id: str) -> int:
    """Return the id in a path. Raises Http404 for what can be none."""
    is_number = threat_id.isascii() and threat_id.isdecimal() and threat_id[0] != "0" and len(threat_id) < 20
    number = int(threat_id) if is_number else 0
    if not 0 < number <= MAX_ID:
        raise Http404(f"There is no threat {threat_id[:60]}.")
    return number


def _item(pk: int) -> dict[str, Any]:
    item = next(told(Page(Where("a.id = %s", [pk]), limit=1)), None)
    if item is None:
        raise Http404(f"There is no threat {pk}.")
    return item
