"""The parameters: each of them, alone and together, a condition in SQL."""

import math
import re
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Annotated, Any

from django.contrib.auth.models import User
from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.lookups import GreaterThanOrEqual
from django.http import HttpRequest
from pydantic import BeforeValidator, Field, WithJsonSchema

from anomalies.api.anodot_v2.answers import FieldError
from anomalies.api.anodot_v2.expression import SHOWN, Expression, parsed
from anomalies.api.anodot_v2.wording import RESOLUTIONS, seconds_of
from anomalies.api.errors import CamelSchema
from anomalies.models import Anomaly, Bookmark, Interval, Metric
from anomalies.models.anomaly import DURATION, AnomalyQuerySet

PAGING_MAX = 1000  # anomalies that can be paged through; by time, all can be reached
DEFAULT_SIZE = 50
SORTS = ("startDate", "endDate", "duration", "score", "delta")
OTHER_SORTS = {"startData": "startDate", "significance": "score"}
STATES = ("open", "closed", "both")
DIRECTIONS = ("up", "down", "both")
PERCENTAGE = "percentage"
DELTA_TYPES = (PERCENTAGE, "absolute")
UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
LONGEST = timedelta(days=36_500)

_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[0-9]{1,18}")
_FIRST, _LAST = -62_135_596_800, 253_402_300_799  # the years 1 to 9999
_BEGINNING, _END = 0, 32_503_680_000  # the years 1970 to 3000: nothing is before or after, and there is room to reckon


def _number(text: Any) -> float:
    """Return what a text says, if it is a number."""
    if not isinstance(text, str) or not _NUMBER.fullmatch(text.strip()):
        raise ValueError(f"{str(text)[:SHOWN]!r} is no number")
    return float(text)


def _given(check: Any) -> BeforeValidator:
    """What is sent empty is not given."""

    def checked(text: Any) -> Any:
        return None if text is None or (isinstance(text, str) and not text.strip()) else check(text)

    return BeforeValidator(checked)


def _time(text: Any) -> datetime:
    seconds = _number(text)
    if not _FIRST <= seconds <= _LAST:
        raise ValueError(f"{text[:SHOWN]} are no seconds since 1970")
    return datetime.fromtimestamp(min(max(math.floor(seconds), _BEGINNING), _END), UTC)


def _whole(text: Any) -> int:
    if not isinstance(text, str) or not _WHOLE.fullmatch(text.strip()):
        raise ValueError(f"{str(text)[:SHOWN]!r} is no whole number")
    return int(text)


def _at_least_nothing(text: Any) -> float:
    if (number := _number(text)) < 0 or math.isinf(number):
        raise ValueError(f"{text[:SHOWN]} is less than nothing, or endless")
    return number


def _limit(text: Any) -> int:
    if not 1 <= (number := _whole(text)) <= 1000:
        raise ValueError(f"{text[:SHOWN]} is not from 1 to 1,000")
    return number


