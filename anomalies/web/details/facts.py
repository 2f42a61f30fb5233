"""What an anomaly is about, in a few labelled values: from its evidence, and from the events behind it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from django.urls import reverse
from django.utils.text import Truncator

from anomalies.detection.registry import counting
from anomalies.detection.request import Unit
from anomalies.detection.wording import percent, plural, span
from anomalies.models import AccessFlow, AccessRequest, Anomaly, Grant
from anomalies.services.evidence import events_behind
from anomalies.web.charts import clock
from anomalies.web.facets import count_values

MOST_VALUES = 5
JUSTIFICATION_LENGTH = 300  # all of it is with the request
COUNTED = {
    "request_id": "Request ID",
    "grant_id": "Grant",
    "integration": "Integration",
    "resource_type": "Resource type",
    "resource": "Resources",
    "permission": "Permissions",
    "action": "Actions",
    "principal": "Users",
    "ip": "Addresses",
}
TIMES = "\N{MULTIPLICATION SIGN}"  # before how often a value occurs
OWN = ("integration", "resource_type", "resource", "ip")  # that an anomaly names itself


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    values: list[tuple[str, str]]  # with what is said beside it, such as how often it occurs
    rest: int = 0  # values beyond those
    urls: Mapping[str, str] = field(default_factory=dict)  # pages of some values
    opens: bool = False  # whether these open beside the list, too

    @property
    def shown(self) -> list[tuple[str, str, str]]:
        """Each value, what is said beside it, and the page it leads to."""
        return [(value, beside, self.urls.get(value, "")) for value, beside in self.values]


def _each(value: Any) -> list[str]:
    return [str(one) for one in value]


def _one(value: Any) -> list[str]:
    return [str(value)]


def _time(value: Any) -> list[str]:
    return [clock(datetime.fromtimestamp(value, UTC))]


# Of the evidence: what a fact is called, and its values. Those of one label are told together.
EVIDENCE: Mapping[str, tuple[str, Callable[[Any], list[str]]]] = {
    "rule_name": ("Rule", _one),
    "scopes": ("Scopes", _each),
    "approved_by": ("Approved by", _one),
    "rejected_by": ("Rejected by", _one),
    "last_request_at": ("Last request", _time),
    "last_active_at": ("Last seen", _time),
    "account_known_since": ("Known since", _time),
    "configured_hours": ("Hours", lambda value: ["set for the agent" if value else "learned from its history"]),
    "known_share": ("Known to", lambda value: [f"{percent(value)} of the other agents"]),
    "success_at": ("Succeeded", _time),
    "countries": ("Countries", _each),
    "places": ("Places", _each),
    "principals": ("Users", _each),
    "users_tried": ("Users", _each),
    "addresses": ("Addresses", _each),
    "devices": ("Devices", _each),
}
PARTNERS = ("users_tried", "addresses")  # of which the evidence names the first hundred
BESIDE = {"rule_name": "rule", "approved_by": "approved_at", "rejected_by": "rejected_at"}  # what is said beside it


def facts_of(anomaly: Anomaly) -> list[Fact]:
    """Return what a reviewer should see first, then what its events name, with how often each value occurs."""
    told = {fact.label: fact for fact in _told(anomaly)}
    counted = {fact.label: fact for fact in _counted(anomaly)}
    for label, fact in told.items():
        if label in counted and label != COUNTED["request_id"]:
            told[label] = _together(counted[label], fact)
    known = {**told, **{label: fact for label, fact in counted.items() if label not in told}}
    return [
        replace(one, values=one.values[:MOST_VALUES], rest=one.rest + max(0, len(one.values) - MOST_VALUES))
        for one in known.values()
    ]


def _together(counted: Fact, told: Fact) -> Fact:
    """Return the values of both, those that were counted first."""
    seen = {value for value, _ in counted.values}
    missing = [(value, beside) for value, beside in told.values if value not in seen]
    return Fact(counted.label, [*counted.values, *missing], max(told.rest, counted.rest))


def _told(anomaly: Anomaly) -> Iterator[Fact]:
    evidence: dict[str, Any] = anomaly.evidence
    if "request_id" in evidence:
        yield from _of_requests(evidence)
    for name, (label, say) in EVIDENCE.items():
        value = evidence.get(name)
        if value is None or value in ("", []):
            continue
        beside = evidence.get(BESIDE.get(name, ""), "")
        said = _time(beside)[0] if isinstance(beside, float | int) else str(beside)
        values = [(one, said) for one in say(value)]
        all_of_them = int(evidence.get("partner_count", 0)) if name in PARTNERS else 0
        yield Fact(label, values, max(0, all_of_them - len(values)))
    if anomaly.type in counting("rule_events"):
        limit = evidence["parameters"]
        yield Fact("Limit", [(f"{plural(limit['threshold'], 'event')} or more in {span(limit['window_seconds'])}", "")])


def _of_requests(evidence: Mapping[str, Any]) -> Iterator[Fact]:
    """Tell of the access request that an anomaly links to, its grant, the one rejected before it, and what for."""
    ids = [evidence["request_id"], evidence.get("rejected_request_id", "")]
    stored = AccessRequest.objects.filter(public_id__in=ids).select_related("flow", "grant")
    known = {one.public_id: one for one in stored}
    first = known.get(ids[0])
    others = 0 if ids[1] else max(0, int(evidence.get("event_count", 1)) - 1)
    name = evidence.get("request_name") or ids[0]
    said = first.get_status_display().lower() if first else ""
    yield Fact("Request ID", [(name, said)], others, {name: _page(first)} if first else {}, opens=True)
    if grant := getattr(first, "grant", None):
        revoking = first is not None and first.status == AccessRequest.Status.REVOKING
        yield Fact(COUNTED["grant_id"], [(grant.public_id, _standing(grant, revoking=revoking))])
    if ids[1] and ids[1] != ids[0]:
        before = known.get(ids[1])
        name = str(before) if before else ids[1]
        yield Fact("Rejected", [(name, "")], urls={name: _page(before)} if before else {}, opens=True)
    flow = evidence.get("access_flow")
    if flow:
        governs = first.flow if first and first.flow_id == flow else AccessFlow.objects.filter(public_id=flow).first()
        name = str(governs or flow)
        yield Fact("Access flow", [(name, "")], urls={name: reverse("flow_page", args=[flow])} if governs else {})
    units = [
        str(Unit(unit["integration"], unit["resource"], unit["resource_type"], unit["permission"]))
        for unit in evidence.get("units", [])
    ]
    if units:
        yield Fact("Asked for", [(unit, "") for unit in dict.fromkeys(units)])
    if first and first.justification:
        yield Fact("Justification", [(Truncator(first.justification).chars(JUSTIFICATION_LENGTH), "")])


def _page(request: AccessRequest) -> str:
    return reverse("request_page", args=[request.public_id])


def _standing(grant: Grant, *, revoking: bool) -> str:
    """`active since 20 Nov 12:00 until 20 Nov 13:00`, `revoking, ...`, or since when it is not."""
    if grant.status == Grant.Status.ACTIVE:
        state = "revoking, granted" if revoking else "active since"
        return f"{state} {clock(grant.issued_at)}{f' until {clock(grant.expires_at)}' if grant.expires_at else ''}"
    ended_at = grant.revoked_at or grant.expires_at
    by = f" by {grant.revoked_by}" if grant.revoked_by else ""
    return f"{grant.status} {clock(ended_at) if ended_at else ''}{by}"


def _counted(anomaly: Anomaly) -> Iterator[Fact]:
    """Tell what the events behind it name; where none does, what the anomaly names itself."""
    found = count_values(events_behind(anomaly), [*COUNTED])
    for name in OWN:
        own = getattr(anomaly, name)
        if own and not found.of[name]:
            found.of[name][own] = 1
    for name, label in COUNTED.items():
        counts = found.of[name].most_common()
        shown = len(counts) > 1 or name == "ip"
        called = _names([str(value) for value, _ in counts[:MOST_VALUES]]) if name == "request_id" else {}
        if counts:
            said = [(str(value), f"{TIMES}{found.said(name, value)}" if shown else "") for value, _ in counts]
            yield Fact(label, [(called.get(value, value), beside) for value, beside in said])


def _names(ids: list[str]) -> dict[str, str]:
    """Return what people call some access requests, by the ids that the events have of them."""
    known = AccessRequest.objects.filter(public_id__in=ids) if ids else []
    return {request.public_id: str(request) for request in known}
