"""The filters of the anomalies list. A new one is one line in AnomalyFilter, and a test."""

import contextlib
import ipaddress
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import django_filters
from django import forms
from django.contrib.auth.models import User
from django.contrib.postgres.search import SearchQuery
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.http import QueryDict

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Bookmark, Severity
from anomalies.models.anomaly import SNOOZED, SUPPRESSED, WITHDRAWN, AnomalyQuerySet
from anomalies.models.words import OUTER_SIGNS
from anomalies.web.period import NAMES as PERIOD_NAMES
from anomalies.web.period import Period, PeriodFilter, as_typed

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

MOST_CHOSEN = 50
SEARCH_LENGTH = 200
_BETWEEN_PARTS = re.compile(f"[{re.escape(OUTER_SIGNS)}]+")
Known = Mapping[str, tuple[str, Any]]  # word in the URL: label, value of the column

TYPES: Known = {type_: (detector.label, type_) for type_, detector in DETECTORS.items()}
SEVERITIES: Known = {s.label: (s.label.title(), s.value) for s in reversed(Severity)}
STATUSES: Known = {
    **{s.value: (s.label.title(), s.value) for s in Anomaly.Status},
    SNOOZED: (SNOOZED.title(), SNOOZED),
    SUPPRESSED: (SUPPRESSED.title(), SUPPRESSED),
    WITHDRAWN: (WITHDRAWN.title(), WITHDRAWN),
}
VERDICTS: Known = {verdict.value: (verdict.label.capitalize(), verdict.value) for verdict in Anomaly.Verdict}
ME, NOBODY = "me", "nobody"


