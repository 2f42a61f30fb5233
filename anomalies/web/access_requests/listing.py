"""The list of access requests as its URL describes it."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.urls import reverse

from anomalies.models import AccessFlow, AccessRequest
from anomalies.services import access_requests, request_anomalies
from anomalies.web.facets import bounded_count, said
from anomalies.web.paging import Page, page_of
from anomalies.web.sorting import Column, headers

PAGE_SIZE = 50
SEARCH_LENGTH = 200
NEWEST_FIRST = ("-requested_at", "-id")
OLDEST_FIRST = ("requested_at", "id")
DEFAULT_SORT = "-requested"
COLUMNS = (Column("when", "Requested", DEFAULT_SORT),)
FILTERS = ("q", "status", "requester", "integration", "flow")
OTHER_PARAMETERS = ("sort", "older", "newer", "open")


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A request as the list shows it: one line."""

    request: AccessRequest
    anomalies: int
    back: str

    @property
    def url(self) -> str:
        return f"{reverse('request_page', args=[self.request.public_id])}?{_query(back=self.back)}"

    @property
    def open_url(self) -> str:
        """The list with this request opened beside it."""
        joined = "&" if "?" in self.back else "?"
        return f"{self.back}{joined}{_query(open=self.request.public_id)}"

    @property
    def asked_for(self) -> str:
        return access_requests.asked_for(self.request)


class RequestListing:
    """Filters, order and page of one URL; what makes no sense in it is left out and named in `complaints`."""

    def __init__(self, query: QueryDict) -> None:
        self.complaints = [
            f"There is no filter “{one[:40]}”." for one in query if one not in (*FILTERS, *OTHER_PARAMETERS)
        ]
        self.text = self._text("Search", query.get("q", ""))
        self.requester = self._text("Requester", query.get("requester", ""))
        self.integration = self._text("Integration", query.get("integration", ""))
        self.status = query.get("status", "")
        if self.status and self.status not in AccessRequest.Status.values:
            known = ", ".join(AccessRequest.Status.values)
            self.complaints.append(f"Status: “{self.status[:40]}” is none of {known}.")
            self.status = ""
        self.flow = self._text("Access flow", query.get("flow", ""))
        if self.flow and not AccessFlow.objects.filter(public_id=self.flow).exists():
            self.complaints.append(f"Access flow: there is no “{self.flow[:40]}”.")
            self.flow = ""
        self.sort = query.get("sort") or DEFAULT_SORT
        if self.sort.removeprefix("-") != "requested":
            self.complaints.append(f"Sort: “{self.sort[:40]}” is neither requested nor -requested.")
            self.sort = DEFAULT_SORT
        self.open = self._called("Open", query.get("open", ""))
        self.older = self._called("Older", query.get("older", ""))
        self.newer = self._called("Newer", query.get("newer", ""))

    def _text(self, field: str, typed: str) -> str:
        text = typed.strip()
        if "\x00" in text or len(text) > SEARCH_LENGTH:
            self.complaints.append(f"{field}: it is no text of at most {SEARCH_LENGTH} characters.")
            return ""
        return text

    def _called(self, field: str, public_id: str) -> AccessRequest | None:
        if not public_id:
            return None
        rows = AccessRequest.objects.select_related("requester", "flow", "grant")
        found = rows.filter(public_id=public_id.replace("\x00", "")).first()
        if found is None:
            self.complaints.append(f"{field}: there is no access request “{public_id[:40]}”.")
        return found

    @property
    def values(self) -> dict[str, str]:
        told = (self.text, self.status, self.requester, self.integration, self.flow)
        return {name: value for name, value in zip(FILTERS, told, strict=True) if value}

    @property
    def in_use(self) -> bool:
        return bool(self.values)

    @property
    def is_newest_first(self) -> bool:
        return self.sort == DEFAULT_SORT

    def url(self, name: str = "request_list", **changes: str) -> str:
        asked = {**self.values, "sort": self.sort, **changes}
        query = _query(**{**asked, "sort": "" if asked["sort"] == DEFAULT_SORT else asked["sort"]})
        return f"{reverse(name)}?{query}" if query else reverse(name)

    def matching(self, *, without: str = "") -> QuerySet[AccessRequest]:
        """The requests that pass all filters, or all but one."""
        rows = AccessRequest.objects.all()
        if self.status and without != "status":
            rows = rows.filter(status=self.status)
        if self.requester:
            rows = rows.filter(requester__in=[self.requester])
        if self.flow and without != "flow":
            rows = rows.filter(flow__in=[self.flow])
        if self.integration and without != "integration":
            # As it is shown: by its name, or else by its id or type. Each is found by the index.
            names = ("integration", "integration_id", "integration_type")
            found = Q(pk__in=[])
            for position, name in enumerate(names):
                unit = {**dict.fromkeys(names[:position], ""), name: self.integration}
                found |= Q(units__contains=[unit])
            rows = rows.filter(found)
        if self.text:
            columns = ("friendly_id", "public_id", "justification", "requester__public_id", "requester__name")
            words = Q(units__icontains=self.text)
            for column in columns:
                words |= Q(**{f"{column}__icontains": self.text})
            rows = rows.filter(words)
        return rows

    def page(self) -> Page[AccessRequest]:
        rows = self.matching().select_related("requester", "flow")
        order = NEWEST_FIRST if self.is_newest_first else OLDEST_FIRST
        return page_of(rows, order, size=PAGE_SIZE, after=self.older, before=None if self.older else self.newer)

    def match_count(self) -> str:
        return said(bounded_count(self.matching()))

    def context(self) -> dict[str, Any]:
        """What the table needs: its rows, its links and, where these are all, how many match."""
        shown = self.page()
        counts = request_anomalies.counts_of(shown.rows) if shown.rows else {}
        place = {"older": self.older} if self.older else {"newer": self.newer}
        back = self.url(**{name: row.public_id for name, row in place.items() if row})
        return {
            "requests": self,
            "headers": headers(COLUMNS, self.sort, lambda sort: self.url(sort=sort)),
            "rows": [RequestRow(row, counts[row.public_id], back) for row in shown.rows],
            "match_count": said(len(shown.rows)) if not any(place.values()) and not shown.next_from else "",
            "first_url": self.url() if self.older or self.newer else "",
            "older_url": self.url(older=shown.next_from.public_id) if shown.next_from else "",
            "newer_url": self.url(newer=shown.previous_from.public_id) if shown.previous_from else "",
            "tally_url": self.url("request_tally"),
            "back": back,
        }


def _query(**values: str) -> str:
    query = QueryDict(mutable=True)
    query.update({name: value for name, value in values.items() if value})
    return query.urlencode()
