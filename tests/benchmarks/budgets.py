"""The budgets: how each is measured, held against what, and what it must keep."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.benchmarks import alerts, deviations, ingest, pages, reviewing, scanning, threats
from tests.benchmarks.turns import Seconds


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table, as text, and whether its bound is kept."""

    what: str
    ours: str
    bare: str
    ratio: float | None
    bound: str
    met: bool


@dataclass(frozen=True, slots=True)
class Budget:
    """`reference` says what the bare figure is; `measure` takes whether there is little time."""

    name: str
    reference: str
    measure: Callable[[bool], Iterable[Line]]


def _rate(what: str, rates: ingest.Rates) -> Line:
    """At least half as many events a second as the bare reference."""
    ours, bare = (f"{rate:,.0f} events/s" for rate in rates)
    return Line(what, ours, bare, rates.ratio, ">= 0.5", rates.ratio >= 0.5)


def _times(what: str, taken: Seconds, most: float) -> Line:
    """At most so many times as long as the bare reference."""
    assert taken.ratio is not None
    assert taken.bare is not None
    return Line(what, _said(taken.ours), _said(taken.bare), taken.ratio, f"<= {most:g}", taken.ratio <= most)


def _under(what: str, taken: Seconds, most: float) -> Line:
    return Line(what, _said(taken.ours), "", None, f"< {_said(most)}", taken.ours < most)


def _said(seconds: float) -> str:
    return f"{seconds:,.2f} s" if seconds >= 1 else f"{1000 * seconds:,.1f} ms"


def _scan(quick: bool) -> Iterable[Line]:
    events, agents = (20_000, 1000) if quick else (100_000, 5000)
    for days in (60, 600):
        taken = scanning.new_events(events=events, agents=agents, days=days)
        yield _times(f"scan of {events:,} new events, {agents:,} agents, {days} days", taken, 5)


def _idle(quick: bool) -> Iterable[Line]:
    agents = 1000 if quick else 5000
    yield _under(f"scan with nothing new, {agents:,} agents", scanning.nothing_new(agents=agents), 0.05)


def _count(quick: bool) -> Iterable[Line]:
    events = 1_000_000 if quick else 10_000_000
    taken = scanning.from_scratch(events=events)
    yield _times(f"counting {events:,} events from scratch", taken, 2)


def _numpy(quick: bool) -> Iterable[Line]:
    yield _under("5,000 series x 60 days of hours into numpy", scanning.into_numpy(), 1)


def _list(quick: bool) -> Iterable[Line]:
    anomalies = 50_000 if quick else 1_000_000
    with pages.seen_by_viewer(anomalies) as client:
        for page, taken in pages.list_of(client):
            if taken.bare is not None:
                yield _times(f"list of {anomalies:,} anomalies: {page}", taken, 2)
            yield _under(f"list of {anomalies:,} anomalies: {page}", taken, 0.1)
        for what, taken in pages.asked_after(client):
            yield _under(f"list of {anomalies:,} anomalies: {what}", taken, 0.1)
        size = pages.first_page_bytes(client)
        yield Line("first page with its style and scripts", f"{size / 1000:.1f} kB", "", None, "< 60 kB", size < 60_000)


def _alerts(quick: bool) -> Iterable[Line]:
    anomalies = 50_000 if quick else 1_000_000
    with alerts.asked_by_key(anomalies) as client:
        for what, taken in alerts.list_of(client):
            yield _times(f"100 alerts of {anomalies:,}: {what}", taken, 2)


def _details(quick: bool) -> Iterable[Line]:
    anomalies, events = (50_000, 1_000_000) if quick else (1_000_000, 10_000_000)
    with pages.seen_by_viewer(anomalies) as client:
        for what, taken in pages.details_of(client, events):
            yield _under(f"{events:,} events: {what}", taken, 0.2)


def _threats(quick: bool) -> Iterable[Line]:
    anomalies = 50_000 if quick else 1_000_000
    for what, taken in threats.listed(anomalies):
        yield _times(f"100 of {anomalies:,} {what}", taken, 2)


def _deviations(quick: bool) -> Iterable[Line]:
    anomalies = 50_000 if quick else 1_000_000
    for what, taken in deviations.listed(anomalies):
        yield _times(f"100 of {anomalies:,} groups of metrics: {what}", taken, 2)


def _bulk(quick: bool) -> Iterable[Line]:
    anomalies = 20_000 if quick else 100_000
    for verb, taken in reviewing.bulk_of(anomalies).items():
        what = f"{verb} {anomalies // 10:,} of {anomalies:,} anomalies at once"
        yield _under(what, taken, 2)
        yield _times(what, taken, 4)


BUDGETS = (
    Budget(
        "http",
        "a view of msgspec and one COPY, called without Django's middleware",
        lambda quick: [_rate("HTTP ingest, 1,000 events a call", ingest.http())],
    ),
    Budget(
        "file",
        "one COPY of the same rows, read and spelled before",
        lambda quick: [_rate("file ingest", ingest.file(events=20_000 if quick else 100_000))],
    ),
    Budget(
        "scan", "one SQL statement that upserts the same buckets into a table of today's alone; judges nobody", _scan
    ),
    Budget("idle", "", _idle),
    Budget("count", "one CREATE TABLE AS with GROUP BY GROUPING SETS of the same buckets, no index", _count),
    Budget("numpy", "", _numpy),
    Budget("list", "the page's SQL by its index and the template of a row, 50 times; no login, no filters", _list),
    Budget("alerts", "the list's SQL by its index, its rows as models and JSON; no request, no key", _alerts),
    Budget("threats", "the rows of the answer and their number as two statements in SQL; no key, no JSON", _threats),
    Budget(
        "deviations",
        "the rows of the answer and their number as SQL, and a group's JSON; no request, no key",
        _deviations,
    ),
    Budget("details", "", _details),
    Budget(
        "bulk",
        "one UPDATE and two INSERTs of as many rows; nothing is checked, nor what was so before kept or told",
        _bulk,
    ),
)
