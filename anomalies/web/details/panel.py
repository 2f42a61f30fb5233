"""Everything that the details of one anomaly show."""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Count
from django.forms.models import model_to_dict
from django.http import HttpRequest
from django.utils import timezone
from django.utils.timesince import timesince

from anomalies.detection.detector import Detector
from anomalies.detection.history import DAY
from anomalies.detection.registry import DETECTORS
from anomalies.detection.wording import span
from anomalies.models import Anomaly, Bookmark, Event, ReviewEntry
from anomalies.models.anomaly import SNOOZED, SUPPRESSED, WITHDRAWN
from anomalies.services.counted import began, counted_series, told_over
from anomalies.services.detectors import learning_behind
from anomalies.services.evidence import banded_series, events_behind
from anomalies.services.retention import dropped_at
from anomalies.services.timeline import DETECTION
from anomalies.services.undoing import UNDO_WITHIN, UNDOABLE
from anomalies.web.charts import SPANS, Chart, draw
from anomalies.web.decisions.choosing import Choosing
from anomalies.web.details.facts import Fact, facts_of
from anomalies.web.details.related import Neighbours, neighbours
from anomalies.web.details.series import MOST_METRICS, Deviating, deviating
from anomalies.web.details.told import Sent, Told, agreement, part
from anomalies.web.detectors.parameters import label_of, told
from anomalies.web.facets import MOST_ROWS, bounded_count
from anomalies.web.listing.listing import agent_url, user_url
from anomalies.web.listing.row import Row

FIRST_EVENTS = 50
LAST_ENTRIES = 100
DEFAULT_SPAN = "24h"
USUAL_SPANS = ("24h", "7d", "30d")
SPAN_OF_DAYS = "30d"  # where whole days deviate
MOST_PARTS = 10


