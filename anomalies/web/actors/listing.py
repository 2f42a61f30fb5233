"""The list of agents, or of users, as its URL describes it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import QueryDict
from django.urls import reverse

from anomalies.models import Agent, Principal, Series
from anomalies.services import actors
from anomalies.services.actors import Lately, Wanted
from anomalies.services.detectors import Learns, learning_of_each
from anomalies.web.facets import MOST_ROWS, said
from anomalies.web.listing.spark import spark
from anomalies.web.sorting import Column, Header, headers

PAGE_SIZE = 50
SEARCH_LENGTH = 200
MOST_GROUPS = 200
DEFAULT_SORT = "-open"
SEVERITIES = ((3, "high"), (2, "medium"), (1, "low"))


SHARED = (
    Column("open", "Open", "-open", "Anomalies that somebody is asked to decide about; the worst first"),
    Column("seen", "Last seen", "-seen", "Time of its last event"),
    Column("requests", "Requests, 24 h", "-requests", "In the last 24 hours, by the hour, the present one included"),
)
COLUMNS = {
    Series.Kind.AGENT: (
        Column("id", "Agent", "id"),
        Column("name", "Name", "name"),
        Column("group", "Group", "group"),
        Column("status", "Status", "status"),
        Column("first", "Learning", "-first", "What its detectors still learn; sorted by when it was first seen"),
        *SHARED,
    ),
    Series.Kind.PRINCIPAL: (
        Column("id", "User", "id"),
        Column("name", "Name", "name"),
        Column("email", "E-mail", "email"),
        Column("first", "First seen", "-first"),
        *SHARED,
    ),
}
WORDS = {Series.Kind.AGENT: "agent", Series.Kind.PRINCIPAL: "user"}


@dataclass(frozen=True, slots=True)
class ActorRow:
    """An agent or user as the list shows it: one line."""

    actor: Any  # Agent | Principal
    lately: Lately
    learns: list[Learns]

    @property
    def url(self) -> str:
        return reverse("agent_page" if isinstance(self.actor, Agent) else "principal_page", args=[self.actor.public_id])

    @property
    def status(self) -> str:
        return status_of(self.actor)

    @property
    def undecided(self) -> list[tuple[str, int]]:
        """Each severity that occurs, with how many, the worst first."""
        return [(word, count) for value, word in SEVERITIES if (count := self.lately.undecided.get(value, 0))]

    @property
    def line(self) -> str:
        return spark(self.lately.requests)

    @property
    def learning(self) -> str:
        """What is still learned, in words."""
        return "; ".join(f"{one.detector.label}: {one}" for one in self.learns)

    @property
    def learned_at(self) -> datetime | None:
        """When the last of its detectors will judge it in full at the earliest; None where only events are missing."""
        return max((one.until for one in self.learns if one.until), default=None)


def status_of(actor: Agent | Principal) -> str:
    """`active`, `suspended`, `revoked`, `deleted`; nothing of a user."""
    if isinstance(actor, Principal):
        return ""
    return "deleted" if actor.deleted_at else actor.status


class ActorListing:
    """Filters, order and page of one URL; what makes no sense in it is left out and named in `complaints`."""

    def __init__(self, kind: str, query: QueryDict, *, now: datetime) -> None:
        self.kind, self.now, self.complaints = kind, now, list[str]()
        self.columns = COLUMNS[Series.Kind(kind)]
        known = {"q", "sort", "after", "before", *(("status", "group") if kind == Series.Kind.AGENT else ())}
        self.complaints += [f"There is no filter “{name[:40]}”." for name in query if name not in known]
        self.text = self._text(query.get("q", ""))
        self.sort = query.get("sort") or DEFAULT_SORT
        if self.sort.removeprefix("-") not in {column.name for column in self.columns}:
            self._complain("Sort", self.sort, [column.name for column in self.columns])
            self.sort = DEFAULT_SORT
        self.statuses = [*Agent.Status.values, "deleted"] if kind == Series.Kind.AGENT else []
        self.groups = actors.groups(MOST_GROUPS) if kind == Series.Kind.AGENT else []
        self.status = query.get("status", "") if "status" in known else ""
        if self.status and self.status not in self.statuses:
            self._complain("Status", self.status, self.statuses)
            self.status = ""
        self.group = query.get("group", "").replace("\x00", "") if "group" in known else ""
        self.after, self.before = (query.get(name, "").replace("\x00", "") for name in ("after", "before"))

    def _text(self, typed: str) -> str:
        text = typed.strip()
        if "\x00" in text or len(text) > SEARCH_LENGTH:
            self.complaints.append(f"Search: it is no text of at most {SEARCH_LENGTH} characters.")
            return ""
        return text

    def _complain(self, field: str, word: str, known: list[str]) -> None:
        self.complaints.append(f"{field}: “{word[:40]}” is none of {', '.join(known)}.")

    @property
    def wanted(self) -> Wanted:
        return Wanted(self.sort, self.text, self.status, self.group or None)

    @property
    def in_use(self) -> bool:
        return bool(self.text or self.status or self.group)

    @property
    def path(self) -> str:
        return reverse("agent_list" if self.kind == Series.Kind.AGENT else "principal_list")

    def url(self, **changes: str) -> str:
        query = QueryDict(mutable=True)
        kept = {"q": self.text, "status": self.status, "group": self.group, "sort": self.sort, **changes}
        query.update({name: value for name, value in kept.items() if value and (name, value) != ("sort", DEFAULT_SORT)})
        return f"{self.path}?{query.urlencode()}" if query else self.path

    def headers(self) -> list[Header]:
        shown = [column for column in self.columns if column.name != "group" or self.groups or "group" in self.sort]
        return headers(shown, self.sort, lambda sort: self.url(sort=sort))

    def context(self) -> dict[str, Any]:
        page = actors.listed(self.kind, self.wanted, now=self.now, size=PAGE_SIZE, after=self.after, before=self.before)
        ids = [row.public_id for row in page.rows]
        lately = actors.lately(self.kind, ids, now=self.now)
        agents = [row for row in page.rows if isinstance(row, Agent)]
        learns = learning_of_each(agents, at=self.now) if agents else {}
        counted = actors.count(self.kind, self.wanted, most=MOST_ROWS + 1)
        return {
            "listing_of": self,
            "word": WORDS[Series.Kind(self.kind)],
            "rows": [ActorRow(row, lately[row.public_id], learns.get(row.public_id, [])) for row in page.rows],
            "match_count": said(counted),
            "match_is_one": counted == 1,
            "first_url": self.url() if self.after or self.before else "",
            "later_url": self.url(after=page.later) if page.later else "",
            "earlier_url": self.url(before=page.earlier) if page.earlier else "",
        }
