"""Rules: the detectors, which are built in, and those that people make; all of them are evaluated by each scan."""

from datetime import datetime
from typing import Annotated, Any, Literal

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router
from ninja.errors import HttpError
from pydantic import ConfigDict, Field, StrictBool, StrictInt

from anomalies.api.auth import ApiKeyAuth, caller, need
from anomalies.api.bodies import json_answer
from anomalies.api.errors import CamelSchema, Error
from anomalies.api.grantex_v1.answers import path_id
from anomalies.detection.registry import DETECTORS
from anomalies.models import ApiKey, Rule, Severity
from anomalies.services import detectors, rules
from anomalies.services.audit import wire_time

READ, REVIEW, ADMIN = map(ApiKeyAuth, (ApiKey.Scope.READ, ApiKey.Scope.REVIEW, ApiKey.Scope.ADMIN))

WINDOW_OF = {seconds: word for word, seconds in rules.WINDOWS.items()}
LEVELS = {severity.label: severity.value for severity in Severity}
WIRE = {  # how fields of ours are called here, where that differs
    "public_id": "ruleId",
    "agents": "condition.agentIds",
    "scopes": "condition.scopes",
    "window_seconds": "condition.timeWindow",
    "threshold": "condition.threshold",
    "channels": "alertChannels",
}
_CONDITION: dict[str, Any] = {
    "agentIds": ["ag_billing"],
    "scopes": ["invoices:write"],
    "timeWindow": "10m",
    "threshold": 20,
}
NEW: dict[str, Any] = {
    "ruleId": "billing_agent_write_surge",
    "name": "Billing Agent Write Surge",
    "description": "Billing agent writing more than 20 invoices in 10 minutes",
    "severity": "high",
    "condition": _CONDITION,
    "alertChannels": ["security"],
}
MADE: dict[str, Any] = {
    "id": "billing_agent_write_surge",
    **NEW,
    "alertChannels": ["chan_01KAF7Q3M0V5Z8J2X4N6B9C1DT"],
    "enabled": True,
    "builtIn": False,
    "createdAt": "2026-11-20T12:00:00.000Z",
}

router = Router(tags=["Rules"], by_alias=True)


class Condition(CamelSchema):
    """So many events within the window; no agents or no scopes: of all."""

    agent_ids: list[str] = []
    scopes: list[str] = Field([], description="Permissions, actions or scopes of the grant that an event names")
    time_window: Literal["5m", "10m", "15m", "1h", "6h", "24h"]
    threshold: StrictInt = Field(description=f"1 to {rules.MAX_THRESHOLD:,} events")

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_CONDITION]})


class NewRule(CamelSchema):
    rule_id: Annotated[str, Field(min_length=1)]
    name: str
    description: str | None = None
    severity: Literal["low", "medium", "high"] = "medium"
    condition: Condition
    alert_channels: list[str] = Field([], description="Channels by id or name: the only ones that are told. None: all")

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [NEW]})


class Switch(CamelSchema):
    enabled: StrictBool

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": False}]})


class RuleAnswer(CamelSchema):
    """A built-in rule gives each alert a severity of its own, and none in advance."""

    id: str
    rule_id: str
    name: str
    description: str | None
    condition: dict[str, Any]
    severity: str | None
    alert_channels: list[str]
    enabled: bool
    built_in: bool
    created_at: datetime | None

    model_config = {"json_schema_extra": {"examples": [MADE]}}


class RuleList(CamelSchema):
    rules: list[RuleAnswer]


def to_wire(rule: Rule) -> dict[str, Any]:
    """The rule as Grantex spells it: it has one id, whichever of the two is asked for."""
    return {
        "id": rule.public_id,
        "ruleId": rule.public_id,
        "name": rule.name,
        "description": rule.description or None,
        "condition": {
            "agentIds": rule.agents,
            "scopes": rule.scopes,
            "timeWindow": WINDOW_OF[rule.window_seconds],
            "threshold": rule.threshold,
        },
        "severity": Severity(rule.severity).label,
        "alertChannels": rule.channels,
        "enabled": rule.enabled,
        "builtIn": False,
        "createdAt": wire_time(rule.created_at),
    }