@dataclass(frozen=True, slots=True)
class RawEvent:
    event: Event

    @property
    def record(self) -> str:
        """All that is known of it, as JSON."""
        known = model_to_dict(self.event, exclude=["id", "source", "batch"])
        known["time"] = self.event.time.isoformat()
        return json.dumps({k: v for k, v in known.items() if v not in (None, "", {})}, indent=2, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Before:
    """How anomalies of the same type and entity were decided earlier."""

    total: int
    counts: list[tuple[int, str]]
    last: ReviewEntry | None


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    value: Any
    unit: str


class Panel:
    """The details of one anomaly, each read when the template asks for it."""

    def __init__(self, anomaly: Anomaly, *, span: str, metric: str, user: User, now: datetime) -> None:
        self.anomaly, self.row, self.now = anomaly, Row(anomaly), now
        self.user = user
        self.wanted_span, self.wanted_metric = span, metric
        self.evidence: dict[str, Any] = anomaly.evidence

    @property
    def people(self) -> list[tuple[str, str, str]]:
        return self.row.people

    @property
    def list_url(self) -> str:
        """The list of all anomalies of the agent or user that it is about; empty where it is about neither."""
        who = self.row.who
        if who == self.anomaly.agent_id:
            return agent_url(who)
        return user_url(who) if who == self.anomaly.principal_id else ""

    @cached_property
    def series(self) -> list[Deviating]:
        return deviating(self.anomaly)

    @property
    def series_shown(self) -> list[Deviating]:
        """Those of the table, where there is more to tell than the sentence does."""
        several = len(self.series) > 1 or any(len(one.intervals) > 1 for one in self.series)
        return self.series[:MOST_METRICS] if several else []

    @property
    def series_rest(self) -> int:
        return len(self.series) - MOST_METRICS if len(self.series) > MOST_METRICS else 0

    @cached_property
    def drawn(self) -> Deviating | None:
        """The series of the chart: the one that was chosen, or that the sentence tells; None if none was stored."""
        chosen = [one for one in self.series if one.metric.name == self.wanted_metric]
        return next(iter([*chosen, *self.series]), None)

    @property
    def metric(self) -> str:
        """The name of the series that was chosen; empty for the one that is drawn anyway."""
        return self.drawn.metric.name if self.drawn and not self.drawn.main else ""

    @cached_property
    def spans(self) -> dict[str, str]:
        """The spans to choose from, with their names: those that are usual, and one that holds all that it tells of."""
        return {word: label for word, (label, _) in SPANS.items() if word in USUAL_SPANS or word == self.own_span}

    @cached_property
    def own_span(self) -> str:
        """The shortest span that shows what the anomaly tells of; empty where any does."""
        least = told_over(self.anomaly)
        if least is None:
            return ""
        return next((word for word, (_, length) in SPANS.items() if length >= least), [*SPANS][-1])

    @property
    def span(self) -> str:
        if self.wanted_span in self.spans:
            return self.wanted_span
        if self.own_span and not self.metric:
            return self.own_span
        evidence = self.drawn.metric.evidence if self.drawn else self.evidence
        return SPAN_OF_DAYS if evidence.get("resolution_seconds", 0) >= DAY else DEFAULT_SPAN

    @property
    def complaints(self) -> list[str]:
        """One sentence for each thing in the address that was left out."""
        found = []
        if self.wanted_span and self.wanted_span not in self.spans:
            found.append(f"span: “{self.wanted_span[:40]}” is none of {', '.join(self.spans)}.")
        if self.wanted_metric and self.wanted_metric not in {one.metric.name for one in self.series}:
            found.append(f"metric: “{self.wanted_metric[:80]}” is no series of this anomaly.")
        return found

    @property
    def span_label(self) -> str:
        return SPANS[self.span][0]

    @property
    def detector(self) -> Detector | None:
        return DETECTORS.get(self.anomaly.type)

    @property
    def why(self) -> str:
        """The sentences with the numbers."""
        return str(self.evidence.get("why") or self.anomaly.description)

    @property
    def raised(self) -> str:
        """By what else it is more severe than its own figures are."""
        return " ".join(filter(None, [agreement(self.anomaly), part(self.anomaly)]))

    @cached_property
    def parts(self) -> list[Anomaly]:
        """The anomalies that turned out to be one with it, oldest first."""
        return list(Anomaly.objects.filter(merged_into=self.anomaly).order_by("started_at", "id"))

    @property
    def parts_shown(self) -> list[Row]:
        return [Row(part) for part in self.parts[:MOST_PARTS]]

    @property
    def parts_rest(self) -> int:
        return max(0, len(self.parts) - MOST_PARTS)

    @property
    def learning(self) -> str:
        """What the detector did not know of its agent yet, or nothing."""
        learns = learning_behind(self.anomaly)
        return f"Not judged in full yet then: {learns}." if learns else ""

    @property
    def ended_at(self) -> datetime | None:
        """When it ended, or None while it goes on."""
        return self.anomaly.ended_at

    @property
    def settings(self) -> list[Setting]:
        """The parameters by which it was judged."""
        units = {p.name: p.unit for p in self.detector.parameters} if self.detector else {}
        used: dict[str, Any] = self.evidence.get("parameters", {})
        return [
            Setting(label_of(self.anomaly.type, name), told(value), units.get(name, "")) for name, value in used.items()
        ]

    @cached_property
    def chart(self) -> Chart | None:
        if not self.detector:  # a type that is no more
            return None
        drawn = self.drawn
        metric = drawn.metric if drawn else None
        length = SPANS[self.span][1]
        series = counted_series(self.anomaly, metric, span=length, now=self.now)
        series = series or banded_series(self.anomaly, metric, span=length, now=self.now)
        if not series:
            return None
        start, end = began(self.anomaly), self.anomaly.active_until
        if drawn and not drawn.main:
            start, end = drawn.marked(series.resolution_seconds)
        return draw(series, start=start, end=end)

    @property
    def measure(self) -> str:
        """`requests in 5 minutes`, and of what, where that is not all that the anomaly's own entity did."""
        if not self.chart:
            return ""
        one = self.drawn.metric if self.drawn else None
        if one is None or (one.entity == self.anomaly.entity and not one.action):
            return self.chart.measure
        return f"{self.chart.measure}, {one.action} only" if one.action else f"{self.chart.measure}, {one.entity}"

    @cached_property
    def events(self) -> list[RawEvent]:
        return [RawEvent(event) for event in events_behind(self.anomaly)[:FIRST_EVENTS]]

    @cached_property
    def events_dropped_at(self) -> datetime | None:
        """When retention dropped events of it, or None if all are there."""
        return dropped_at(self.anomaly)

    @cached_property
    def event_count(self) -> int:
        """The events of its interval; where they are not all kept, or too many to count, as many as it was judged by.

        The buckets that it was judged by may begin before its interval does, and then held more.
        """
        judged = 0 if "request_id" in self.evidence else int(self.evidence.get("event_count", 0))
        listed = len(self.events) if len(self.events) < FIRST_EVENTS else bounded_count(events_behind(self.anomaly))
        is_known = self.events and listed <= MOST_ROWS and not self.events_dropped_at
        return listed if is_known else max(judged, listed)

    @property
    def busiest(self) -> str:
        """What the sentence speaks of, where that is a part of the events: `29 of them in the busiest 5 minutes`."""
        observed = self.evidence.get("observed", 0)
        if self.evidence.get("unit") != "requests" or self.event_count <= observed:
            return ""
        return f"{observed:,} of them in the busiest {span(self.evidence['resolution_seconds'])}"

    @property
    def first_event_at(self) -> datetime:
        """Its start, or the time of an event before that it is about, too."""
        first = self.events[0].event.time if self.events else self.anomaly.started_at
        return min(first, self.anomaly.started_at)

    @property
    def is_below(self) -> bool:
        """Whether it is less than expected."""
        return bool(self.evidence.get("observed", 0) < self.evidence.get("expected", 0))

    @property
    def is_silent(self) -> bool:
        """Whether it is just that nothing came."""
        return self.evidence.get("event_count") == 0

    @property
    def is_within_a_minute(self) -> bool:
        start, end = self.first_event_at, self.anomaly.active_until
        return start.replace(second=0, microsecond=0) == end.replace(second=0, microsecond=0)

    @property
    def is_within_a_day(self) -> bool:
        start, end = self.first_event_at, self.anomaly.active_until
        return timezone.localtime(start).date() == timezone.localtime(end).date()

    @cached_property
    def facts(self) -> list[Fact]:
        return facts_of(self.anomaly)

    @property
    def since_detected(self) -> str:
        if self.now - self.anomaly.detected_at < timedelta(minutes=1):
            return "just now"
        return f"{timesince(self.anomaly.detected_at, self.now, depth=1)} ago"

    @cached_property
    def related(self) -> Neighbours:
        return neighbours(self.anomaly)

    @cached_property
    def before(self) -> Before:
        one = self.anomaly
        earlier = Anomaly.objects.standing().filter(
            type=one.type, kind=one.kind, entity=one.entity, started_at__lt=one.started_at
        )
        grouped = earlier.order_by().values_list("status", "verdict").annotate(n=Count("*"))
        counts: Counter[str] = Counter()
        for status, verdict, count in grouped:
            counts[Anomaly.Verdict(verdict).label if verdict else Anomaly.Status(status).label.lower()] += count
        last = ReviewEntry.objects.filter(anomaly__in=earlier).exclude(to_status="").order_by("-id").first()
        return Before(sum(counts.values()), [(n, label) for label, n in counts.most_common()], last)

    @property
    def told(self) -> list[Told | Sent]:
        """What happened to it, oldest first, with the last 100 messages that channels were sent."""
        deliveries = self.anomaly.deliveries.select_related("channel", "message").order_by("-id")[:LAST_ENTRIES]
        entries: list[Told | Sent] = [self.tell(entry) for entry in self.timeline]
        return sorted([*entries, *map(Sent, deliveries)], key=lambda one: one.at)

    def tell(self, entry: ReviewEntry) -> Told:
        return Told(entry, self.names)

    @cached_property
    def names(self) -> dict[int, str]:
        """Who it was ever assigned to, by their numbers."""
        pks = {pk for entry in self.timeline for pk in entry.changes.get("assignee", ()) if pk}
        return dict(User.objects.filter(pk__in=pks).values_list("pk", "username")) if pks else {}

    @cached_property
    def timeline(self) -> list[ReviewEntry]:
        """The last 100 entries, oldest first. A replay of the history finds later what happened before."""
        entries = ReviewEntry.objects.filter(anomaly=self.anomaly).order_by("-id")[:LAST_ENTRIES]
        return sorted(entries, key=lambda entry: (entry.at, entry.pk))

    @property
    def detection_is_told(self) -> bool:
        return any(entry.action == ReviewEntry.Action.DETECTED for entry in self.timeline)

    @cached_property
    def decided(self) -> ReviewEntry | None:
        """The entry by which it is acknowledged, resolved or snoozed, or has come back from its snooze."""
        one = self.anomaly
        meant = {one.status} if self.row.done else {SNOOZED} if one.snoozed_until else {ReviewEntry.Action.WOKEN}
        for entry in self.standing_entries:
            if entry.action in meant:
                return entry
            if entry.to_status or entry.action == ReviewEntry.Action.SNOOZED:
                return None
        return None

    @property
    def undoable(self) -> list[ReviewEntry]:
        """The decisions that can be taken back: of each thing the last one, if it is not too old."""
        touched: set[str] = set()
        found = []
        for entry in self.standing_entries:
            changed = set(entry.changes) or ({"status"} if entry.to_status else set())
            young = self.now - entry.at <= UNDO_WITHIN
            if entry.action in UNDOABLE and young and entry.actor != DETECTION.name and not changed & touched:
                found.append(entry)
            touched |= changed
        return found

    @property
    def undoable_decision(self) -> ReviewEntry | None:
        """What gave it the status that it has."""
        return next((entry for entry in self.undoable if entry == self.decided), None)

    @property
    def undoable_rest(self) -> list[Told]:
        return [self.tell(entry) for entry in self.undoable if entry != self.decided]

    @cached_property
    def standing_entries(self) -> list[ReviewEntry]:
        """What happened and was not undone, newest first."""
        newest = sorted(self.timeline, key=lambda entry: -entry.pk)
        undone = {entry.undoes_id for entry in newest if entry.undoes_id}
        return [entry for entry in newest if entry.pk not in undone and entry.undoes_id is None]

    @property
    def forms(self) -> set[str]:
        """What can be decided about it as it is."""
        of_status = {
            Anomaly.Status.OPEN: {"acknowledge", "resolve", "snooze"},
            Anomaly.Status.ACKNOWLEDGED: {"resolve", "reopen"},
            Anomaly.Status.RESOLVED: {"reopen"},
        }
        forms = of_status[Anomaly.Status(self.anomaly.status)] | {"assign", "rename"}
        return forms - {"snooze"} if self.row.set_aside in (SUPPRESSED, WITHDRAWN) else forms

    @property
    def is_marked(self) -> bool:
        """Whether who looks has bookmarked it."""
        return Bookmark.objects.filter(user=self.user, anomaly=self.anomaly).exists()

    @cached_property
    def choosing(self) -> Choosing:
        return Choosing(self.user, now=self.now)


def panel_of(request: HttpRequest, anomaly: Anomaly, *, now: datetime) -> Panel:
    assert isinstance(request.user, User)
    return Panel(
        anomaly, span=request.GET.get("span", ""), metric=request.GET.get("metric", ""), user=request.user, now=now
    )