class FacetField(forms.Field):
    """Turns words of the URL into those that exist; a sentence in `complaints` names each other one."""

    widget = forms.MultipleHiddenInput

    def __init__(self, *, facet: "Facet", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.facet = facet

    def clean(self, value: list[str] | None) -> list[str]:
        words = list(dict.fromkeys(word for word in value or [] if word))
        self.complaints: list[str] = []
        if len(words) > MOST_CHOSEN:
            self.complaints.append(
                f"{self.label}: {len(words):,} values, of which the first {MOST_CHOSEN} were applied."
            )
        kept = []
        for word in words[:MOST_CHOSEN]:
            if "\x00" not in word and self.facet.exists(word):
                kept.append(word)
            else:
                self.complaints.append(f"{self.label}: {self.facet.missing(word[:80])}.")
        return kept


class Facet(django_filters.Filter):  # type: ignore[misc]  # django-filter has no types
    """Checkboxes over the values of one column; `known` are all there can be, else those of the rows count."""

    field_class = FacetField

    def __init__(self, column: str, *, label: str, known: Known | None = None, more: bool = False):
        super().__init__(column, label=label, facet=self, required=False)
        self.all_known, self.more = known, more
        self.viewer: User | None = None

    @property
    def known(self) -> Known | None:
        return self.all_known

    def filter(self, rows: QuerySet[Any, Any], value: list[str]) -> QuerySet[Any, Any]:
        if not value:
            return rows
        return rows.filter(**{f"{self.field_name}__in": [self.column_value(word) for word in value]})

    def exists(self, word: str) -> bool:
        if self.known is not None:
            return word in self.known
        return Anomaly.objects.filter(**{self.field_name: word}).exists()

    def missing(self, word: str) -> str:
        if self.known is None:
            return f"no anomaly has “{word}”"
        return f"there is no “{word}”, only {', '.join(label for label, _ in self.known.values())}"

    def column_value(self, word: str) -> Any:
        return self.known[word][1] if self.known is not None else word

    def label_of(self, word: str) -> str:
        return self.known[word][0] if self.known is not None else word


class StatusFacet(Facet):
    """By the status that is shown, in columns that have an index."""

    def filter(self, rows: QuerySet[Any, Any], value: list[str]) -> QuerySet[Any, Any]:
        if not value:
            return rows
        undecided, withdrawn = Q(status=Anomaly.Status.OPEN), Q(state=Anomaly.State.WITHDRAWN)
        unsuppressed = undecided & Q(suppression__isnull=True) & ~withdrawn
        meant = {
            Anomaly.Status.OPEN: unsuppressed & Q(snoozed_until__isnull=True),
            SNOOZED: unsuppressed & Q(snoozed_until__isnull=False),
            SUPPRESSED: undecided & Q(suppression__isnull=False) & ~withdrawn,
            WITHDRAWN: undecided & withdrawn,
        }
        wanted = Q()
        for word in value:
            wanted |= meant.get(word, Q(status=word))
        return rows.filter(wanted)


class CountryFacet(Facet):
    """By each of the countries that an anomaly's logins came from."""

    def filter(self, rows: QuerySet[Any, Any], value: list[str]) -> QuerySet[Any, Any]:
        return rows.filter(countries__overlap=value).exclude(countries=[]) if value else rows

    def exists(self, word: str) -> bool:
        return self.filter(Anomaly.objects.all(), [word]).exists()


class AssigneeFacet(Facet):
    """By who has it: people by their names, nobody, or whoever looks, so that a shared link is right for each."""

    @property
    def known(self) -> Known:
        return self._people

    @cached_property
    def _people(self) -> Known:
        some = User.objects.filter(Exists(Anomaly.objects.filter(assignee=OuterRef("pk")))).order_by("username")
        me = {ME: ("Me", self.viewer.pk)} if self.viewer else {}
        return {**me, NOBODY: ("Nobody", 0), **{user.username: (user.username, user.pk) for user in some}}

    def exists(self, word: str) -> bool:
        return word == NOBODY or (word == ME and self.viewer is not None) or super().exists(word)

    def column_value(self, word: str) -> Any:
        return self.viewer.pk if word == ME and self.viewer else super().column_value(word)

    def missing(self, word: str) -> str:
        return f"nobody who is called “{word}” has one"

    def filter(self, rows: QuerySet[Any, Any], value: list[str]) -> QuerySet[Any, Any]:
        if not value:
            return rows
        wanted = Q(assignee__isnull=True) if NOBODY in value else Q()
        people = [self.column_value(word) for word in value if word != NOBODY]
        return rows.filter(wanted | Q(assignee__in=people) if people else wanted)


class BookmarkFacet(Facet):
    def filter(self, rows: QuerySet[Any, Any], value: list[str]) -> QuerySet[Any, Any]:
        return rows.filter(marked_by(self.viewer)) if value else rows


def marked_by(user: User | None) -> Exists:
    return Exists(Bookmark.objects.filter(user=user, anomaly=OuterRef("pk")))


class SearchField(forms.Field):
    def clean(self, value: str | None) -> str:
        text = (value or "").strip()
        self.complaints: list[str] = []
        if "\x00" in text or len(text) > SEARCH_LENGTH:
            self.complaints.append(f"Search: it is no text of at most {SEARCH_LENGTH} characters.")
            return ""
        return text


class WordQuery(SearchQuery):
    """A query as PostgreSQL writes them, of words that are there as they are."""

    template = "lower(%(expressions)s)::tsquery"


def word_query(text: str) -> WordQuery:
    """Return the query for all words of a text, each from its beginning: `bill proj/17` finds ag_billing, proj/170.

    A type is found by the words of its label.
    """
    return WordQuery(Value(" & ".join(_one_of(word) for word in text.split())))


def _one_of(word: str) -> str:
    """What holds the word: itself, all its parts where it is a path, or the type with such a label."""
    found = [f"{_quoted(word)}:*"]
    parts = [part for part in _BETWEEN_PARTS.split(word) if part]
    if parts and parts != [word]:
        found.append(f"({' & '.join(map(_quoted, parts))}:*)")  # all but the last are whole
    sought = word.casefold()
    for type_, (label, _) in TYPES.items():
        if any(said.startswith(sought) for said in label.casefold().split()):
            found.append(_quoted(type_))
    return f"({' | '.join(found)})"


def _quoted(word: str) -> str:
    doubled = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"


class SearchFilter(django_filters.Filter):  # type: ignore[misc]  # django-filter has no types
    """Words of what a row shows, each from its beginning, in any order; or the whole address."""

    field_class = SearchField

    def filter(self, rows: QuerySet[Any, Any], value: str) -> QuerySet[Any, Any]:
        if not value:
            return rows
        found = Q(words=word_query(value))
        with contextlib.suppress(ValueError):  # not a whole address
            found |= Q(ip=str(ipaddress.ip_address(value)))
        return rows.filter(found)


class AnomalyFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """What the address says of a list that somebody looks at; `me` in it is they."""

    time = PeriodFilter("detected_at", label="All time")
    type = Facet("type", label="Type", known=TYPES)
    severity = Facet("severity", label="Severity", known=SEVERITIES)
    resource_type = Facet("resource_type", label="Resource type")
    status = StatusFacet("shown_status", label="Status", known=STATUSES)
    agent = Facet("agent", label="Agent")
    user = Facet("principal", label="User", more=True)
    integration = Facet("integration", label="Integration", more=True)
    verdict = Facet("verdict", label="Verdict", known=VERDICTS, more=True)
    assignee = AssigneeFacet("holder", label="Assignee", more=True)
    country = CountryFacet("countries", label="Where", more=True)
    bookmarked = BookmarkFacet("bookmarked", label="Bookmarked", known={ME: ("By me", True)}, more=True)
    q = SearchFilter("description", label="Search")

    def __init__(self, query: QueryDict, user: "User | AnonymousUser") -> None:
        super().__init__(query, Anomaly.objects.standing())
        self.viewer = user if isinstance(user, User) else None
        for facet in self.facets.values():
            facet.viewer = self.viewer
        self.form.full_clean()
        self.values: dict[str, Any] = self.form.cleaned_data

    @property
    def facets(self) -> dict[str, Facet]:
        return {name: filter_ for name, filter_ in self.filters.items() if isinstance(filter_, Facet)}

    @property
    def period(self) -> Period | None:
        value: Period | None = self.values["time"]
        return value

    @property
    def typed_period(self) -> dict[str, Any]:
        """What was typed into the filter by time, to be shown in its fields again."""
        return as_typed(self.data)

    @property
    def in_use(self) -> bool:
        return any(self.values.values())

    @property
    def complaints(self) -> list[str]:
        """One sentence for each value in the URL that was left out."""
        return [sentence for field in self.form.fields.values() for sentence in field.complaints]

    def matching(self, *, without: str = "") -> AnomalyQuerySet:
        """The anomalies that pass all filters, or all but one."""
        rows: AnomalyQuerySet = Anomaly.objects.standing()
        for name, value in self.values.items():
            if name != without:
                rows = self.filters[name].filter(rows, value)
        return rows

    def countable(self, *, without: str) -> AnomalyQuerySet:
        """The same, the newest first, each with every column whose values are counted."""
        rows = self.matching(without=without).with_shown_status().newest_first()
        return rows.annotate(holder=Coalesce("assignee_id", Value(0)), bookmarked=marked_by(self.viewer))

    def query(self) -> QueryDict:
        """The filters as the URL says them: what applies and nothing else."""
        query = QueryDict(mutable=True)
        if self.period:
            query.update(self.period.query)
        for name in self.facets:
            if self.values[name]:
                query.setlist(name, self.values[name])
        if self.values["q"]:
            query["q"] = self.values["q"]
        return query


PARAMETERS = {*AnomalyFilter.base_filters, *PERIOD_NAMES} - {"time"}
