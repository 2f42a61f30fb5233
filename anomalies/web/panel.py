"""Everything that the details of one anomaly show."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.db.models import Count
from django.forms.models import model_to_dict
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.timesince import timesince

from anomalies.detection.detector import Detector
from anomalies.detection.registry import DETECTORS
from anomalies.detection.wording import span
from anomalies.models import Anomaly, Event, ReviewEntry
from anomalies.services.detectors import learning_behind
from anomalies.services.evidence import banded_series, events_behind
from anomalies.services.retention import dropped_at
from anomalies.web.charts import SPANS, Chart, draw
from anomalies.web.facets import count_values
from anomalies.web.listing import agent_url
from anomalies.web.row import Row

FIRST_EVENTS = 50
LAST_ENTRIES = 100
DEFAULT_SPAN = "24h"
MOST_VALUES = 5
FACTS = {
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
class Fact:
    label: str
    values: list[tuple[Any, str]]  # with how often each occurs
    rest: int  # values beyond the most frequent five

    @property
    def counted(self) -> bool:
        return len(self.values) > 1 or self.label == FACTS["ip"]


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    value: Any
    unit: str


class Panel:
    """The details of one anomaly, each read when the template asks for it."""

    def __init__(self, anomaly: Anomaly, *, span: str, now: datetime) -> None:
        self.anomaly, self.row, self.now = anomaly, Row(anomaly), now
        self.span = span if span in SPANS else DEFAULT_SPAN
        self.span_complaint = "" if span in SPANS else f"span: “{span[:40]}” is none of {', '.join(SPANS)}."
        self.spans = [(word, label) for word, (label, _) in SPANS.items()]
        self.evidence: dict[str, Any] = anomaly.evidence
        self.agent_url = agent_url(anomaly.agent_id) if anomaly.agent_id else ""

    @property
    def span_label(self) -> str:
        return SPANS[self.span][0]

    @property
    def detector(self) -> Detector | None:
        return DETECTORS.get(self.anomaly.type)

    @property
    def why(self) -> SafeString:
        """The sentences with the numbers; 10^12 with its exponent raised."""
        sentences = conditional_escape(self.evidence.get("why") or self.anomaly.description)
        return mark_safe(re.sub(r"10\^(\d+)", r"10<sup>\1</sup>", sentences))  # noqa: S308  escaped before

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
        return [Setting(name, value, units.get(name, "")) for name, value in used.items()]

    @cached_property
    def chart(self) -> Chart | None:
        if not self.detector:  # a type that is no more
            return None
        series = banded_series(self.anomaly, span=SPANS[self.span][1], now=self.now)
        return draw(series, start=self.anomaly.started_at, end=self.anomaly.active_until) if series else None

    @cached_property
    def events(self) -> list[RawEvent]:
        return [RawEvent(event) for event in events_behind(self.anomaly)[:FIRST_EVENTS]]

    @cached_property
    def events_dropped_at(self) -> datetime | None:
        """When retention dropped events of it, or None if all are there."""
        return dropped_at(self.anomaly)

    @property
    def event_count(self) -> int:
        return max(int(self.evidence.get("event_count", 0)), len(self.events))

    @property
    def busiest(self) -> str:
        """What the sentence speaks of, where that is a part of the events: `29 of them in the busiest 5 minutes`."""
        observed = self.evidence.get("observed", 0)
        if self.evidence.get("unit") != "requests" or self.event_count <= observed:
            return ""
        return f"{observed:,} of them in the busiest {span(self.evidence['resolution_seconds'])}"

    @property
    def is_within_a_day(self) -> bool:
        start, end = self.anomaly.started_at, self.anomaly.active_until
        return timezone.localtime(start).date() == timezone.localtime(end).date()

    @cached_property
    def facts(self) -> list[Fact]:
        """What the events behind it name, with how often each value occurs; where no event does, the anomaly's own."""
        counted = count_values(events_behind(self.anomaly), [*FACTS])
        counts = counted.of
        for name in ("integration", "resource_type", "resource", "ip"):
            own = getattr(self.anomaly, name)
            if own and not counts[name]:
                counts[name][own] = 1
        return [
            Fact(
                label,
                [
                    (value, f"{n:,}{'+' if counted.capped else ''}")
                    for value, n in counts[name].most_common(MOST_VALUES)
                ],
                max(0, len(counts[name]) - MOST_VALUES),
            )
            for name, label in FACTS.items()
            if counts[name]
        ]

    @property
    def since_detected(self) -> str:
        if self.now - self.anomaly.detected_at < timedelta(minutes=1):
            return "just now"
        return f"{timesince(self.anomaly.detected_at, self.now, depth=1)} ago"

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

    @cached_property
    def timeline(self) -> list[ReviewEntry]:
        """The last 100 entries, oldest first."""
        entries = ReviewEntry.objects.filter(anomaly=self.anomaly).order_by("-id")[:LAST_ENTRIES]
        return list(reversed(entries))

    @property
    def detection_is_told(self) -> bool:
        return any(entry.action == ReviewEntry.Action.DETECTED for entry in self.timeline)

    @property
    def undoable(self) -> ReviewEntry | None:
        """The acknowledgement that holds, which undo would take back."""
        decisions = [entry for entry in self.timeline if entry.to_status]
        last = decisions[-1] if decisions else None
        return last if last and last.action == ReviewEntry.Action.ACKNOWLEDGED else None


def panel_of(request: HttpRequest, anomaly: Anomaly, *, now: datetime) -> Panel:
    return Panel(anomaly, span=request.GET.get("span") or DEFAULT_SPAN, now=now)
