"""api/anodot_v2: one anomaly with its metrics, their data points and their bands."""

from datetime import timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from anomalies.models import Anomaly, BucketBlock, Interval, Metric, Rule
from anomalies.services import evidence, merging
from tests import make
from tests.api.anodot_v2.expected import BASE, GROUP, INVESTIGATED, deviating, error, investigated, of_the_seed
from tests.api.conftest import Call
from tests.services.days import MONDAY, SPIKE_SEEN, burst, run, store, usual

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
STARTED = MONDAY + timedelta(days=20, hours=10)


@pytest.fixture
def leak(db: None) -> Anomaly:
    """An agent that uses an action of its own, which its user and its address show as well."""
    store([*usual(20), *burst(STARTED, 300, action="secrets.read", principal_id="eve", ip="203.0.113.5")])
    run(SPIKE_SEEN)
    run(SPIKE_SEEN + 3 * HOUR)
    return Anomaly.objects.get(type="rate_spike", kind="agent")


# Without times a list is told over all that its metrics deviated, and one alone over what it did.
AROUND = {"startDate": int((STARTED - 2 * HOUR).timestamp()), "endDate": int((STARTED + 2 * HOUR).timestamp())}


def read(call: Call, path: str, **parameters: Any) -> Any:
    answer = call("GET", f"{BASE}/{path}?{urlencode(parameters)}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_an_investigation_is_as_documented(call: Call) -> None:
    investigated()
    assert call("GET", f"{BASE}/{INVESTIGATED['id']}/metrics?startDate=1614507300").json() == INVESTIGATED


def test_a_metric_is_as_documented(call: Call) -> None:
    investigated()
    [metric] = INVESTIGATED["metrics"]
    for name in (metric["id"], metric["name"]):
        assert call("GET", f"{BASE}/{INVESTIGATED['id']}/metric/{name}?startDate=1614507300").json() == metric


def test_it_is_told_as_in_the_list(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    of_the_seed()
    [listed] = call("GET", BASE).json()["anomalies"]
    told = read(call, f"{GROUP['id']}/metrics")
    assert {**told, "duration": 0} == {**listed, "duration": 0}


def test_data_points_and_baseline_show_the_deviation(call: Call, leak: Anomaly) -> None:
    told = read(call, f"{leak}/metrics")
    assert told["resolution"] == "medium"
    metric = next(one for one in told["metrics"] if one["name"] == "what=requests.agent=ag_billing")
    [interval] = metric["currentAnomalyIntervals"]
    observed, baseline = dict(metric["dataPoints"]), {time: edges for time, *edges in metric["baseline"]}
    assert observed.keys() == baseline.keys()
    assert observed[interval["startDate"]] == interval["peakValue"] == 300
    low, high = baseline[interval["startDate"]]
    assert low < high
    assert interval["absoluteDelta"] == pytest.approx(300 - high, abs=1)
    assert metric["lastNormalTime"] == interval["startDate"] - 300
    assert (
        baseline[metric["lastNormalTime"]][0]
        <= observed[metric["lastNormalTime"]]
        <= baseline[metric["lastNormalTime"]][1]
    )
    times = [time for time, _ in metric["dataPoints"]]
    assert times == sorted(times)
    assert {after - before for before, after in pairwise(times)} == {300}


def test_each_metric_has_points_of_its_own(call: Call, leak: Anomaly) -> None:
    told = read(call, f"{leak}/metrics", **AROUND)
    names = {one["name"] for one in told["metrics"]}
    assert names >= {"what=requests.agent=ag_billing", "what=requests.agent=ag_billing.action=secrets.read"}
    for metric in told["metrics"]:
        one = read(call, f"{leak}/metric/{metric['id']}", **AROUND)
        assert one == metric
        assert sum(count for _, count in one["dataPoints"]) >= 300


def test_the_time_of_the_points_is_as_asked_for(call: Call, leak: Anomaly) -> None:
    name = "what=requests.agent=ag_billing"
    start, end = int((STARTED - 2 * HOUR).timestamp()), int((STARTED + HOUR).timestamp())
    metric = read(call, f"{leak}/metric/{name}", startDate=start, endDate=end)
    assert [metric["dataPoints"][0][0], metric["dataPoints"][-1][0]] == [start, end]
    week = read(call, f"{leak}/metric/{name}", startDate=start - 6 * 86_400, endDate=end)
    assert week["dataPoints"][1][0] - week["dataPoints"][0][0] == 3600
    since = read(call, f"{leak}/metric/{name}", startDate=start)["dataPoints"]
    assert since[0][0] == start
    assert since[-1][0] > STARTED.timestamp()
    until = read(call, f"{leak}/metric/{name}", endDate=end)["dataPoints"]
    assert until[-1][0] == end
    for nothing in ({"startDate": end, "endDate": start}, {"endDate": 0}, {"startDate": 9_999_999_999}):
        assert read(call, f"{leak}/metric/{name}", **nothing)["dataPoints"] == []


def test_a_start_before_all_times_is_that_of_what_is_kept(call: Call, leak: Anomaly) -> None:
    """Grafana's data source asks so for what is open yet."""
    path = f"{leak}/metric/what=requests.agent=ag_billing"
    now = int(timezone.now().timestamp())
    points = read(call, path, startDate=-3_300_000_000, endDate=now)["dataPoints"]
    assert points[0][0] >= now - 401 * 86_400
    assert len(points) <= 401 * 24
    assert sum(count for _, count in points) > 3000


def test_points_of_what_is_counted_no_more_are_none(call: Call, leak: Anomaly) -> None:
    BucketBlock.objects.all().delete()
    Anomaly.objects.update(type="gone")
    metric = read(call, f"{leak}/metric/what=requests.agent=ag_billing")
    assert (metric["dataPoints"], metric["baseline"]) == ([], [])


def test_what_nobody_counts_by_time_has_no_points(call: Call, leak: Anomaly) -> None:
    meeting = make.metric(leak, what="new_principals")
    metric = read(call, f"{leak}/metric/{meeting.name}")
    assert (metric["dataPoints"], metric["baseline"], metric["currentAnomalyIntervals"]) == ([], [], [])
    assert (metric["maxBreach"], metric["delta"], metric["lastNormalTime"], metric["anomalySumDeltas"]) == (
        None, None, None, 0,
    )  # fmt: skip


def test_a_rule_has_its_limit_as_its_band(call: Call) -> None:
    Rule.objects.create(
        public_id="rule_1", name="Many", threshold=5, window_seconds=600, severity=3, scopes=[], in_force_since=MONDAY
    )
    store(burst(MONDAY, 9, seconds=10))
    run(MONDAY + HOUR)
    anomaly = Anomaly.objects.get(type="custom_rule")
    told = read(call, f"{anomaly}/metrics")
    [metric] = told["metrics"]
    assert max(count for _, count in metric["dataPoints"]) == 9
    assert {(low, high) for _, low, high in metric["baseline"]} == {(0, 4)}
    assert (metric["maxBreach"], metric["maxBreachPercentage"]) == (5, 125)
    assert told["resolution"] == "medium"  # of the windows of ten minutes: the next shorter one


def test_when_it_deviated_in_other_anomalies_is_told_beside(call: Call) -> None:
    metric = deviating("a", metric={"entity": "ag_7"})
    earlier = {"started_at": make.NOW - 3 * HOUR, "ended_at": make.NOW - 2 * HOUR}
    deviating("b", metric={"entity": "ag_7"}, interval=earlier)
    deviating("long ago", metric={"entity": "ag_7"},
              interval={"started_at": make.NOW - 90 * HOUR, "ended_at": make.NOW - 89 * HOUR})  # fmt: skip
    deviating("withdrawn", state="withdrawn", metric={"entity": "ag_7"}, interval=earlier)
    deviating("of another", interval=earlier)
    for told in (read(call, f"a/metric/{metric.name}"), read(call, "a/metrics")["metrics"][0]):
        [other] = told["otherAnomalyIntervals"]
        assert other["startDate"] == int((make.NOW - 3 * HOUR).timestamp())
        assert len(told["currentAnomalyIntervals"]) == 1
    [listed] = call("GET", f"{BASE}?q=agent=ag_7&startDate=1&size=1").json()["anomalies"]
    assert listed["metrics"][0]["otherAnomalyIntervals"] == []


def test_an_id_that_was_merged_leads_to_the_whole(call: Call) -> None:
    whole, part = deviating("whole").anomaly, deviating("part", metric={"entity": "ag_2"})
    merging.merge(part.anomaly, into=whole, scan=make.scan())
    told = read(call, "part/metrics")
    assert (told["id"], told["mergedIds"], told["metricsCount"]) == ("whole", ["part"], {"total": 2, "anomalyTotal": 2})
    assert read(call, f"part/metric/{part.name}")["name"] == part.name


def test_the_id_of_one_that_was_withdrawn_still_leads_to_it(call: Call) -> None:
    deviating("a", state="withdrawn")
    told = read(call, "a/metrics")
    assert (told["state"], told["endDate"]) == ("closed", int(make.NOW.timestamp()))


def test_only_metrics_that_pass_are_told(call: Call) -> None:
    first = deviating("a", score=0.5)
    make.interval(make.metric(first.anomaly, action="token.issue", score=0.2), peak=70)
    for asked, names in (
        ({"q": "action=token.issue"}, [f"{first.name}.action=token.issue"]),
        ({"q": "region=eu"}, []),
        ({"delta": 100, "deltaType": "absolute"}, [first.name]),
        ({"valueDirection": "down"}, []),
        ({"index": 1}, [f"{first.name}.action=token.issue"]),
        ({"size": 1}, [first.name]),
        ({"state": "open", "score": 99, "resolution": "weekly"}, [first.name, f"{first.name}.action=token.issue"]),
    ):
        assert [one["name"] for one in read(call, "a/metrics", **asked)["metrics"]] == names
    assert read(call, "a/metrics", index=1)["metricsCount"] == {"total": 2, "anomalyTotal": 2}


@pytest.mark.parametrize(("asked", "told"), [({}, 50), ({"size": 1000}, 50), ({"size": 3}, 3), ({"index": 50}, 2)])
def test_at_most_fifty_metrics_come_with_their_points(call: Call, asked: dict[str, int], told: int) -> None:
    first = deviating("a")
    for number in range(51):
        make.metric(first.anomaly, action=f"a{number}")
    answer = read(call, "a/metrics", **asked)
    assert len(answer["metrics"]) == told
    assert answer["metricsCount"] == {"total": 52, "anomalyTotal": 52}


@pytest.mark.parametrize("entity", ["a.b=c", "a/b", "a b", "a%2Fb", "ä", "a?b#c"])
def test_a_name_may_contain_anything(call: Call, entity: str) -> None:
    metric = deviating("a", metric={"entity": entity})
    for spelt in (
        quote(metric.name, safe=""),
        quote(metric.name, safe="=./"),
        quote(quote(metric.name, safe=""), safe=""),
    ):
        assert call("GET", f"{BASE}/a/metric/{spelt}").json()["name"] == metric.name, spelt


@pytest.mark.parametrize(
    ("path", "named"),
    [("a/metrics?size=0", "size"), ("a/metrics?size=1001", "size"), ("a/metrics?startDate=x", "startDate"),
     ("a/metrics?delta=-1", "delta"), ("a/metric/x?endDate=now", "endDate"),
     ("a/metric/x?endDate=1&endDate=2", "endDate")],
)  # fmt: skip
def test_another_value_is_400_naming_the_parameter(call: Call, path: str, named: str) -> None:
    deviating("a")
    error(call("GET", f"{BASE}/{path}"), 400, named)


def test_it_costs_the_same_queries_for_any_history(call: Call, leak: Anomaly, django_assert_num_queries: Any) -> None:
    path = f"{leak}/metric/what=requests.agent=ag_billing"
    first = read(call, path)
    for number in range(20):
        make.interval(Metric.objects.get(pk=Interval.objects.earliest("pk").metric_id),
                      started_at=STARTED - (number + 2) * HOUR, ended_at=STARTED - (number + 1) * HOUR)  # fmt: skip
    with django_assert_num_queries(16):
        again = read(call, path)
    assert len(again["dataPoints"]) >= len(first["dataPoints"])


def test_many_metrics_cost_no_more_queries_than_one_of_each_kind(
    call: Call, leak: Anomaly, django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "METRICS_AT_ONCE", 20)
    others = [f"ag_{number}" for number in range(2, 9)]
    store([one for agent in others for one in burst(STARTED, 20, agent_id=agent, seconds=9)])
    run(SPIKE_SEEN + 4 * HOUR)
    first = make.metric(leak, entity="ag_2")
    with CaptureQueriesContext(connection) as few:
        before = {one["name"]: one for one in read(call, f"{leak}/metrics", **AROUND)["metrics"]}
    for agent in others:
        for action in ("token.issue", "") if agent != "ag_2" else ("token.issue",):
            make.metric(leak, entity=agent, action=action)
    with django_assert_num_queries(len(few)):
        told = {one["name"]: one for one in read(call, f"{leak}/metrics", **AROUND)["metrics"]}
    assert len(told) == len(before) + 13
    assert {name: told[name] for name in before} == before
    for name in (first.name, "what=requests.agent=ag_8", "what=requests.agent=ag_8.action=token.issue"):
        assert sum(count for _, count in told[name]["dataPoints"]) == 20
        assert told[name] == read(call, f"{leak}/metric/{name}", **AROUND)
    monkeypatch.setattr(evidence, "METRICS_AT_ONCE", 3)  # more are read a few at a time, and are the same
    assert {one["name"]: one for one in read(call, f"{leak}/metrics", **AROUND)["metrics"]} == told
