"""The filters of the anomalies list. A new one is one line in AnomalyFilter, and a test."""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import django_filters
from django import forms
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.http import QueryDict

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Bookmark, Severity
from anomalies.models.anomaly import SNOOZED, SUPPRESSED, WITHDRAWN, AnomalyQuerySet
from anomalies.services.search import found_by
from anomalies.web.listing.period import NAMES as PERIOD_NAMES
from anomalies.web.listing.period import Period, PeriodFilter, as_typed

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

MOST_CHOSEN = 50
SEARCH_LENGTH = 200
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
        self.occurring: Collection[str] | None = None  # words that were looked up already; None: each is

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
        return word in (self.look_up([word]) if self.occurring is None else self.occurring)

    def look_up(self, words: Collection[str]) -> set[str]:
        """Return those of the words that anomalies have, by one query."""
        return _of_these(words, f"{Anomaly.field(self.field_name).column} = word")

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

    def look_up(self, words: Collection[str]) -> set[str]:
        return _of_these(words, "countries @> ARRAY[word]::varchar[] AND NOT countries = '{}'")


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
        if word == NOBODY or (word == ME and self.viewer is not None):
            return True
        return word in (self.known if self.occurring is None else self.occurring)

    def look_up(self, words: Collection[str]) -> set[str]:
        has = Exists(Anomaly.objects.filter(assignee=OuterRef("pk")))
        return set(User.objects.filter(has, username__in=words).values_list("username", flat=True))

    def label_of(self, word: str) -> str:
        return {ME: "Me", NOBODY: "Nobody"}.get(word, word)

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


def _of_these(words: Collection[str], condition: str) -> set[str]:
    statement = f"""
        SELECT word FROM unnest(%s::varchar[]) AS word WHERE EXISTS (SELECT FROM anomalies_anomaly WHERE {condition})
    """  # noqa: S608  each condition is spelled out above; words are parameters
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(words)])
        return {word for (word,) in cursor.fetchall()}


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


class SearchFilter(django_filters.Filter):  # type: ignore[misc]  # django-filter has no types
    """Words of what a row shows, each from its beginning, in any order; or the whole address."""

    field_class = SearchField

    def filter(self, rows: QuerySet[Any, Any], value: str) -> QuerySet[Any, Any]:
        return rows.filter(found_by(value)) if value else rows


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

    def __init__(
        self,
        query: QueryDict,
        user: "User | AnonymousUser",
        occurring: Mapping[str, Collection[str]] = MappingProxyType({}),  # as `occurring_in` says it
    ) -> None:
        super().__init__(query, Anomaly.objects.all())
        self.viewer = user if isinstance(user, User) else None
        for name, facet in self.facets.items():
            facet.viewer, facet.occurring = self.viewer, occurring.get(name)
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

    def matching(self, among: AnomalyQuerySet | None = None, *, without: str = "") -> AnomalyQuerySet:
        """The anomalies that pass all filters, or all but one; of all, or of those that one goes by."""
        rows = (Anomaly.objects if among is None else among).standing()
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


def occurring_in(queries: Iterable[QueryDict]) -> dict[str, set[str]]:
    """Return by filter which words of all these addresses anomalies have: a query a filter, however many there are."""
    asked: dict[str, set[str]] = {
        name: set() for name, one in AnomalyFilter.base_filters.items() if isinstance(one, Facet) and not one.all_known
    }
    for query in queries:
        for name, words in asked.items():
            words.update(word for word in query.getlist(name) if "\x00" not in word)
    return {name: AnomalyFilter.base_filters[name].look_up(words) if words else set() for name, words in asked.items()}


PARAMETERS = {*AnomalyFilter.base_filters, *PERIOD_NAMES} - {"time"}
