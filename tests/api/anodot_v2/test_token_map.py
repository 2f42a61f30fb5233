"""api/anodot_v2: what metrics that deviate have in common."""

from typing import Any
from urllib.parse import urlencode

import pytest

from anomalies.models import Series
from tests import make
from tests.api.anodot_v2.expected import BASE, deviating, error
from tests.api.conftest import Call

pytestmark = pytest.mark.django_db

PATH = f"{BASE}/tokenMap"


def series(metric: str, entity: str, *, kind: str = "agent", action: str = "") -> None:
    Series.objects.create(
        metric=metric, kind=kind, entity=entity, action=action, first_time=make.NOW, last_time=make.NOW
    )


def token_map(call: Call, **parameters: Any) -> Any:
    answer = call("GET", f"{PATH}?{urlencode(parameters)}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def token(key: str, value: str, abnormal: int, total: int) -> dict[str, Any]:
    return {
        "key": key,
        "value": value,
        "weight": abnormal / total,
        "anomalyOccurrences": abnormal,
        "totalOccurrences": total,
    }


def test_the_map_is_as_documented(call: Call) -> None:
    """The seed's numbers: 30 of 309 metrics of one measure deviate, all of one server. Its weights are its own."""
    anomaly = deviating("36862597743148e0b2d70f95a5f56339", resolution_seconds=86_400).anomaly
    anomaly.metrics.all().delete()
    for number in range(309):
        series("failures", "ag_billing", action=f"action.{number}")
    for number in range(30):
        make.metric(anomaly, what="failures", action=f"action.{number}")
    [cluster] = token_map(call, anomalyId=anomaly.public_id, resolution="longlong", tokenMapClusterLimit=1)
    actions = token_map(call, anomalyId=anomaly.public_id, resolution="longlong")[0]["tokens"]
    assert cluster == {**token("what", "failures", 30, 309), "tokens": [token("action", "action.0", 1, 1)]}
    assert actions[-1] == token("agent", "ag_billing", 30, 309)


def test_clusters_and_tokens_weigh_by_how_much_of_them_deviates(call: Call) -> None:
    for agent in ("ag_1", "ag_2", "ag_3"):
        series("requests", agent)
        series("requests", agent, action="token.issue")
    series("failures", "user_7", kind="principal")
    deviating("a", metric={"entity": "ag_1"})
    deviating("b", metric={"entity": "ag_1", "action": "token.issue"})
    deviating("c", metric={"entity": "ag_2", "action": "token.issue"})
    deviating("d", metric={"what": "failures", "kind": "principal", "entity": "user_7"})
    assert token_map(call, q="{}") == [
        {**token("what", "failures", 1, 1), "tokens": [token("principal", "user_7", 1, 1)]},
        {
            **token("what", "requests", 3, 6),
            "tokens": [
                token("agent", "ag_1", 2, 2), token("action", "token.issue", 2, 3), token("agent", "ag_2", 1, 2),
            ],
        },
    ]  # fmt: skip


def test_what_nobody_counts_is_held_against_all_that_ever_deviated(call: Call) -> None:
    for agent in ("ag_1", "ag_2"):
        deviating(agent, metric={"what": "new_principals", "entity": agent})
    [cluster] = token_map(call, q="agent=ag_1")
    assert cluster == {**token("what", "new_principals", 1, 2), "tokens": [token("agent", "ag_1", 1, 1)]}


def test_the_same_metric_in_two_anomalies_counts_once(call: Call) -> None:
    series("requests", "ag_billing")
    deviating("a")
    deviating("b")
    assert token_map(call, q="{}")[0]["anomalyOccurrences"] == 1


def test_filters_choose_whose_metrics_they_are(call: Call) -> None:
    deviating("a", metric={"entity": "ag_1"}, score=0.5)
    deviating("b", metric={"entity": "ag_2"}, interval={"peak": 62})
    values = {token["value"] for token in token_map(call, q="what=requests", score=90)[0]["tokens"]}
    assert values == {"ag_2"}
    assert token_map(call, q="what=requests", delta=100)[0]["tokens"][0]["value"] == "ag_1"
    assert token_map(call, q="region=eu") == token_map(call, q="agent=nobody") == []


@pytest.mark.parametrize("spelt", ["tokenMapClusterLimit", "toklenMapClusterLimit"])
def test_clusters_and_tokens_are_as_many_as_asked_for(call: Call, spelt: str) -> None:
    for what in ("requests", "failures"):
        for agent in ("ag_1", "ag_2", "ag_3"):
            deviating(f"{what}{agent}", metric={"what": what, "entity": agent})
    clusters = token_map(call, q="{}", tokenMapClustersLimit=1, **{spelt: 2})
    assert [len(one["tokens"]) for one in clusters] == [2]
    assert [len(one["tokens"]) for one in token_map(call, q="{}")] == [3, 3]


def test_of_one_anomaly_it_is_told_at_its_resolution(call: Call) -> None:
    deviating("a", resolution_seconds=300)
    deviating("b", metric={"entity": "ag_2"}, resolution_seconds=300)
    [cluster] = token_map(call, anomalyId="a", resolution="medium,long")
    assert [one["value"] for one in cluster["tokens"]] == ["ag_billing"]
    assert token_map(call, anomalyId="a", resolution="long") == []
    assert token_map(call, anomalyId="a", resolution="5m", q="agent=ag_2") == []


def test_a_resolution_is_no_part_of_the_name_of_another(call: Call) -> None:
    deviating("a", resolution_seconds=3600)
    assert token_map(call, anomalyId="a", resolution="longlong") == []
    assert token_map(call, anomalyId="a", resolution="longlong,long") != []


@pytest.mark.parametrize(
    ("parameters", "named"),
    [({}, "q"), ({"q": ""}, "q"), ({"resolution": "short"}, "q"), ({"anomalyId": "a"}, "resolution"),
     ({"anomalyId": "a", "resolution": ","}, "resolution"), ({"q": "{}", "tokenMapClustersLimit": 0},
     "tokenMapClustersLimit"), ({"q": "{}", "toklenMapClusterLimit": 1001}, "toklenMapClusterLimit"),
     ({"q": "{}", "tokenMapClusterLimit": "x"}, "tokenMapClusterLimit"), ({"q": "{}", "score": 101}, "score")],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_named(call: Call, parameters: dict[str, Any], named: str) -> None:
    error(call("GET", f"{PATH}?{urlencode(parameters)}"), 400, named)


def test_an_anomaly_that_there_is_not_is_404(call: Call) -> None:
    error(call("GET", f"{PATH}?anomalyId=x&resolution=short"), 404, "NOT_FOUND")


def test_it_costs_the_same_queries_for_any_length(call: Call, django_assert_num_queries: Any) -> None:
    call("GET", BASE)  # notes that the key was used
    for number in range(5):
        deviating(f"a{number}", metric={"entity": f"ag_{number}"})
    with django_assert_num_queries(2):
        token_map(call, q="{}")
