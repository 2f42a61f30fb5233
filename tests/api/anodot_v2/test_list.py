"""api/anodot_v2: the list and the count, their parameters, and what is a group."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from anomalies.api.anodot_v2.parameters import Filters
from anomalies.models import Anomaly, Metric
from anomalies.services import bookmarks, merging
from tests import make
from tests.api.anodot_v2.expected import BASE, GROUP, LISTED_AT, at, deviating, error, ids, of_the_seed
from tests.api.conftest import Call

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def test_the_list_is_as_documented(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_seed()
    monkeypatch.setattr(timezone, "now", lambda: LISTED_AT)
    answer = call("GET", BASE)
    assert answer["content-type"] == "application/json"
    assert answer.json() == {"total": 1, "pagingMax": 1000, "anomalies": [GROUP]}


def test_an_empty_list_is_as_documented(call: Call) -> None:
    assert call("GET", BASE).json() == {"total": 0, "pagingMax": 1000, "anomalies": []}


def test_the_count_is_as_documented(call: Call) -> None:
    deviating("a", started_at=at(1648512000), active_until=at(1648512600))
    deviating("b", started_at=at(1648598400), active_until=at(1648598700))
    deviating("c", started_at=at(1648598401), active_until=at(1648598700))
    assert call("GET", f"{BASE}/count?startDate=1648512000&endDate=1648598400").json() == {"total": 2}


def test_what_is_no_deviation_of_its_own_is_not_listed(call: Call) -> None:
    whole = deviating("whole").anomaly
    deviating("part", merged_into=whole)
    deviating("withdrawn", state="withdrawn")
    assert ids(call) == ["whole"]
    [group] = call("GET", BASE).json()["anomalies"]
    assert group["mergedIds"] == ["part"]


def test_one_of_which_no_metric_is_known_is_told_without_any(call: Call) -> None:
    make.anomaly(public_id="bare", state="closed", ended_at=make.NOW)
    [group] = call("GET", BASE).json()["anomalies"]
    assert (group["metricsCount"], group["metrics"]) == ({"total": 0, "anomalyTotal": 0}, [])
    for asked in ({"delta": 1}, {"valueDirection": "up"}, {"q": "what=!nothing"}):
        assert ids(call, **asked) == []
    assert ids(call, delta=0, valueDirection="both") == ["bare"]


def test_the_name_is_what_it_is_called_or_the_sentence_that_tells_it(call: Call) -> None:
    deviating("a", title="Nightly export")
    deviating("b", started_at=make.NOW - HOUR)
    names = [one["name"] for one in call("GET", BASE).json()["anomalies"]]
    assert names == ["Nightly export", "412 requests in 5 minutes, 38 expected"]


def test_start_and_end_are_inclusive_and_of_the_start(call: Call) -> None:
    for number in range(4):
        deviating(str(number), started_at=at(1000 + number), active_until=at(9000))
    assert ids(call, startDate=1001, endDate=1002) == ["2", "1"]
    assert ids(call, startDate=1003) == ["3"]
    assert ids(call, endDate=1000) == ["0"]
    assert ids(call, startDate="1001.0", endDate="-5") == []


def test_a_start_in_a_part_of_a_second_is_found_by_the_second_that_is_told(call: Call) -> None:
    deviating("a", started_at=at(1000.5), active_until=at(1010.75))
    [group] = call("GET", f"{BASE}?startDate=1000&endDate=1000").json()["anomalies"]
    assert (group["startDate"], group["endDate"], group["duration"]) == (1000, 1010, 10)


def test_the_end_is_left_out_of_account_for_what_is_open(call: Call) -> None:
    deviating("closed", started_at=at(2000), active_until=at(3000))
    deviating("open", state="open", ended_at=None, started_at=at(2000))
    assert ids(call, state="open", endDate=1000) == ["open"]
    assert ids(call, state="closed", endDate=1000) == ids(call, state="both", endDate=1000) == []
    assert call("GET", f"{BASE}?state=open").json()["anomalies"][0]["endDate"] is None


@pytest.mark.parametrize(("state", "found"), [("open", "o"), ("closed", "c"), ("both", "oc"), ("", "oc")])
def test_state_is_the_deviations_not_the_reviewers(call: Call, state: str, found: str) -> None:
    deviating("c", started_at=make.NOW - HOUR)
    decided = {"status": "resolved", "resolved_at": make.NOW, "verdict": "benign"}
    deviating("o", state="open", ended_at=None, **decided)
    assert ids(call, state=state) == [*found]


SECONDS = {"short": 60, "medium": 300, "long": 3600, "longlong": 86_400, "weekly": 604_800}
SPELT = {"short": ["short", "small", "1m"], "medium": ["medium", "5m"], "long": ["long", "1h"],
         "longlong": ["longlong", "1d"], "weekly": ["weekly", "1w"]}  # fmt: skip


@pytest.mark.parametrize(("told", "spelt"), [(told, one) for told, all_ in SPELT.items() for one in all_])
def test_resolution_has_many_spellings_and_is_told_in_one(call: Call, told: str, spelt: str) -> None:
    for name, seconds in SECONDS.items():
        deviating(name, resolution_seconds=seconds)
    assert ids(call, resolution=spelt) == [told]
    [group] = call("GET", f"{BASE}?resolution={spelt}").json()["anomalies"]
    assert group["resolution"] == told


def test_resolutions_are_a_list_and_none_is_all(call: Call) -> None:
    for number, (name, seconds) in enumerate(SECONDS.items()):
        deviating(name, resolution_seconds=seconds, started_at=make.NOW - number * HOUR)
    assert ids(call, resolution="short, 1h,,weekly") == ["short", "long", "weekly"]
    assert ids(call, resolution="") == [*SECONDS]
    deviating("of a rule", resolution_seconds=7200)
    assert ids(call, resolution="long") == ["of a rule", "long"]


@pytest.mark.parametrize(
    ("unit", "value", "found"),
    [
        ("seconds", 3600, True), ("seconds", 3601, False), ("minutes", 60, True), ("minutes", "60.5", False),
        ("hours", 1, True), ("hours", 2, False), ("days", "0.04", True), ("days", 1, False), ("", 3600, True),
        ("", 3601, False), ("days", "9" * 18, False), ("hours", 0, True), ("hours", "", True),
    ],
)  # fmt: skip
def test_duration_is_the_least_in_its_unit(call: Call, unit: str, value: Any, found: bool) -> None:
    deviating("closed", started_at=make.NOW - HOUR)
    now = timezone.now()
    deviating("open", state="open", ended_at=None, started_at=now - HOUR - SECOND, active_until=now)
    wanted = sorted(["closed", "open"]) if found else []
    shown = sorted(ids(call, durationUnit=unit, durationValue=value))
    assert shown == wanted or (value == 3601 and shown == ["open"])  # it has gone on for a second more


@pytest.mark.parametrize(
    ("score", "found"), [("0", "ba"), ("0.5", "ba"), ("0.51", "b"), ("50", "ba"), ("95", "b"), ("0.95", "b"),
                         ("96", ""), ("1", ""), ("100", ""), ("1.5", "ba"), ("5e-1", "ba"), ("", "ba")]
)  # fmt: skip
def test_score_is_the_least_as_a_share_or_percent(call: Call, score: str, found: str) -> None:
    deviating("a", score=0.5, started_at=make.NOW - HOUR)
    deviating("b", score=0.95)
    assert ids(call, score=score) == [*found]


@pytest.mark.parametrize(
    ("bookmark", "found"),
    [("all", "ab"), ("none", "c"), ("ana", "a"), ("!ana", "bc"), ("*ana", "bc"), ("*", "ac"), ("", "abc")],
)
def test_bookmarks_are_of_each_user(call: Call, ana: User, bookmark: str, found: str) -> None:
    me = User.objects.create_user("ci")  # as the key is called
    for number, name in enumerate("abc"):
        deviating(name, started_at=make.NOW - number * HOUR - SECOND)
    bookmarks.add(Anomaly.objects.get(public_id="a"), user=ana, at=make.NOW)
    bookmarks.add(Anomaly.objects.get(public_id="b"), user=me, at=make.NOW)
    assert ids(call, bookmark=bookmark) == [*found]


def test_a_key_without_a_user_of_its_name_has_marked_nothing(call: Call, ana: User) -> None:
    bookmarks.add(deviating("a").anomaly, user=ana, at=make.NOW)
    assert ids(call, bookmark="*") == ["a"]


def test_nobody_of_that_name_is_told(call: Call) -> None:
    for name in ("bob", "!bob", "*bob", "\x00"):
        error(call("GET", f"{BASE}?{urlencode({'bookmark': name})}"), 400, "bookmark")


def above(name: str, peak: float, **fields: Any) -> None:
    deviating(name, interval={"peak": peak, "upper": 100.0, "lower": 50.0, "up": peak > 100}, **fields)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"delta": 50}, "cab"), ({"delta": 50.1}, "ca"), ({"delta": 50, "deltaType": "percentage"}, "cab"),
        ({"delta": 45, "deltaType": "absolute"}, "ab"), ({"delta": 50.5, "deltaType": "absolute"}, "a"),
        ({"delta": 45, "deltaType": "absolute", "valueDirection": "down"}, ""),
        ({"delta": 40, "deltaType": "absolute", "valueDirection": "down"}, "c"),
        ({"delta": 80, "valueDirection": "down"}, "c"), ({"delta": 80, "valueDirection": "up"}, "a"),
        ({"valueDirection": "up"}, "ab"), ({"valueDirection": "down"}, "c"), ({"valueDirection": "both"}, "cab"),
        ({"delta": "", "deltaType": "", "valueDirection": ""}, "cab"), ({"delta": 0}, "cab"),
        ({"deltaType": "absolute"}, "cab"), ({"delta": "1e3"}, ""),
    ],
)  # fmt: skip
def test_delta_is_the_least_of_the_peak_to_the_band(call: Call, asked: dict[str, Any], found: str) -> None:
    above("a", 200)  # 100, 100 %
    above("b", 150, started_at=make.NOW - HOUR)  # 50, 50 %
    above("c", 10, started_at=make.NOW)  # 40 below, 80 %
    assert ids(call, **asked) == [*found]


def test_what_is_above_nothing_is_more_than_any_percentage(call: Call) -> None:
    deviating("a", interval={"peak": 3, "upper": 0, "lower": 0})
    assert ids(call, delta=1e9) == ["a"]
    assert ids(call, delta=4, deltaType="absolute") == []
    [group] = call("GET", BASE).json()["anomalies"]
    metric = group["metrics"][0]
    assert (metric["maxBreach"], metric["maxBreachPercentage"], metric["delta"]) == (3, None, None)


def test_one_metric_has_to_pass_all_that_is_asked_of_metrics(call: Call) -> None:
    first = deviating("a", interval={"peak": 200, "upper": 100})
    second = make.metric(first.anomaly, action="token.issue")
    make.interval(second, peak=10, upper=100, lower=50, up=False)
    assert ids(call, q="action=token.issue", valueDirection="down") == ["a"]
    assert ids(call, q="action=token.issue", valueDirection="up") == []
    assert ids(call, q="action=token.issue", delta=90) == []
    assert ids(call, valueDirection="down", delta=90) == []
    assert ids(call, valueDirection="up", delta=90) == ["a"]


def test_only_metrics_that_pass_are_told_and_both_are_counted(call: Call) -> None:
    first = deviating("a")
    make.interval(make.metric(first.anomaly, action="token.issue", score=0.2))
    for asked, names in (
        ({}, [first.name, f"{first.name}.action=token.issue"]),
        ({"q": "action=token.issue"}, [f"{first.name}.action=token.issue"]),
        ({"q": "action=!token.issue"}, [first.name]),
    ):
        [group] = call("GET", f"{BASE}?{urlencode(asked)}").json()["anomalies"]
        assert [one["name"] for one in group["metrics"]] == names
        assert group["metricsCount"] == {"total": len(names), "anomalyTotal": 2}


def test_a_metric_is_told_at_the_resolution_at_which_it_deviates_most(call: Call) -> None:
    metric = deviating("a")
    make.interval(metric, resolution_seconds=3600, started_at=make.NOW - HOUR, peak=5000, main=False)
    [group] = call("GET", BASE).json()["anomalies"]
    [told] = group["metrics"]
    assert (len(told["currentAnomalyIntervals"]), told["maxBreach"]) == (1, 351)
    assert ids(call, delta=352, deltaType="absolute") == []


def test_a_metric_with_several_intervals_sums_them_up(call: Call) -> None:
    metric = deviating("a", interval={"peak": 100, "sum_deltas": 39})
    make.interval(metric, started_at=make.NOW - HOUR, ended_at=make.NOW - HOUR / 2, peak=5, sum_deltas=20, up=False)
    make.interval(metric, started_at=make.NOW - 2 * HOUR, ended_at=make.NOW - HOUR, peak=70, state="open")
    [group] = call("GET", BASE).json()["anomalies"]
    [told] = group["metrics"]
    assert (told["upperAbsoluteDelta"], told["lowerAbsoluteDelta"], told["maxBreach"]) == (39, 16, 39)
    assert told["lowerPercentageDelta"] == told["maxBreachPercentage"] == 16 / 21 * 100
    assert (told["anomalySumDeltas"], told["state"]) == (59, "open")
    assert told["currentAnomalyIntervals"][0]["endDate"] is None
    starts = [one[0] for one in told["anomalies"]]
    assert starts == sorted(starts)


def sortable() -> None:
    """By each order another: a, b and c; what is open is d."""
    now = timezone.now()
    day = timedelta(days=1)
    deviating("a", started_at=now - 9 * day, active_until=now - 8 * day, score=0.2,
              interval={"peak": 300, "upper": 200})  # fmt: skip
    deviating("b", started_at=now - 8 * day, active_until=now - 2 * day, score=0.1,
              interval={"peak": 120, "upper": 60})  # fmt: skip
    deviating("c", started_at=now - 5 * day, active_until=now - 3 * day, score=0.3,
              interval={"peak": 100, "upper": 20})  # fmt: skip
    deviating("d", started_at=now - 4 * day, active_until=now, score=0.15, state="open", ended_at=None,
              interval={"peak": 10, "upper": 5, "lower": 9, "up": False})  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, "abcd"), ({"sort": "startDate"}, "abcd"), ({"sort": "startData"}, "abcd"), ({"sort": "endDate"}, "acbd"),
        ({"sort": "duration"}, "acdb"), ({"sort": "score"}, "bdac"), ({"sort": "significance"}, "bdac"),
        ({"sort": "delta"}, "dabc"), ({"sort": "delta", "deltaType": "percentage"}, "dabc"),
        ({"sort": "delta", "deltaType": "absolute"}, "dbca"), ({"sort": ""}, "abcd"),
    ],
)  # fmt: skip
def test_every_order_has_two_directions(call: Call, asked: dict[str, str], found: str) -> None:
    sortable()
    assert ids(call, **asked, order="asc") == [*found]
    assert ids(call, **asked, order="desc") == ids(call, **asked) == ids(call, **asked, order="") == [*found[::-1]]


@pytest.mark.parametrize("sort", ["startDate", "endDate", "duration", "score", "delta"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_are_the_parts_of_the_list(call: Call, sort: str, order: str) -> None:
    for name in "abcdef":  # the same in all
        deviating(name)
    for name in "gh":
        make.anomaly(public_id=name, state="closed", ended_at=make.NOW, started_at=make.NOW - HOUR / 12)
    sortable_ids = ids(call, sort=sort, order=order, size=100)
    assert sorted(sortable_ids) == [*"abcdefgh"]
    paged = [ids(call, sort=sort, order=order, index=index, size=3) for index in range(0, 9, 3)]
    assert list(itertools.chain.from_iterable(paged)) == sortable_ids


def test_what_has_no_delta_comes_last(call: Call) -> None:
    deviating("a")
    make.anomaly(public_id="bare", state="closed", ended_at=make.NOW)
    for order in ("asc", "desc"):
        assert ids(call, sort="delta", order=order) == ["a", "bare"]


def test_beyond_the_most_that_can_be_paged_there_is_nothing(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomalies.api.anodot_v2.parameters.PAGING_MAX", 2)
    for name in "abc":
        deviating(name)
    for sort in ("startDate", "duration", "delta"):
        body = call("GET", f"{BASE}?size=100&sort={sort}").json()
        assert (body["total"], len(body["anomalies"])) == (3, 2)
        assert ids(call, index=2, sort=sort) == []
    assert ids(call, size=0) == []


def test_filters_combine(call: Call, ana: User) -> None:
    asked = {
        "q": '{"expression":[{"type":"property","key":"agent","value":"ag_billing"}]}',
        "startDate": int((make.NOW - HOUR).timestamp()), "endDate": int(make.NOW.timestamp()), "state": "closed",
        "resolution": "medium", "durationUnit": "minutes", "durationValue": 5, "score": 90, "bookmark": "ana",
        "valueDirection": "up", "deltaType": "absolute", "delta": 351, "sort": "delta", "order": "asc",
    }  # fmt: skip
    usual = {"resolution_seconds": 300}
    others: dict[str, dict[str, Any]] = {
        "q": {"agent": make.agent("ag_other"), "metric": {"entity": "ag_other"}},
        "startDate": {"started_at": make.NOW - 2 * HOUR},
        "state": {"state": "open", "ended_at": None},
        "resolution": {"resolution_seconds": 60},
        "durationValue": {"started_at": make.NOW - timedelta(minutes=4)},
        "score": {"score": 0.89},
        "valueDirection": {"interval": {"peak": 1, "lower": 500, "up": False}},
        "delta": {"interval": {"peak": 411}},
    }
    for name, fields in {"meant": {}, **others, "bookmark": {}}.items():
        made = deviating(name, **{**usual, **fields})
        if name != "bookmark":
            bookmarks.add(made.anomaly, user=ana, at=make.NOW)
    assert ids(call, **asked) == ["meant"]
    for name in others:
        without = {key: value for key, value in asked.items() if key != name}
        assert "meant" in ids(call, **without)
        assert name in ids(call, **without), name


WRONG = {
    "startDate": ["now", "2020-01-01", "1e20", "٣", "NaN", "1_0", "253402300800", "1614507300000"],
    "endDate": ["x", "inf"],
    "state": ["opened", "OPEN", "open,closed", "'; --", "\x00"],
    "resolution": ["hourly", "short;medium", "short,2h", "\x00"],
    "durationUnit": ["weeks", "minute"],
    "durationValue": ["-1", "five", "1e999", "nan"],
    "score": ["-0.1", "100.1", "high", "NaN", "1e999", "٣"],
    "sort": ["id", "startdate", "-score", "score;drop"],
    "order": ["up", "DESC", "asc "],
    "index": ["-1", "1.5", "x", "9" * 19],
    "size": ["-1", "ten", "٣"],
    "valueDirection": ["left", "UP"],
    "deltaType": ["percent", "abs"],
    "delta": ["-1", "x", "inf", "1_0"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_another_value_is_400_naming_the_parameter(call: Call, name: str, value: str) -> None:
    error(call("GET", f"{BASE}?{urlencode({name: value})}"), 400, name)


def test_all_that_is_wrong_is_named(call: Call) -> None:
    body = call("GET", f"{BASE}?score=x&state=y").json()
    assert {one["error"] for one in body["errors"]} == {"score", "state"}


@pytest.mark.parametrize("path", [BASE, f"{BASE}/count"])
def test_a_parameter_that_is_there_twice_is_400(call: Call, path: str) -> None:
    error(call("GET", f"{path}?score=1&score=2"), 400, "score")


def test_what_is_unknown_or_empty_is_left_out_of_account(call: Call) -> None:
    deviating("a")
    names = ["q", *WRONG, "bookmark", "anomalyType", "correlation", "baseline", "anomalyId", "metricId", "x"]
    assert call("GET", f"{BASE}?{'&'.join(f'{name}=' for name in names)}&&=&;").json()["total"] == 1
    query = "anomalyType=all&correlation=graph&startBucketMode=true&baseline=true&datapoints=true&foo=%00&foo=2"
    assert call("GET", f"{BASE}?{query}").json()["total"] == 1


def test_the_outermost_values_are_taken(call: Call) -> None:
    deviating("a")
    for name, value in (
        ("startDate", -3_300_000_000), ("startDate", -62_135_596_800), ("endDate", 253_402_300_799),
        ("durationValue", "9" * 18), ("delta", "1e300"), ("index", "9" * 18), ("size", "9" * 18),
    ):  # fmt: skip
        assert call("GET", f"{BASE}?{name}={value}").status_code == 200, name


def test_times_before_1970_and_after_3000_are_those(call: Call) -> None:
    """There is room before and after them to reckon with."""
    metric = deviating("a")
    for start in (-62_135_596_800, -1, 0, 253_402_300_799):
        for end in (-62_135_596_800, 0, 253_402_300_799):
            found = call("GET", f"{BASE}?startDate={start}&endDate={end}").json()["total"]
            assert found == (start <= 0 and end > 0)
            for path in ("a/metrics", f"a/metric/{metric.name}"):
                assert call("GET", f"{BASE}/{path}?startDate={start}&endDate={end}").status_code == 200, (start, end)
    parameters = Filters(startDate="-1", endDate="253402300799")
    assert parameters.start_date == datetime(1970, 1, 1, tzinfo=UTC)
    assert parameters.end_date == datetime(3000, 1, 1, tzinfo=UTC)


def test_the_list_costs_the_same_queries_for_any_length(call: Call, django_assert_num_queries: Any) -> None:
    call("GET", BASE)  # notes that the key was used
    for number in range(30):
        metric = deviating(f"a{number}")
        make.interval(make.metric(metric.anomaly, action="token.issue"))
    for size in (2, 30):
        with django_assert_num_queries(6):  # the key; the page; rows, metrics, intervals; the total
            assert len(call("GET", f"{BASE}?size={size}").json()["anomalies"]) == size
        with django_assert_num_queries(7):  # and which metrics pass
            assert len(call("GET", f"{BASE}?size={size}&valueDirection=up").json()["anomalies"]) == size
    with django_assert_num_queries(2):
        call("GET", f"{BASE}/count?delta=5&q={quote('agent=ag_billing')}&durationValue=1&score=1&valueDirection=up")


def test_after_a_merge_the_group_tells_what_came_to_it(call: Call) -> None:
    whole, part = deviating("whole").anomaly, deviating("part", metric={"entity": "ag_2"}, interval={"peak": 5000})
    merging.merge(part.anomaly, into=whole, scan=make.scan())
    [group] = call("GET", f"{BASE}?delta=4000&deltaType=absolute").json()["anomalies"]
    assert (group["id"], group["mergedIds"], group["metricsCount"]["total"]) == ("whole", ["part"], 1)
    assert Metric.objects.filter(anomaly=whole).count() == 2
