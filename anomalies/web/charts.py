"""A series with its expected band as SVG: the geometry here, the colours in the style sheet."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from statistics import median

from django.utils import timezone

from anomalies.detection.wording import number, span
from anomalies.services.evidence import Band, BandedSeries
from anomalies.web.zone import this_year

WIDTH, HEIGHT = 456, 140
LEFT, RIGHT, TOP, BOTTOM = 2, 40, 8, 18
LEAST_MARK = 6  # units of the drawing; an interval of one bucket would be a hair line
CHARACTER, GAP = 7.5, 16  # of the times below, on phones, where they are largest
MOST_POINTS = 144  # three units of the drawing each, wide enough to hover
MOST_TABLE_ROWS = 48
MOST_BAND = 3.0  # times what was observed or usual, that the band may take of the height
DAY = 86_400
HOURS = (1 / 60, 1 / 12, 1 / 4, 1 / 2, 1, 3, 6, 12, 24, 48, 7 * 24, 28 * 24, 91 * 24, 400 * 24)
TICK_STEPS = tuple(round(3600 * hours) for hours in HOURS)
SPANS = {
    "24h": ("24 h", timedelta(days=1)),
    "7d": ("7 d", timedelta(days=7)),
    "30d": ("30 d", timedelta(days=30)),
    "90d": ("90 d", timedelta(days=90)),
    "400d": ("400 d", timedelta(days=400)),
}


@dataclass(frozen=True, slots=True)
class Point:
    """One bucket, or the most extreme of several that share a place, of which the first starts at `start`."""

    start: datetime
    time: datetime
    observed: int
    expected: float
    lower: float
    upper: float
    failures: int | None = None  # the most in one bucket; None where they are not told

    @property
    def outside(self) -> bool:
        return not self.lower <= self.observed <= self.upper


@dataclass(frozen=True, slots=True)
class Hover:
    x: float
    width: float
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    x: float
    y: float
    text: str
    ends_there: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Coordinates in a drawing of 456 by 140, each bucket a step; `marked` is the interval's x and width, if seen."""

    measure: str  # what is counted, such as `requests in 5 minutes`
    means: Band  # what the edges of the band say
    width: int
    height: int
    band: str
    expected: list[str]  # a line for each stretch within the drawing
    observed: str
    failures: str  # empty where they are not told
    marked: tuple[float, float] | None
    marked_words: str
    hovers: list[Hover]
    times: list[Tick]
    values: list[Tick]
    days: str  # those between the first and the last time
    table: list[Point]
    selection: str  # what the table leaves out, empty if nothing
    top: int
    floor: int
    right: int

    @property
    def plot_height(self) -> int:
        return self.floor - self.top