def _built_in(type_: str, enabled: bool) -> dict[str, Any]:
    detector = DETECTORS[type_]
    return {
        "id": type_,
        "ruleId": type_,
        "name": detector.label,
        "description": detector.meaning,
        "condition": {},
        "severity": None,
        "alertChannels": [],
        "enabled": enabled,
        "builtIn": True,
        "createdAt": None,
    }


def _refused(error: rules.RuleError) -> HttpError:
    return HttpError(400, f"{WIRE.get(error.field, error.field)}: {error.reason}")


def _living(rule_id: str) -> Rule:
    rule = Rule.objects.living().filter(public_id=path_id(rule_id)).first()
    if rule is None:
        raise Http404(f"There is no rule {rule_id}.")
    return rule


@router.post("/anomaly/rules", auth=REVIEW, response={201: RuleAnswer, 400: Error, 409: Error})
def make_rule(request: HttpRequest, rule: NewRule) -> HttpResponse:
    """Make a rule that judges what happens from now on.

    A call that is repeated answers with the rule as it is; another rule of an id that is or was in use is a 409.
    Channels that the rule names are told of what it raises as their own severities allow, and no others are.
    """
    if rule.rule_id in DETECTORS:
        raise HttpError(409, f"ruleId: {rule.rule_id} is built in.")
    try:
        made = rules.create_once(
            rule.rule_id,
            by=caller(request),
            at=timezone.now(),
            name=rule.name,
            description=rule.description or "",
            severity=LEVELS[rule.severity],
            agents=rule.condition.agent_ids,
            scopes=rule.condition.scopes,
            window_seconds=rules.WINDOWS[rule.condition.time_window],
            threshold=rule.condition.threshold,
            channels=rules.channels_called(rule.alert_channels),
        )
    except rules.RuleError as error:
        raise _refused(error) from None
    except rules.RuleTakenError as error:
        raise HttpError(409, f"ruleId: {error}") from None
    return json_answer(to_wire(made), status=201)


@router.get("/anomaly/rules", auth=READ, response=RuleList)
def list_rules(request: HttpRequest) -> HttpResponse:
    """Return the built-in rules, then the others, the newest first.

    None of the others is evaluated while `custom_rule` is switched off.
    """
    built_in = [_built_in(type_, present.enabled) for type_, present in detectors.present().items()]
    made = Rule.objects.living().order_by("-created_at", "-id")
    return json_answer({"rules": [*built_in, *map(to_wire, made)]})


@router.patch(
    "/anomaly/rules/{path:rule_id}", auth=REVIEW, response={200: RuleAnswer, 400: Error, 403: Error, 404: Error}
)
def switch_rule(request: HttpRequest, rule_id: str, switch: Switch) -> HttpResponse:
    """Switch a rule on or off, a built-in one for all agents that have no setting of their own.

    For a built-in one the key needs the scope `admin` as well: as on the pages, reviewers have their own rules alone.
    """
    by, at = caller(request), timezone.now()
    if rule_id in DETECTORS:
        need(request, ApiKey.Scope.ADMIN)
        detectors.switch(rule_id, on=switch.enabled, by=by, at=at)
        return json_answer(_built_in(rule_id, switch.enabled))
    rule = _living(rule_id)
    try:
        rules.change(rule, by=by, at=at, enabled=switch.enabled)
    except rules.RuleGoneError as error:
        raise Http404(str(error)) from None
    return json_answer(to_wire(rule))


@router.delete("/anomaly/rules/{path:rule_id}", auth=ADMIN, response={204: None, 400: Error, 404: Error})
def delete_rule(request: HttpRequest, rule_id: str) -> HttpResponse:
    """End a rule that people made; what it raised stays. Its id is never used again."""
    if rule_id in DETECTORS:
        raise HttpError(400, f"ruleId: {rule_id} is built in; it can be switched off, not deleted.")
    try:
        rules.delete(_living(rule_id), by=caller(request), at=timezone.now())
    except rules.RuleGoneError as error:
        raise Http404(str(error)) from None
    return HttpResponse(status=204)
