"""web/series: which series deviate in an anomaly, and the one that is drawn."""

from datetime import datetime, timedelta

import pytest
from django.test import Client

from anomalies.models import Anomaly, Metric
from tests import make
from tests.web.details.test_panel import path, words
from tests.web.test_charts import banded

pytestmark = pytest.mark.django_db


def with_series(**fields: object) -> Anomaly:
    """An anomaly of an agent that shows in one action, and in what was done for one user."""
    anomaly = make.anomaly(**fields)
    make.interval(make.metric(anomaly))
    hour = {**make.EVIDENCE, "resolution_seconds": 3600, "observed": 400, "p": 1e-4}
    make.interval(
        make.metric(anomaly, action="token.issue", evidence=hour, score=0.5),
        resolution_seconds=3600,
        started_at=make.NOW - timedelta(hours=1),
        peak=400,
        deviation="pattern_change",
    )
    make.interval(
        make.metric(anomaly, kind="principal", entity="user_7", evidence=hour, score=0.3), state="open", up=False
    )
    return anomaly


def test_several_series_are_a_table_with_the_main_one_first(as_ana: Client) -> None:
    page = words(as_ana.get(path(with_series())).text)
    assert "In Observed Expected When Requests of ag_billing chance less than 1 in a billion 5 min 412 ↑ above" in page
    assert "Requests of ag_billing, token.issue only chance about 1 in 10,000 1 hour 400 ↑ above 38 (21 to 61)" in page
    assert "20 Nov 11:00 to 12:00 , new level" in page
    assert "Requests for user_7 chance about 1 in 10,000 5 min 412 ↓ below 38 (21 to 61) since 20 Nov 11:55" in page


def test_what_is_counted_over_a_night_is_told_of_the_night(as_ana: Client) -> None:
    anomaly = with_series()
    night = make.metric(anomaly, what="off_hours_slots", action="x", score=0.4)
    make.interval(night, resolution_seconds=3600, started_at=make.NOW - timedelta(hours=8), peak=21)
    assert "periods of 5 minutes off hours of ag_billing, x only" in words(as_ana.get(path(anomaly)).text).lower()
    assert "8 hours 21 ↑" in words(as_ana.get(path(anomaly)).text)


def test_a_row_of_the_table_is_short_where_nothing_is_expected_over_midnight(as_ana: Client) -> None:
    anomaly = with_series()
    night = make.metric(anomaly, action="x", score=0.4)
    make.interval(night, started_at=make.NOW - timedelta(hours=13), expected=0.001, lower=0, upper=4)
    make.interval(make.metric(anomaly, action="y", score=0.2), expected=0.5, lower=0.001, upper=0.004)
    page = words(as_ana.get(path(anomaly)).text)
    assert "&lt; 0.01 (0 to 4) 19 Nov 23:00 to 12:00" in page
    assert "0.5 (&lt; 0.01 to &lt; 0.01)" in page


@pytest.mark.parametrize(
    ("start", "hours", "told"),
    [
        ("2026-03-28T12:00+01:00", 23.5, "28 Mar 12:00 to 29 Mar 12:30"),
        ("2026-03-28T12:00+01:00", 22.5, "28 Mar 12:00 to 11:30"),
        ("2026-10-24T12:00+02:00", 24.5, "24 Oct 12:00 to 11:30"),
    ],
)
def test_the_day_of_an_end_is_told_by_the_clock_which_changes_twice_a_year(
    as_ana: Client, start: str, hours: float, told: str
) -> None:
    anomaly = with_series()
    began = datetime.fromisoformat(start)
    make.interval(make.metric(anomaly, action="x"), started_at=began, ended_at=began + timedelta(hours=hours))
    as_ana.cookies["local_zone"] = "Europe%2FBerlin"
    assert told in words(as_ana.get(path(anomaly)).text)


def test_one_series_with_one_interval_is_told_by_its_sentence_alone(as_ana: Client) -> None:
    anomaly = make.anomaly()
    make.interval(make.metric(anomaly))
    assert 'class="series"' not in as_ana.get(path(anomaly)).text


def test_what_the_table_leaves_out_is_counted(as_ana: Client) -> None:
    anomaly = make.anomaly()
    main = make.metric(anomaly)
    for n in range(7):
        make.interval(main, started_at=make.NOW - timedelta(hours=n + 1), ended_at=make.NOW - timedelta(hours=n))
    for n in range(10):
        make.interval(make.metric(anomaly, action=f"action.{n}"))
    page = as_ana.get(path(anomaly)).text
    assert "and 3 more intervals" in page
    assert "and 3 more series" in page


def test_a_series_is_drawn_by_link_and_its_span_keeps_it(as_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def series(anomaly: Anomaly, metric: Metric, **_: object) -> object:
        asked.append(metric.name)
        return banded()

    monkeypatch.setattr("anomalies.web.details.panel.banded_series", series)
    anomaly = with_series()
    name = "what=requests.agent=ag_billing.action=token.issue"
    quoted = "metric=what%3Drequests.agent%3Dag_billing.action%3Dtoken.issue"
    page = as_ana.get(f"{path(anomaly)}?severity=high").text
    assert asked == ["what=requests.agent=ag_billing"]
    assert f'href="{path(anomaly)}?severity=high&amp;{quoted}"' in page
    part = as_ana.get(path(anomaly), {"metric": name}, headers={"HX-Request": "true", "HX-Target": "chart"}).text
    assert asked[1:] == [name]
    assert "<b>Requests of ag_billing, token.issue only</b>" in part
    assert "Requests in 5 minutes, token.issue only" in part
    assert f'href="{path(anomaly)}?{quoted}&amp;span=7d"' in part


def test_a_series_that_it_has_not_is_named(as_ana: Client) -> None:
    page = as_ana.get(path(with_series()), {"metric": "what=<b>"}).text
    assert "metric: “what=&lt;b&gt;” is no series of this anomaly." in page
    assert "<b>Requests of ag_billing</b>" in page


def test_whole_days_are_drawn_over_a_month_at_first(as_ana: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomalies.web.details.panel.banded_series", lambda *args, **kwargs: banded())
    anomaly = make.anomaly(evidence={**make.EVIDENCE, "resolution_seconds": 86_400})
    assert '<b aria-current="true">30 d</b>' in as_ana.get(path(anomaly)).text
    assert '<b aria-current="true">7 d</b>' in as_ana.get(f"{path(anomaly)}?span=7d").text
