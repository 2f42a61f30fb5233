"""The anomalies list as its URL describes it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import QueryDict
from django.urls import reverse

from anomalies.models import Anomaly, SavedView
from anomalies.models.anomaly import AnomalyQuerySet
from anomalies.models.ordering import LAST
from anomalies.services import saved_views
from anomalies.web.facets import bounded_count, said, said_count
from anomalies.web.listing.filters import PARAMETERS, AnomalyFilter
from anomalies.web.listing.sparkline import rows_of
from anomalies.web.paging import Page, page_of
from anomalies.web.sorting import Column, Header, headers

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

PAGE_SIZE = 50
DEFAULT_SORT = "-detected"


ALL_COLUMNS = (
    Column("sev", "Severity", "-severity"),
    Column("type", "Type", "type"),
    Column("what", "What happened", "what"),
    Column("who", "Agent/User", "who"),
    Column("res", "Resource", "resource"),
    Column("int", "Integration", "integration"),
    Column("where", "Where", "-where", "Countries that its logins came from"),
    Column("when", "Detected", "-detected"),
    Column("status", "Status", "status"),
)
COLUMNS = {column.sort: column for column in ALL_COLUMNS}
# Made once: to say a key anew for each page takes longer than to look it up.
KEYED = {name: Anomaly.objects.with_sort_key(name) for name in COLUMNS} | {"detected": Anomaly.objects.all()}
SORTS = {sort for name in COLUMNS for sort in (name, f"-{name}")}
VIEWS = {
    "Needs review": "status=open",
    "High, unacknowledged": "severity=high&status=open",
    "Mine": "assignee=me&status=open&status=acknowledged",
    "Snoozed": "status=snoozed",
    "Bookmarked": "bookmarked=me",
    "All": "",
}
EXPORT_FORMATS = (
    ("csv", "for spreadsheets"),
    ("json", "one document"),
    ("ndjson", "one object a line"),
    ("ocsf", "findings for a SIEM"),
)
OTHER_PARAMETERS = {"sort", "older", "newer", "open", "view", "counted"}


@dataclass(frozen=True, slots=True)
class View:
    """A link above the list to filters that are often wanted."""

    label: str
    url: str
    count: str
    current: bool
    changed: bool = False  # the list shows something else by now
    owner: str = ""  # of another's


class Listing:
    """Filters, order and page of one URL; what makes no sense in it is left out and named in `complaints`."""

    def __init__(
        self, query: QueryDict, user: "User | AnonymousUser", occurring: Mapping[str, Collection[str]] | None = None
    ) -> None:
        self.user = user
        self.filters = AnomalyFilter(query, user, occurring or {})
        self.complaints = self.filters.complaints
        known = PARAMETERS | OTHER_PARAMETERS | {f"{name}_search" for name in self.filters.facets}
        self.complaints += [f"There is no filter “{name[:40]}”." for name in query if name not in known]
        self.sort = query.get("sort") or DEFAULT_SORT
        if self.sort not in SORTS:
            columns = ", ".join(COLUMNS)
            self.complaints.append(f"Sort: “{self.sort[:40]}” is none of {columns}, nor one of them after a minus.")
            self.sort = DEFAULT_SORT
        self.open = query.get("open", "")
        self.view = self._view(query.get("view", ""))
        self.boundary = {name: self._row(wanted) for name in ("older", "newer") if (wanted := query.get(name))}

    def _view(self, public_id: str) -> SavedView | None:
        """The view that the list was opened as, which the filters may have left since."""
        view = next((view for view in self.saved if view.public_id == public_id), None) if public_id else None
        if public_id and view is None:
            self.complaints.append(
                f"View: “{public_id[:40]}” is not there any more, or nobody shares it with you; its filters apply."
            )
        return view

    @cached_property
    def saved(self) -> list[SavedView]:
        return saved_views.listed_for(self.user) if isinstance(self.user, User) else []

    @property
    def changed(self) -> bool:
        """Whether it shows something else than the view that it was opened as."""
        return self.view is not None and not same_list(self.view.query, self.query(view=""))

    def _row(self, public_id: str) -> Anomaly | None:
        known = KEYED[self.column].only("public_id", "detected_at")  # no more is needed to go on
        row = known.filter(public_id=public_id.replace("\x00", "")).first()
        if row is None:
            self.complaints.append(f"There is no anomaly “{public_id[:40]}” to go on from; this is the first page.")
        return row

    @property
    def column(self) -> str:
        return self.sort.lstrip("-")

    @property
    def order(self) -> tuple[str, ...]:
        """As order_by() takes it, of rows with their key: turned round it is the same list from its end."""
        fields = LAST if self.column == "detected" else ("sort_key", *LAST)
        return tuple(f"-{field}" for field in fields) if self.sort.startswith("-") else fields

    def matching(self) -> AnomalyQuerySet:
        """The anomalies that pass the filters, with the key that they are sorted by."""
        return self.filters.matching(KEYED[self.column])

    def page(self) -> Page[Anomaly]:
        older, newer = self.boundary.get("older"), self.boundary.get("newer")
        # Not joined: of a page in the midst of many equal rows the planner expects one row, and would sort all of them.
        rows = self.matching().prefetch_related("assignee")
        return page_of(rows, self.order, size=PAGE_SIZE, after=older, before=None if older else newer)

    def query(self, **changes: str) -> str:
        """The filters and the order, with some parameters set, as a query string; empty ones are left out."""
        query = self.filters.query()
        if self.sort != DEFAULT_SORT:
            query["sort"] = self.sort
        if self.view:
            query["view"] = self.view.public_id
        for name, value in changes.items():
            query.pop(name, None)
            if value and (name, value) != ("sort", DEFAULT_SORT):
                query[name] = value
        return query.urlencode()

    def url(self, **changes: str) -> str:
        return list_url(self.query(**changes))

    def here(self) -> dict[str, str]:
        """The page that is shown, as parameters."""
        return {name: row.public_id for name, row in self.boundary.items() if row is not None}

    def headers(self) -> list[Header]:
        unsorted = self.query(sort="")
        return headers(ALL_COLUMNS, self.sort, lambda sort: list_url(_sorted(unsorted, sort)))

    def saved_links(self) -> list[View]:
        """The views that somebody kept or others share; not counted: there may be many."""
        return [
            View(
                view.name,
                view_url(view),
                "",
                current=view == self.view,
                changed=view == self.view and self.changed,
                owner="" if view.owner_id == self.user.pk else view.owner.get_username(),
            )
            for view in self.saved
        ]

    def match_count(self) -> str:
        return said_count(self.filters.matching())

    def context(self) -> dict[str, Any]:
        """What the table needs: its rows, its links and, where these are all, the number of anomalies that match."""
        page = self.page()
        here = self.here()
        return {
            "listing": self,
            "rows": rows_of(page.rows, self.user, state=self.query(**here)),
            "older_url": self.url(older=page.next_from.public_id) if page.next_from else "",
            "newer_url": self.url(newer=page.previous_from.public_id) if page.previous_from else "",
            "first_url": self.url(),
            "first_page": not here,
            "state": self.query(**here),
            "here_url": self.url(**here),
            "headers": self.headers(),
            "match_count": said(len(page.rows)) if not here and not page.next_from else "",
            "newest": newest_id(),
            "bare_query": self.query(view=""),
            "saved": self.saved_links(),
            "can_change_view": isinstance(self.user, User)
            and self.view is not None
            and saved_views.may_change(self.view, self.user),
            "export_formats": EXPORT_FORMATS,
        }


def views(listing: Listing, *, counted: bool = True) -> list[View]:
    """Return the views, with how many each shows now or, without counting, how many it did when last counted."""
    key = f"view-counts:{listing.user.pk}"
    if counted:
        viewed = {words: AnomalyFilter(QueryDict(words), listing.user).matching() for words in VIEWS.values()}
        counts = {words: said(bounded_count(rows)) for words, rows in viewed.items()}
        cache.set(key, counts)
    else:
        counts = cache.get(key, {})
    current = listing.filters.query().urlencode()
    return [
        View(label, list_url(words), counts.get(words, ""), listing.view is None and same_list(current, words))
        for label, words in VIEWS.items()
    ]


def _sorted(query: str, sort: str) -> str:
    return query if sort == DEFAULT_SORT else f"{query}&sort={sort}".lstrip("&")


def same_list(one: str, other: str) -> bool:
    """Whether two query strings say the same filters and order, however they spell them."""
    first, second = ({name: sorted(words) for name, words in QueryDict(query).lists()} for query in (one, other))
    return first == second


def newest_id() -> str:
    """The anomaly that was raised last: what is raised after it is new."""
    newest = Anomaly.objects.order_by("-id").values_list("public_id", flat=True).first()
    return newest or ""


def list_url(query: str) -> str:
    path = reverse("anomaly_list")
    return f"{path}?{query}" if query else path


def view_url(view: SavedView) -> str:
    """The address of the list as a view shows it."""
    return list_url(f"{view.query}&view={view.public_id}".lstrip("&"))


def agent_url(public_id: str) -> str:
    """The list of one agent's anomalies, whatever its id contains."""
    return list_url(f"agent={quote(public_id, safe='')}")


def user_url(public_id: str) -> str:
    """The list of one user's anomalies, whatever its id contains."""
    return list_url(f"user={quote(public_id, safe='')}")
