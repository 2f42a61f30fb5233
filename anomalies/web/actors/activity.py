"""What the pages of agents and of users have in common."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.db.models import Case, QuerySet, Value, When
from django.http import HttpResponse
from django.urls import reverse
from django.utils import timezone

from anomalies.models import AccessRequest, Agent, AgentPrincipal, Anomaly, Event, Grant, Principal, Series
from anomalies.services import access_requests, revocations
from anomalies.services.activity import Activity, activity
from anomalies.web.actors.listing import ActorListing, status_of
from anomalies.web.actors.week import Picture, hours_in_words, picture
from anomalies.web.charts import SPANS, Chart, draw
from anomalies.web.details.panel import RawEvent
from anomalies.web.facets import bounded_count, count_values, said
from anomalies.web.frame import page
from anomalies.web.listing.row import Row
from anomalies.web.request import Request

USUAL_SPANS = ("24h", "7d", "30d")
DEFAULT_SPAN = "7d"
LAST_EVENTS = 50
LAST_ANOMALIES = 20
MOST_GRANTS = 20
MOST_PARTNERS = 12


@dataclass(frozen=True, slots=True)
class Counted:
    """How many anomalies were decided so, and the list of them, where one filter shows just these."""

    count: str
    label: str
    url: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A grant as its line says it."""

    grant: Grant
    now: datetime
    is_revoking: bool = False  # asked to end, by those who give it; until they have answered it stands

    @property
    def what(self) -> str:
        grant = self.grant
        return access_requests.listed(grant.units) if grant.units else ", ".join(map(str, grant.scopes))

    @property
    def active(self) -> bool:
        return self.grant.status == Grant.Status.ACTIVE

    @property
    def status(self) -> str:
        return AccessRequest.Status.REVOKING.label if self.is_revoking else self.grant.get_status_display()

    @property
    def overdue(self) -> bool:
        """Whether its planned end has passed, and nobody said that it ended."""
        return self.active and self.grant.expires_at is not None and self.grant.expires_at < self.now

    @property
    def ended_at(self) -> datetime | None:
        return None if self.active else self.grant.revoked_at or self.grant.expires_at


