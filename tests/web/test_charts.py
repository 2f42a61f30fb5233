"""web/charts: no peak is lost, the interval is marked, everything can be read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from anomalies.services.evidence import Band, BandedSeries
from anomalies.web.charts import CHARACTER, HEIGHT, MOST_POINTS, WIDTH, draw, merged
from tests import make

END = make.NOW


def banded(count: int = 288, *, peak: int = 412, width: int = 300) -> BandedSeries:
    """A day of 38 requests in each bucket, the last of which has the peak."""
    first = END.timestamp() - count * width
    return BandedSeries(
        name="what=requests.agent=ag_billing",
        unit="requests",
        resolution_seconds=width,
        times=[first + i * width for i in range(count)],
        observed=[*[38] * (count - 1), peak][-count:] if count else [],
        expected=[38.0] * count,
        lower=[21.0] * count,
        upper=[61.0] * count,
    )


def test_a_chart_without_points_is_none() -> None:
    assert draw(banded(0), start=END, end=END) is None


@pytest.mark.parametrize("count", [1, 2, 24, 288, 720, 8640])
def test_everything_lies_within_the_drawing(count: int) -> None:
    chart = draw(banded(count), start=END - timedelta(minutes=5), end=END)
    assert chart is not None
    for points in (chart.band, chart.observed, *chart.expected):
        for pair in points.split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
    assert len(chart.hovers) <= MOST_POINTS
    assert len(chart.table) <= 48


@pytest.mark.parametrize("most", [1, 7, 48, 144])
def test_merging_keeps_what_is_furthest_outside(most: int) -> None:
    series = banded(288)
    series.observed[100] = 0
    points = merged(series, most)
    assert len(points) <= most
    assert max(point.observed for point in points) == 412
    if most > 2:
        assert min(point.observed for point in points) == 0


def test_merging_keeps_the_peaks_within_the_band() -> None:
    series = banded(288, peak=38)
    series.lower[:] = [0.0] * 288
    series.upper[10] = 90.0
    series.observed[10:12] = [80, 0]
    assert max(point.observed for point in merged(series, 144)) == 80


def test_a_limit_is_told_as_what_is_allowed_and_no_band_as_nothing() -> None:
    limited = replace(banded(), band=Band.LIMIT, window_seconds=3600, upper=[4.0] * 288, expected=[4.0] * 288)
    chart = draw(limited, start=END, end=END)
    assert chart is not None
    assert (chart.measure, chart.means) == ("requests within 1 hour", "limit")
    assert chart.hovers[-1].text == "20 Nov 11:55 UTC: 412 requests, 4 are allowed"
    assert [tick.text for tick in chart.values] == ["412", "4"]
    bare = draw(replace(banded(), band=Band.NONE, window_seconds=300), start=END, end=END)
    assert bare is not None
    assert (bare.measure, bare.means) == ("requests in 5 minutes", "")
    assert bare.hovers[-1].text == "20 Nov 11:55 UTC: 412 requests"
    assert [tick.text for tick in bare.values] == ["412"]


def test_an_interval_within_a_bucket_is_labelled_with_that_bucket() -> None:
    series = banded(24, peak=100, width=3600)
    series.observed[3] = 150
    chart = draw(series, start=END - timedelta(minutes=50), end=END - timedelta(minutes=45))
    assert chart is not None
    assert chart.values[0].text == "100"


def test_the_interval_is_marked_wide_enough_to_be_seen() -> None:
    chart = draw(banded(720, width=3600), start=END - timedelta(minutes=5), end=END)
    assert chart is not None
    assert chart.marked is not None
    assert chart.marked[1] >= 6
    assert chart.marked_words == "20 Nov 11:55 UTC to 20 Nov 12:00 UTC"


def test_a_band_far_above_all_that_came_leaves_the_peak_to_be_seen() -> None:
    series = banded(24, peak=100, width=3600)
    series.upper[:] = [5000.0] * 24
    chart = draw(series, start=END - timedelta(hours=1), end=END)
    assert chart is not None
    peak = min(float(pair.split(",")[1]) for pair in chart.observed.split())
    assert peak < chart.floor - chart.plot_height / 4


def test_what_is_expected_above_the_drawing_leaves_a_gap_in_its_line() -> None:
    series = banded(24, peak=100, width=3600)
    series.expected[:2] = [5000.0] * 2
    series.expected[8:16] = [5000.0] * 8
    chart = draw(series, start=END - timedelta(hours=1), end=END)
    assert chart is not None
    steps = chart.observed.split()
    xs = [[pair.split(",")[0] for pair in line.split()] for line in chart.expected]
    assert xs == [[pair.split(",")[0] for pair in steps[2 * a : 2 * b]] for a, b in ((2, 8), (16, 24))]
    assert {pair.split(",")[1] for line in chart.expected for pair in line.split()} == {steps[5].split(",")[1]}


def test_what_a_drop_fell_from_is_within_the_drawing() -> None:
    series = banded(24, peak=0, width=3600)
    series.observed[:] = [0] * 24
    series.expected[:] = [2.0] * 8 + [400.0] * 8 + [2.0] * 8
    series.lower[:] = [0.0] * 8 + [340.0] * 8 + [0.0] * 8
    series.upper[:] = [8.0] * 8 + [460.0] * 8 + [8.0] * 8
    chart = draw(series, start=END - timedelta(hours=16), end=END - timedelta(hours=8))
    assert chart is not None
    (line,) = chart.expected
    assert len(line.split()) == 2 * 24
    heights = [float(pair.split(",")[1]) for pair in line.split()]
    assert chart.top < min(heights) < chart.floor - chart.plot_height / 2
    assert max(heights) > chart.floor - 2


def test_an_interval_out_of_sight_is_not_marked() -> None:
    chart = draw(banded(), start=END - timedelta(days=9), end=END - timedelta(days=8))
    assert chart is not None
    assert chart.marked is None


@pytest.mark.parametrize("count", [24, 288, 720])
def test_the_mark_lies_over_the_step_of_its_bucket(count: int) -> None:
    series = banded(count, peak=38)
    series.observed[count // 2] = 412
    start = datetime.fromtimestamp(series.times[count // 2], UTC)
    chart = draw(series, start=start, end=start + timedelta(minutes=5))
    assert chart is not None
    assert chart.marked is not None
    points = [tuple(map(float, pair.split(","))) for pair in chart.observed.split()]
    peak = [x for x, y in points if y == min(y for _, y in points)]
    assert len(peak) == 2
    middle = chart.marked[0] + chart.marked[1] / 2
    assert peak[0] - 0.1 <= middle <= peak[1] + 0.1


def test_the_anomalous_bucket_is_labelled_not_a_higher_one() -> None:
    series = banded(24, peak=100, width=3600)
    series.observed[3] = 150
    series.upper[3] = 1000.0
    chart = draw(series, start=END - timedelta(hours=1), end=END)
    assert chart is not None
    assert [tick.text for tick in chart.values] == ["100", "38"]


def test_the_year_is_told_of_another_year(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomalies.web.charts.this_year", lambda: "2031")
    chart = draw(banded(168, width=3600), start=END, end=END)
    assert chart is not None
    assert chart.times[-1].text == "20 Nov 2026"
    assert chart.days == "13 Nov 2026 to 20 Nov 2026"
    assert chart.hovers[-1].text.startswith("20 Nov 2026 11:00 UTC")


def test_the_table_says_that_it_is_a_selection() -> None:
    whole, part = draw(banded(24), start=END, end=END), draw(banded(288), start=END, end=END)
    assert whole is not None
    assert whole.selection == ""
    assert part is not None
    assert part.selection == "A selection: of every 6 values the one furthest outside its band"


def test_hovering_tells_the_numbers() -> None:
    chart = draw(banded(24, width=3600), start=END, end=END)
    assert chart is not None
    assert chart.hovers[-1].text == "20 Nov 11:00 UTC: 412 requests, expected 38 (21 to 61)"
    assert [tick.text for tick in chart.values] == ["412", "38"]
    assert chart.measure == "requests in 1 hour"
    assert chart.table[-1].outside
    assert chart.table[-1].time == datetime(2026, 11, 20, 11, tzinfo=UTC)


def test_the_time_axis_has_round_times_of_the_reviewers_clock() -> None:
    with timezone.override(ZoneInfo("Asia/Kolkata")):
        day = draw(banded(), start=END, end=END)
        week = draw(banded(168, width=3600), start=END, end=END)
    assert day is not None
    assert [tick.text for tick in day.times] == ["18:00", "00:00", "06:00", "12:00", "17:30"]
    assert week is not None
    assert [tick.text for tick in week.times] == ["15 Nov", "17 Nov", "20 Nov"]


@pytest.mark.parametrize("days", [*range(1, 40), 90, 400])
def test_no_time_is_written_into_the_next(days: int) -> None:
    """As wide as letters are on a phone, where they are largest."""
    chart = draw(banded(24 * days, width=3600), start=END, end=END)
    assert chart is not None
    *rest, last = chart.times
    starts = [tick.x for tick in rest] + [last.x - CHARACTER * len(last.text)]
    assert all(tick.x + CHARACTER * len(tick.text) < start for tick, start in zip(rest, starts[1:], strict=True))
