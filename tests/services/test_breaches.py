"""services/breaches: how far an anomaly is outside its bands is what its metrics say, whatever becomes of them."""

from datetime import timedelta

import pytest
from django.db.models import Count, F, Max, Q

from anomalies.models import Anomaly, Breach, Interval
from anomalies.services import breaches, merging
from tests import make
from tests.services.days import MONDAY, SPIKE_SEEN, burst, run, store, usual

pytestmark = pytest.mark.django_db


def told(anomaly: Anomaly) -> tuple[float | None, ...]:
    return Breach.objects.values_list("above", "above_percent", "below", "below_percent").get(anomaly=anomaly)


def as_its_metrics_say() -> bool:
    """Whether what is kept is the most of the main intervals of each anomaly, and nothing else is kept."""
    main, up = Q(metrics__intervals__main=True), Q(metrics__intervals__up=True)
    delta, percent = F("metrics__intervals__delta"), F("metrics__intervals__delta_percent")
    most = {"a": Max(delta, filter=up), "b": Max(percent, filter=up), "c": Max(delta, filter=~up)}
    rows = Anomaly.objects.filter(main).annotate(**most, d=Max(percent, filter=~up))
    found = rows.values_list("pk", "a", "b", "c", "d")
    kept = Breach.objects.values_list("anomaly", "above", "above_percent", "below", "below_percent")
    return {*found} == {*kept}


@pytest.mark.parametrize(
    ("values", "delta", "percent"),
    [
        ({"peak": 38, "upper": 25.86997396439603}, 12.130026035603969, 46.88843542053082),
        ({"peak": 150, "upper": 100}, 50, 50),
        ({"peak": 90, "upper": 100}, 0, 0),
        ({"peak": 3, "upper": 0}, 3, float("inf")),
        ({"peak": 0, "upper": 0}, 0, 0),
        ({"peak": 5, "lower": 20, "up": False}, 15, 75),
        ({"peak": 0, "lower": 20, "up": False}, 20, 100),
        ({"peak": 30, "lower": 20, "up": False}, 0, 0),
        ({"peak": 0, "lower": 0, "up": False}, 0, 0),
    ],
)
def test_a_delta_is_from_the_peak_to_the_edge_and_in_percent_of_the_edge(
    values: dict[str, float], delta: float, percent: float
) -> None:
    made = make.interval(make.metric(make.anomaly()), **values)
    made.refresh_from_db()
    assert (made.delta, made.delta_percent) == (delta, percent)


def test_the_most_of_each_side_is_kept() -> None:
    anomaly = make.anomaly()
    first, second = make.metric(anomaly), make.metric(anomaly, action="token.issue")
    make.interval(first, peak=122, upper=61)
    make.interval(second, peak=110, upper=10)
    make.interval(second, resolution_seconds=60, peak=5, lower=10, up=False)
    assert told(anomaly) == (100, 1000, 5, 50)
    make.interval(first, resolution_seconds=3600, peak=9000, main=False)
    assert told(anomaly) == (100, 1000, 5, 50)
    Interval.objects.filter(up=True).delete()
    breaches.keep([anomaly.pk])
    assert told(anomaly) == (None, None, 5, 50)
    anomaly.metrics.all().delete()
    breaches.keep([anomaly.pk])
    assert not Breach.objects.exists()


def test_it_follows_a_merge() -> None:
    whole, part = make.anomaly(), make.anomaly(kind="principal", entity="eve")
    make.interval(make.metric(whole), peak=122)
    make.interval(make.metric(part), peak=261)
    merging.merge(part, into=whole, scan=make.scan())
    assert told(whole)[0] == 200
    assert not Breach.objects.filter(anomaly=part).exists()


def test_it_follows_scans() -> None:
    """An agent uses an action of its own, which its user and its address show as well."""
    leak = burst(
        MONDAY + timedelta(days=20, hours=10), 300, action="secrets.read", principal_id="eve", ip="203.0.113.5"
    )
    store([*usual(20), *leak])
    run(SPIKE_SEEN)
    assert Breach.objects.exists()
    assert as_its_metrics_say()
    resolutions = (
        Interval.objects.filter(main=True).values("metric").annotate(n=Count("resolution_seconds", distinct=True))
    )
    assert {one["n"] for one in resolutions} == {1}
    assert Interval.objects.filter(main=False).exists()
    run(SPIKE_SEEN + timedelta(hours=3))
    assert as_its_metrics_say()