def draw(series: BandedSeries, *, start: datetime, end: datetime) -> Chart | None:
    """Return the chart of a series in which the interval from `start` to `end` is marked, or None without points."""
    points = merged(series, MOST_POINTS)
    if not points:
        return None
    first = series.times[0]
    last = series.times[-1] + series.resolution_seconds
    # What was allowed before the series was known is far above all that came; it may be cut off.
    most_allowed = sorted(p.upper for p in points)[int(0.9 * (len(points) - 1))]
    missed = (p.expected for p in points if p.observed < p.lower)  # a drop is nothing without what it fell from
    told_of = max(max(p.observed for p in points), median(p.expected for p in points), *missed)
    highest = max(1.0, 1.05 * told_of, min(most_allowed, MOST_BAND * told_of))
    inner_width, inner_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(seconds: float) -> float:
        return round(LEFT + inner_width * (min(max(seconds, first), last) - first) / max(last - first, 1), 1)

    def y(value: float) -> float:
        return round(TOP + inner_height * (1 - min(value / highest, 1)), 1)

    edges = [x(point.start.timestamp()) for point in points] + [x(last)]
    steps = list(pairwise(edges))

    def line(over: Iterable[tuple[tuple[float, float], float]]) -> str:
        return " ".join(f"{left},{y(value)} {right},{y(value)}" for (left, right), value in over)

    def path(values: Iterable[float]) -> str:
        return line(zip(steps, values, strict=True))

    marked = None
    if end.timestamp() > first and start.timestamp() < last:
        left, right = x(start.timestamp()), x(end.timestamp())
        missing = max(0.0, LEAST_MARK - (right - left)) / 2
        marked = (round(left - missing, 1), round(right - left + 2 * missing, 1))
    bucket = timedelta(seconds=series.resolution_seconds)
    within = [p for p in points if start - bucket < p.time < end]
    told = max(within, key=deviation) if within else max(points, key=lambda point: point.observed)
    values = [Tick(WIDTH - RIGHT + 5, y(told.observed) + 4, f"{told.observed:,}")]
    usual = y(told.expected) + 4
    if series.band and abs(usual - values[0].y) >= 12:
        values.append(Tick(WIDTH - RIGHT + 5, usual, number(told.expected)))
    means = series.band
    table = merged(series, MOST_TABLE_ROWS)
    together = -(-len(series.times) // len(table))
    return Chart(
        measure=f"{series.unit} {_in(series)}",
        means=means,
        width=WIDTH,
        height=HEIGHT,
        band=f"{path(p.upper for p in points)} {turned(path(p.lower for p in points))}",
        expected=[
            line(stretch)
            for seen, stretch in groupby(
                zip(steps, (p.expected for p in points), strict=True), key=lambda step: step[1] <= highest
            )
            if seen
        ],
        observed=path(p.observed for p in points),
        failures=path(p.failures or 0 for p in points) if series.failures else "",
        marked=marked,
        marked_words=f"{clock(start)} to {clock(end)}",
        hovers=[
            Hover(
                left,
                round(right - left, 1),
                f"{clock(p.time)}: {p.observed:,} {series.unit}{beside(p, means)}{failed(p)}",
            )
            for p, (left, right) in zip(points, steps, strict=True)
        ],
        times=[
            *(Tick(x(seconds), HEIGHT - 4, tick_words(seconds, last - first)) for seconds in tick_times(first, last)),
            Tick(x(last), HEIGHT - 4, tick_words(last, last - first), ends_there=True),
        ],
        values=values,
        days=days(datetime.fromtimestamp(first, UTC), datetime.fromtimestamp(last, UTC)),
        table=table,
        selection=f"A selection: of every {together} values the one furthest outside its band" if together > 1 else "",
        top=TOP,
        floor=HEIGHT - BOTTOM,
        right=WIDTH - RIGHT,
    )


def merged(series: BandedSeries, most: int) -> list[Point]:
    """Return at most so many points: of buckets side by side the one furthest outside its band, so no peak is lost."""
    failures: Sequence[int | None] = series.failures or [None] * len(series.times)
    points = [
        Point(datetime.fromtimestamp(time, UTC), datetime.fromtimestamp(time, UTC), *values)
        for time, *values in zip(
            series.times, series.observed, series.expected, series.lower, series.upper, failures, strict=True
        )
    ]
    together = -(-len(points) // most) or 1
    groups = (points[i : i + together] for i in range(0, len(points), together))
    return [
        replace(max(group, key=deviation), start=group[0].start, failures=_most(p.failures for p in group))
        for group in groups
    ]


def _most(failures: Iterable[int | None]) -> int | None:
    return max((count for count in failures if count is not None), default=None)


def deviation(point: Point) -> tuple[float, int]:
    """How far a bucket lies outside its band; within it, how high it is."""
    return max(point.observed - point.upper, point.lower - point.observed, 0.0), point.observed


def turned(path: str) -> str:
    """The same way from its end."""
    return " ".join(reversed(path.split()))


def beside(point: Point, band: Band) -> str:
    """What an observed value is held against, if anything."""
    if band == Band.EXPECTED:
        return f", expected {number(point.expected)} ({number(point.lower)} to {number(point.upper)})"
    return f", {number(point.upper)} are allowed" if band else ""


def failed(point: Point) -> str:
    """How many failed, where that is told."""
    return "" if point.failures is None else f", {point.failures:,} failed"


def _in(series: BandedSeries) -> str:
    if series.window_seconds and series.window_seconds != series.resolution_seconds:
        return f"within {span(series.window_seconds)}"
    return f"in {span(series.resolution_seconds)}"


def clock(moment: datetime) -> str:
    """`20 Nov 14:03 CET`, in the reviewer's zone, with the year of another year."""
    return f"{day(moment)} {timezone.localtime(moment):%H:%M %Z}"


def day(moment: datetime) -> str:
    """`20 Nov`, or `20 Nov 2017` of another year."""
    local = timezone.localtime(moment)
    return f"{local:%-d %b}" if f"{local:%Y}" == this_year() else f"{local:%-d %b %Y}"


def days(first: datetime, last: datetime) -> str:
    """`19 Nov to 20 Nov`, or the only day."""
    return " to ".join(dict.fromkeys((day(first), day(last))))


def tick_times(first: float, last: float) -> list[float]:
    """Return round times of the reviewer's clock, at most five, none near the right end, which has its own."""
    step = next(step for step in TICK_STEPS if (last - first) / step <= 5)
    offset = timezone.localtime(datetime.fromtimestamp(first, UTC)).utcoffset() or timedelta()
    start = -(-(first + offset.total_seconds()) // step) * step - offset.total_seconds()
    times = (start + i * step for i in range(5))
    room = (2 * CHARACTER * len(tick_words(last, last - first)) + GAP) / (WIDTH - LEFT - RIGHT)
    return [time for time in times if time <= last - (last - first) * room]


def tick_words(seconds: float, reach: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{timezone.localtime(moment):%H:%M}" if reach <= 2 * DAY else day(moment)
