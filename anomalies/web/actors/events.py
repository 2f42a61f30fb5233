"""All events of an agent or user, the newest first, some thousands at a time."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpResponse, QueryDict
from django.urls import reverse

from anomalies.models import Agent, Event, Principal, Series
from anomalies.web.actors.activity import events_of
from anomalies.web.details.panel import RawEvent
from anomalies.web.frame import page
from anomalies.web.paging import page_of
from anomalies.web.request import Request

PAGE_SIZE = 100
SEARCHED = 10_000  # events that a filter looks through at once, so that it costs the same of ten million
COLUMNS = ("action", "resource", "user_agent", "request_id", "integration")


@dataclass(frozen=True, slots=True)
class Filters:
    """What the address asks for; what makes no sense is left out and named in `complaints`."""

    status: str
    text: str
    until: datetime | None
    complaints: list[str]

    @property
    def in_use(self) -> bool:
        return bool(self.status or self.text)


def events_page(request: Request, actor: Agent | Principal) -> HttpResponse:
    """Answer with one page of its events. With a filter, the newest 10,000 are looked through, then those before."""
    kind = Series.Kind.AGENT if isinstance(actor, Agent) else Series.Kind.PRINCIPAL
    filters = _read(request.GET)
    events = events_of(kind, actor)
    if filters.until:
        events = events.filter(time__lte=filters.until)
    back_to = None
    if filters.in_use:
        times = events.order_by("-time").values_list("time", flat=True)[SEARCHED : SEARCHED + 1]
        back_to = next(iter(times), None)
        if back_to and back_to == filters.until:  # so many of one time are looked through together
            events, back_to = events.filter(time=back_to), back_to - timedelta(microseconds=1)
        elif back_to:
            events = events.filter(time__gt=back_to)
        events = events.filter(_wanted(filters, kind))
    after, before = (_event(events, request.GET.get(name, "")) for name in ("earlier", "later"))
    shown = page_of(events, ("-time", "-id"), size=PAGE_SIZE, after=after, before=None if after else before)
    context: dict[str, Any] = {
        "actor": actor,
        "word": "agent" if kind == Series.Kind.AGENT else "user",
        "page_url": reverse(f"{kind}_page", args=[actor.public_id]),
        "list_url": reverse(f"{kind}_list"),
        "here": reverse(f"{kind}_events", args=[actor.public_id]),
        "filters": filters,
        "statuses": Event.Status.choices,
        "events": [RawEvent(event) for event in shown.rows],
        "earlier_url": _url(filters, filters.until, earlier=str(shown.next_from.pk)) if shown.next_from else "",
        "later_url": _url(filters, filters.until, later=str(shown.previous_from.pk)) if shown.previous_from else "",
        "back_to": back_to,
        "further_url": _url(filters, back_to) if back_to else "",
        "searched": SEARCHED,
    }
    return page(request, "anomalies/actor_events.html", context)


def _read(query: QueryDict) -> Filters:
    complaints = []
    status, typed_until = query.get("status", ""), query.get("until", "")
    if status and status not in Event.Status.values:
        complaints.append(f"Status: “{status[:40]}” is none of {', '.join(Event.Status.values)}.")
        status = ""
    until = None
    if typed_until:
        try:
            until = datetime.fromisoformat(typed_until)
            until = until if until.tzinfo else until.replace(tzinfo=UTC)
            until.astimezone(UTC)
        except (ValueError, OverflowError):
            until = None
            complaints.append(f"Until: “{typed_until[:40]}” is no time such as 2026-11-20T14:05Z.")
    return Filters(status, query.get("q", "").replace("\x00", "").strip()[:200], until, complaints)


def _wanted(filters: Filters, kind: str) -> Q:
    wanted = Q(status=filters.status) if filters.status else Q()
    if filters.text:
        other = "principal__public_id" if kind == Series.Kind.AGENT else "agent__public_id"
        found = Q(ip__startswith=filters.text)
        for column in (*COLUMNS, other):
            found |= Q(**{f"{column}__icontains": filters.text})
        wanted &= found
    return wanted


def _event(events: QuerySet[Event], number: str) -> Event | None:
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        return None
    return events.filter(pk=number).first()


def _url(filters: Filters, until: datetime | None, **page: str) -> str:
    query = QueryDict(mutable=True)
    kept = {"q": filters.text, "status": filters.status, "until": until.isoformat() if until else "", **page}
    query.update({name: value for name, value in kept.items() if value})
    return f"?{query.urlencode()}"