def _score(text: Any) -> float:
    try:
        number = _number(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 100:
        raise ValueError(f"{str(text)[:SHOWN]!r} is no number from 0 to 1, or to 100 as percent")
    return number if number <= 1 else number / 100


def _one_of(known: tuple[str, ...], others: dict[str, str] | None = None) -> BeforeValidator:
    def check(text: Any) -> str:
        word = (others or {}).get(text, text)
        if word not in known:
            raise ValueError(f"{str(text)[:SHOWN]!r} is none of {', '.join(known)}")
        return str(word)

    return _given(check)


def _resolutions(text: Any) -> str:
    """Return them as they are told."""
    words = [word.strip() for word in str(text).split(",") if word.strip()]
    for word in words:
        if word not in RESOLUTIONS:
            raise ValueError(f"{word[:SHOWN]!r} is none of {', '.join(RESOLUTIONS)}")
    return ",".join(RESOLUTIONS[word] for word in words)


def _said(**schema: Any) -> WithJsonSchema:
    return WithJsonSchema(schema)


Text = Annotated[str | None, _given(lambda text: text), _said(type="string")]
Time = Annotated[datetime | None, _given(_time), _said(type="integer", examples=[1614507300])]
Limit = Annotated[int | None, _given(_limit), _said(type="integer")]


class Filters(CamelSchema):
    """Which anomalies are meant."""

    q: Annotated[
        str | None,
        _given(lambda text: text),
        _said(
            type="string",
            examples=['{"expression":[{"type":"property","key":"agent","value":"ag_1","isExact":true}]}', "agent=ag_1"],
        ),
    ] = Field(
        None,
        description="URL-encoded JSON: an `expression`, a list of which each item holds for one and the same metric. "
        '`{"type": "property", "key", "value", "isExact"}` has the keys `what`, `agent`, `principal`, `address`, '
        '`tenant` and `action`; `{"type": "search", "value"}` has words of the anomaly. `!` before a value negates '
        "it, `A OR B` is either, `isExact: false` is a part of it. Or plain text: `what=requests.agent=ag_1`, or words",
    )
    start_date: Time = Field(None, description="Began then or later, in epoch seconds")
    end_date: Time = Field(None, description="Began then or earlier; left out of account with `state=open`")
    state: Annotated[str | None, _one_of(STATES), _said(type="string", enum=[*STATES])] = Field(
        None, description="Of the deviation, whatever reviewers decided"
    )
    resolution: Annotated[str | None, _given(_resolutions), _said(type="string", examples=["short,medium", "1h"])] = (
        Field(None, description=f"Some of {', '.join(RESOLUTIONS)}, with commas between")
    )
    duration_unit: Annotated[str | None, _one_of(tuple(UNITS)), _said(type="string", enum=[*UNITS])] = Field(
        None, description="Of `durationValue`; seconds, if it is missing"
    )
    duration_value: Annotated[float | None, _given(_at_least_nothing), _said(type="number")] = Field(
        None, description="Lasted, or lasts, at least so long"
    )
    score: Annotated[float | None, _given(_score), _said(type="number", examples=[0.95, 95])] = Field(
        None, description="At least, from 0 to 1; more than 1 is percent"
    )
    bookmark: Annotated[str | None, _given(lambda text: text), _said(type="string", examples=["all", "none", "*"])] = (
        Field(
            None,
            description="`all`: somebody marked it; `none`: nobody; a user's name: they; after `!` or `*`: not they; "
            "`*` alone: not the user who is named as the API key",
        )
    )
    value_direction: Annotated[str | None, _one_of(DIRECTIONS), _said(type="string", enum=[*DIRECTIONS])] = Field(
        None, description="A metric was above its band, or below it"
    )
    delta_type: Annotated[str | None, _one_of(DELTA_TYPES), _said(type="string", enum=[*DELTA_TYPES])] = Field(
        None, description="Of `delta`, and of the order by it; percentage, if it is missing"
    )
    delta: Annotated[float | None, _given(_at_least_nothing), _said(type="number")] = Field(
        None, description="A metric peaked at least so far outside its band"
    )

    @cached_property
    def expression(self) -> Expression:
        return parsed(self.q) if self.q else Expression()

    @property
    def unit(self) -> str:
        """What a column of deltas in the wanted unit ends with."""
        return "_percent" if (self.delta_type or PERCENTAGE) == PERCENTAGE else ""

    def metrics(self) -> Q:
        """The condition on metrics: what is asked of one of them has to hold for one and the same."""
        wanted = Q()
        for one in self.expression.of_metrics:
            wanted &= one
        intervals: dict[str, Any] = {}
        if self.value_direction in ("up", "down"):
            intervals["up"] = self.value_direction == "up"
        if self.delta:
            intervals[f"delta{self.unit}__gte"] = self.delta
        if intervals:
            wanted &= Q(Exists(Interval.objects.filter(metric=OuterRef("pk"), main=True, **intervals)))
        return wanted

    def matching(self, *, me: str, at: datetime) -> AnomalyQuerySet:
        """The deviations that pass all of it; `me` is who calls."""
        rows: AnomalyQuerySet = Anomaly.objects.deviations().filter(self._of_anomalies(me, at), **self._breaches())
        if self.expression.of_metrics:
            rows = rows.filter(Exists(Metric.objects.filter(self.metrics(), anomaly=OuterRef("pk"))))
        return rows

    def _of_anomalies(self, me: str, at: datetime) -> Q:
        wanted = Q()
        for one in self.expression.of_anomalies:
            wanted &= one
        if self.start_date is not None:
            wanted &= Q(started_at__gte=self.start_date)
        if self.end_date is not None and self.state != Anomaly.State.OPEN:
            wanted &= Q(started_at__lt=self.end_date + timedelta(seconds=1))
        if self.state in (Anomaly.State.OPEN, Anomaly.State.CLOSED):
            wanted &= Q(state=self.state)
        if self.resolution:
            spans = Q()
            for name in self.resolution.split(","):
                least, below = seconds_of(name)
                spans |= Q(resolution_seconds__gte=least, resolution_seconds__lt=below)
            wanted &= spans
        if self.score is not None:
            wanted &= Q(score__gte=self.score)
        return wanted & self._lasted(at) & self._bookmarked(me)

    def _lasted(self, at: datetime) -> Q:
        if not self.duration_value:
            return Q()
        seconds = self.duration_value * UNITS[self.duration_unit or "seconds"]
        least = timedelta(seconds=min(seconds, LONGEST.total_seconds()))
        long_ago = Q(state=Anomaly.State.CLOSED) & Q(GreaterThanOrEqual(DURATION, Value(least)))
        return long_ago | Q(state=Anomaly.State.OPEN, started_at__lte=at - least)

    def _breaches(self) -> dict[str, Any]:
        """What is asked of metrics, as far as their anomaly tells it: it is found without them."""
        side = {"up": "above", "down": "below"}.get(self.value_direction or "")
        if self.delta:
            return {f"breach__{side or 'delta'}{self.unit}__gte": self.delta}
        return {f"breach__{side}__isnull": False} if side else {}

    def _bookmarked(self, me: str) -> Q:
        if not self.bookmark:
            return Q()
        marks = Bookmark.objects.filter(anomaly=OuterRef("pk"))
        if self.bookmark in ("all", "none"):
            return Q(Exists(marks)) if self.bookmark == "all" else ~Q(Exists(marks))
        name = self.bookmark.lstrip("!*") or me
        user = User.objects.filter(username=name).first() if "\x00" not in name else None
        if user is None and self.bookmark != "*":
            raise FieldError("bookmark", f"nobody is called {name[:SHOWN]!r}")
        theirs = Q(Exists(marks.filter(user=user)))
        return theirs if self.bookmark == name else ~theirs


class Listing(Filters):
    """Which anomalies are meant, in what order, and which of them."""

    sort: Annotated[str | None, _one_of(SORTS, OTHER_SORTS), _said(type="string", enum=[*SORTS, *OTHER_SORTS])] = Field(
        None, description="startDate, if it is missing; what is open yet ends after all that is closed"
    )
    order: Annotated[str | None, _one_of(("asc", "desc")), _said(type="string", enum=["asc", "desc"])] = Field(
        None, description="desc, if it is missing"
    )
    index: Annotated[int | None, _given(_whole), _said(type="integer")] = Field(
        None, description="So many at the beginning are left out"
    )
    size: Annotated[int | None, _given(_whole), _said(type="integer")] = Field(
        None, description=f"At most so many, {DEFAULT_SIZE} if it is missing; beyond `pagingMax` there are none"
    )

    def page(self, rows: AnomalyQuerySet, *, at: datetime) -> list[int]:
        """The numbers of those of the page, in order."""
        start = self.index or 0
        stop = min(start + (DEFAULT_SIZE if self.size is None else self.size), PAGING_MAX)
        if start >= stop:
            return []
        sign = "" if self.order == "asc" else "-"
        if self.sort == "duration":
            return _by_duration(rows, sign, stop, at)[start:]
        if self.sort == "delta":
            return self._by_delta(rows, sign, start, stop)
        column = {"endDate": "ended_at", "score": "score"}.get(self.sort or "", "started_at")
        return list(rows.order_by(f"{sign}{column}", f"{sign}pk").values_list("pk", flat=True)[start:stop])

    def _by_delta(self, rows: AnomalyQuerySet, sign: str, start: int, stop: int) -> list[int]:
        """Those of which no series is known come last."""
        outside = rows.filter(breach__isnull=False)
        ordered = outside.order_by(f"{sign}breach__delta{self.unit}", f"{sign}breach__pk")
        found = list(ordered.values_list("pk", flat=True)[start:stop])
        if len(found) == stop - start:
            return found
        known = outside.count()
        others = rows.filter(breach__isnull=True).order_by(f"{sign}pk").values_list("pk", flat=True)
        return found + list(others[max(0, start - known) : max(0, stop - known)])  # more may be known by now


def _by_duration(rows: AnomalyQuerySet, sign: str, stop: int, at: datetime) -> list[int]:
    """The first so many. What is closed is read by an index, and so is what is open: each of it lasts until now."""
    began = "-" if not sign else ""
    closed = rows.filter(state=Anomaly.State.CLOSED).annotate(lasted=DURATION)
    open_ = rows.filter(state=Anomaly.State.OPEN).annotate(lasted=Value(at) - F("started_at"))
    parts = [
        closed.order_by(f"{sign}lasted", f"{sign}pk").values_list("pk", "lasted")[:stop],
        open_.order_by(f"{began}started_at", f"{sign}pk").values_list("pk", "lasted")[:stop],
    ]
    both = parts[0].union(parts[1], all=True).order_by(f"{sign}lasted", f"{sign}pk")
    return [pk for pk, _ in both[:stop]]


class Paging(Filters):
    """What is asked of the metrics of one anomaly, the time of their data points, and which metrics."""

    index: Annotated[int | None, _given(_whole), _said(type="integer")] = Field(
        None, description="So many metrics at the beginning are left out"
    )
    size: Annotated[int | None, _given(_limit), _said(type="integer")] = Field(
        None, description="At most so many metrics, 50 if it is missing"
    )


class Span(CamelSchema):
    """The time of data points."""

    start_date: Time = Field(None, description="In epoch seconds; enough to see the deviation, if it is missing")
    end_date: Time = Field(None, description="A little after its end, if it is missing")


class TokenMapParameters(Filters):
    """Which anomalies are meant, or which one."""

    q: Annotated[str | None, _given(lambda text: text), _said(type="string", example="what=requests")] = Field(
        None, description="As in the list; it has to be there without `anomalyId`"
    )
    anomaly_id: Text = Field(None, description="With `resolution`; without it `q` has to be there")
    token_map_clusters_limit: Limit = Field(None, description="At most so many clusters, 100 if it is missing")
    token_map_cluster_limit: Limit = Field(None, description="At most so many tokens of each, 100 if it is missing")
    token_limit_misspelt: Limit = Field(None, alias="toklenMapClusterLimit", description="The same")


def check_names(request: HttpRequest, parameters: type[CamelSchema]) -> None:
    """Raises FieldError for a parameter that is there twice: which of them would count?"""
    for name in (field.alias or "" for field in parameters.model_fields.values()):
        if (times := len(request.GET.getlist(name))) > 1:
            raise FieldError(name, f"it is there {times:,} times")