class ActorPage:
    """The page of one agent or user; each part is read when the template asks for it."""

    def __init__(self, request: Request, actor: Agent | Principal, *, now: datetime) -> None:
        self.actor, self.now = actor, now
        self.is_agent = isinstance(actor, Agent)
        self.kind: str = Series.Kind.AGENT if self.is_agent else Series.Kind.PRINCIPAL
        self.name = actor.name or actor.public_id
        self.status = status_of(actor)
        self.path = reverse(f"{self.kind}_page", args=[actor.public_id])
        self.events_url = reverse(f"{self.kind}_events", args=[actor.public_id])
        self.wanted_span = request.GET.get("span", "")
        self.span = self.wanted_span if self.wanted_span in USUAL_SPANS else DEFAULT_SPAN
        self.spans = {word: SPANS[word][0] for word in USUAL_SPANS}

    @property
    def complaint(self) -> str:
        if self.wanted_span and self.wanted_span not in USUAL_SPANS:
            return f"span: “{self.wanted_span[:40]}” is none of {', '.join(USUAL_SPANS)}."
        return ""

    @property
    def mine(self) -> dict[str, str]:
        """The condition on rows that name it."""
        return {f"{self.kind}_id": self.actor.public_id}

    @cached_property
    def activity(self) -> Activity | None:
        return activity(self.kind, self.actor.public_id, span=SPANS[self.span][1], now=self.now)

    @property
    def silent(self) -> bool:
        """Whether the span ends before now, with the last request there was."""
        return self.activity is not None and self.activity.until < self.now

    @cached_property
    def chart(self) -> Chart | None:
        if not self.activity or not self.activity.series.times:
            return None
        nothing_marked = datetime.fromtimestamp(self.activity.series.times[0], UTC)
        return draw(self.activity.series, start=nothing_marked, end=nothing_marked)

    @cached_property
    def week(self) -> Picture | None:
        return picture(self.activity.week) if self.activity else None

    @property
    def hours(self) -> str:
        """Its working hours, as set or as learned."""
        at_work = self.activity.week.at_work if self.activity else None
        return hours_in_words(at_work.tolist()) if at_work is not None else ""

    @cached_property
    def anomalies(self) -> QuerySet[Anomaly]:
        return Anomaly.objects.standing().filter(**self.mine)

    @cached_property
    def last_anomalies(self) -> list[Row]:
        return [Row(one) for one in self.anomalies.newest_first()[:LAST_ANOMALIES]]  # type: ignore[attr-defined]

    @property
    def anomalies_url(self) -> str:
        return self._listed()

    def _listed(self, status: str = "") -> str:
        query = {("agent" if self.is_agent else "user"): self.actor.public_id, **({"status": status} if status else {})}
        return f"{reverse('anomaly_list')}?{urlencode(query)}"

    @cached_property
    def decided(self) -> list[Counted]:
        """How many anomalies have each status, those that are resolved by their verdict."""
        rows = Anomaly.objects.standing().filter(**self.mine).with_shown_status().newest_first()
        found = count_values(rows, ["shown_status", "verdict"])
        statuses: Counter[str] = found.of["shown_status"]
        counts = [
            Counted(found.said("shown_status", status), status, self._listed(status))
            for status in (*Anomaly.Status.values[:2], "snoozed", "suppressed", "withdrawn")
            if statuses[status]
        ]
        verdicts = [
            Counted(found.said("verdict", verdict.value), verdict.label, "")
            for verdict in Anomaly.Verdict
            if found.of["verdict"][verdict.value]
        ]
        resolved = statuses[Anomaly.Status.RESOLVED] - sum(found.of["verdict"].values())
        return [*counts, *verdicts, *([Counted(f"{resolved:,}", "resolved", "")] if resolved > 0 else [])]

    @cached_property
    def anomaly_count(self) -> str:
        return said(bounded_count(self.anomalies))

    @cached_property
    def partners(self) -> list[AgentPrincipal]:
        """For whom it acted last, or through which agents."""
        pairs = AgentPrincipal.objects.filter(**self.mine).select_related("principal" if self.is_agent else "agent")
        return list(pairs.order_by("-last_seen", "-id")[:MOST_PARTNERS])

    @cached_property
    def partner_count(self) -> str:
        return said(bounded_count(AgentPrincipal.objects.filter(**self.mine)))

    @property
    def more_partners(self) -> bool:
        return len(self.partners) == MOST_PARTNERS and self.partner_count != str(MOST_PARTNERS)

    @cached_property
    def grants(self) -> list[Standing]:
        """Those that are active first, then the newest."""
        ended = Case(When(status=Grant.Status.ACTIVE, then=Value(0)), default=Value(1))
        grants = Grant.objects.filter(**self.mine).select_related("request").order_by(ended, "-issued_at", "-id")
        shown = list(grants[:MOST_GRANTS])
        revoking = revocations.under_way(shown)
        return [Standing(grant, self.now, grant.pk in revoking) for grant in shown]

    @cached_property
    def grant_count(self) -> str:
        return said(bounded_count(Grant.objects.filter(**self.mine)))

    @property
    def more_grants(self) -> bool:
        return len(self.grants) == MOST_GRANTS and self.grant_count != str(MOST_GRANTS)

    @property
    def grants_say_what(self) -> bool:
        """Whether any of them names the access that it gives."""
        return any(standing.what for standing in self.grants)

    @property
    def any_active_grant(self) -> bool:
        return any(one.active for one in self.grants)

    @cached_property
    def events(self) -> list[RawEvent]:
        """The last 50, the newest first."""
        return [RawEvent(event) for event in events_of(self.kind, self.actor).order_by("-time", "-id")[:LAST_EVENTS]]


def events_of(kind: str, actor: Agent | Principal) -> QuerySet[Event]:
    """Return its events; between the first and the last time it was seen, so that other days are not looked at."""
    events = Event.objects.filter(**{f"{kind}_id": actor.public_id})
    if actor.first_seen and actor.last_seen:
        events = events.filter(time__gte=actor.first_seen, time__lte=actor.last_seen)
    return events


def names(scopes: Iterable[Any]) -> Sequence[str]:
    """Return the scopes as text, whatever was stored."""
    return [str(scope) for scope in scopes]


def list_page(request: Request, kind: str) -> HttpResponse:
    """Answer with the list of agents or of users."""
    listing = ActorListing(kind, request.GET, now=timezone.now())
    return page(request, "anomalies/actor_list.html", {**listing.context(), "headers": listing.headers()})


def missing(request: Request, kind: str, public_id: str) -> HttpResponse:
    """Answer 404 with a page that says whom nobody knows, and how to search for them."""
    context = {
        "word": "agent" if kind == Series.Kind.AGENT else "user",
        "wanted": public_id.replace("\x00", "")[:200],
        "list_url": reverse(f"{kind}_list"),
    }
    return page(request, "anomalies/actor_missing.html", context, status=404)
