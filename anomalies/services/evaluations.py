"""How well detection does where the truth is known: which windows it found, when, and what it raised beside them."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.db.models import Max, Min
from django.utils.dateparse import parse_datetime

from anomalies.models import Anomaly, Event, Series

TOLERANCE = timedelta(minutes=10)  # before and after a window
DAY = timedelta(days=1)


class TruthError(Exception):
    """A truth file that cannot be read; its text names the key and the window."""


@dataclass(frozen=True, slots=True)
class Window:
    """Something that is known to have happened, and to or by whom where that is known."""

    name: str
    start: datetime
    end: datetime
    type: str = ""
    agent_id: str = ""
    principal_id: str = ""
    source_ip: str = ""

    @property
    def named(self) -> dict[str, str]:
        """Whom it names, as (kind of series, entity)."""
        entities = {"agent": self.agent_id, "principal": self.principal_id, "address": self.source_ip}
        return {kind: entity for kind, entity in entities.items() if entity}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a window: the first alarm that counts for it, how many there are, and of its type.

    The first is that since it began; one that was up before is named only where no other followed.
    """

    window: Window
    first: Anomaly | None
    alarms: int
    alarms_of_its_type: int

    @property
    def delay(self) -> timedelta | None:
        """From the start of the window to the first alarm; an alarm before it was not late."""
        return max(self.first.detected_at - self.window.start, timedelta()) if self.first else None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`false` are the anomalies that count for no window, by time; `series_days` are of the entities judged."""

    outcomes: tuple[Outcome, ...]
    true: int
    false: tuple[Anomaly, ...]
    days: float
    series_days: float

    @property
    def found(self) -> int:
        return sum(outcome.first is not None for outcome in self.outcomes)

    @property
    def labelled(self) -> int:
        """How many windows say of which type their alarm should be."""
        return sum(bool(outcome.window.type) for outcome in self.outcomes)

    @property
    def found_as_labelled(self) -> int:
        return sum(outcome.alarms_of_its_type > 0 for outcome in self.outcomes)

    @property
    def recall(self) -> float | None:
        return self.found / len(self.outcomes) if self.outcomes else None

    @property
    def precision(self) -> float | None:
        raised = self.true + len(self.false)
        return self.true / raised if raised else None

    @property
    def f1(self) -> float | None:
        if self.recall is None or self.precision is None:
            return None
        both = self.recall + self.precision
        return 2 * self.recall * self.precision / both if both else 0.0

    @property
    def delays(self) -> list[timedelta]:
        return [delay for outcome in self.outcomes if (delay := outcome.delay) is not None]

    @property
    def median_delay(self) -> timedelta | None:
        return timedelta(seconds=statistics.median(d.total_seconds() for d in self.delays)) if self.delays else None

    @property
    def longest_delay(self) -> timedelta | None:
        return max(self.delays, default=None)

    @property
    def false_by_type(self) -> dict[str, int]:
        return dict(sorted(Counter(anomaly.type for anomaly in self.false).items()))

    @property
    def false_a_day(self) -> float | None:
        return len(self.false) / self.days if self.days else None

    @property
    def false_a_day_and_1000_series(self) -> float | None:
        return 1000 * len(self.false) / self.series_days if self.series_days else None


def read_truth(content: bytes) -> list[Window]:
    """Return the windows of a truth file, `{"windows": [{"start", "end", ...}]}`. Raises TruthError."""
    truth = _decoded(content)
    windows = truth.get("windows") if isinstance(truth, dict) else None
    if not isinstance(windows, list):
        raise TruthError('windows: a truth file is an object with this key, {"windows": [...]}.')
    return [_window(number, window) for number, window in enumerate(windows, start=1)]


def known_since(content: bytes) -> datetime | None:
    """Return from when on a truth file says everything, its key `since`, if it has one. Raises TruthError."""
    truth = _decoded(content)
    return _time("the truth", "since", truth["since"]) if isinstance(truth, dict) and "since" in truth else None


def _decoded(content: bytes) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TruthError(f"It is no JSON: {error}.") from error


def _window(number: int, window: object) -> Window:
    place = f"window {number:,}"
    if not isinstance(window, dict):
        raise TruthError(f"{place}: it is no object.")
    texts = {}
    for key in ("name", "type", "agent_id", "principal_id", "source_ip"):
        texts[key] = window.get(key) or ""
        if not isinstance(texts[key], str):
            raise TruthError(f"{place}, {key}: it is no text.")
    start, end = (_time(place, key, window.get(key)) for key in ("start", "end"))
    if end < start:
        raise TruthError(f"{place}, end: it is before the start.")
    texts["name"] = texts["name"] or next((texts[key] for key in texts if texts[key]), place)
    return Window(start=start, end=end, **texts)


def _time(place: str, key: str, value: object) -> datetime:
    if value is None:
        raise TruthError(f"{place}, {key}: it is missing.")
    try:
        time = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise TruthError(f"{place}, {key}: {value!r} is no ISO 8601 time with an offset, such as 2026-11-20T14:05:00Z.")
    return time.astimezone(UTC)


def evaluate(windows: Sequence[Window], *, since: datetime | None = None, until: datetime | None = None) -> Evaluation:
    """Hold the anomalies against the windows, both as far as they start in [since, until).

    An anomaly counts for a window if it overlaps it, give or take ten minutes, and, where the window names an agent, a
    principal or an address, is about one that is named, or about one that took part: that has an event in that time
    with all that are named.
    """
    history = Event.objects.aggregate(first=Min("time"), last=Max("time"))
    if history["first"] is None:
        return Evaluation(tuple(Outcome(window, None, 0, 0) for window in windows), 0, (), 0.0, 0.0)
    since = max(since or history["first"], history["first"])
    until = min(until or history["last"] + timedelta(microseconds=1), history["last"] + timedelta(microseconds=1))
    anomalies = list(
        Anomaly.objects.standing()
        .exclude(state=Anomaly.State.WITHDRAWN)
        .filter(started_at__gte=since, started_at__lt=until)
        .order_by("detected_at", "id")
    )
    outcomes: list[Outcome] = []
    counted: set[int] = set()
    for window in windows:
        if since <= window.end and window.start < until:
            alarms = [anomaly for anomaly in anomalies if _counts(anomaly, window)]
            counted.update(alarm.pk for alarm in alarms)
            of_its_type = sum(alarm.type == window.type for alarm in alarms)
            since_it_began = [alarm for alarm in alarms if alarm.detected_at >= window.start]
            first = next(iter(since_it_began or alarms), None)
            outcomes.append(Outcome(window, first, len(alarms), of_its_type))
    false = tuple(anomaly for anomaly in anomalies if anomaly.pk not in counted)
    return Evaluation(
        tuple(outcomes), len(counted), false, max(until - since, timedelta()) / DAY, _series_days(since, until)
    )


def _counts(anomaly: Anomaly, window: Window) -> bool:
    early, late = window.start - TOLERANCE, window.end + TOLERANCE
    if anomaly.started_at > late or anomaly.active_until < early:
        return False
    named = window.named
    if not named or named.get(anomaly.kind) == anomaly.entity:
        return True
    # Only what is both in the window and behind the anomaly shows that its entity took part.
    took_part = Event.objects.filter(
        time__gte=max(early, anomaly.started_at), time__lte=min(late, anomaly.active_until), **_columns(named)
    )
    return took_part.filter(**_columns({anomaly.kind: anomaly.entity})).exists()


def _columns(entities: Mapping[str, str]) -> dict[str, Any]:
    columns = {"agent": "agent_id", "principal": "principal_id", "address": "ip"}
    return {columns[kind]: entity for kind, entity in entities.items()}


def _series_days(since: datetime, until: datetime) -> float:
    """Sum for each entity from its first event to its last, a day at least."""
    spans = Series.objects.filter(metric=Series.Metric.REQUESTS, first_time__lt=until, last_time__gte=since).exclude(
        kind=Series.Kind.TENANT
    )
    return sum(
        max((min(last, until) - max(first, since)) / DAY, 1.0)
        for first, last in spans.values_list("first_time", "last_time").iterator()
    )
