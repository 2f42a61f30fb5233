"""admin/backtest: a change tried on past days before it is saved."""

import re
from datetime import timedelta

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Backtest, DetectorOverride, DetectorSettings
from anomalies.services import backtests, detectors, scans
from tests import make
from tests.services.days import burst, record, store

pytestmark = pytest.mark.django_db


@pytest.fixture
def spiked() -> None:
    """Ten days of an agent until now, with a spike yesterday that was found."""
    now = timezone.now()
    start = now - timedelta(days=10)
    store([record(start + timedelta(minutes=6 * number)) for number in range(2400)])
    store(burst(now - timedelta(days=1), 300))
    scans.replay(now=now)


def _settings() -> DetectorSettings:
    detectors.add_missing_settings()
    return DetectorSettings.objects.get(type="rate_spike")


def _page(row: DetectorSettings | Backtest) -> str:
    return reverse(f"admin:anomalies_{row._meta.model_name}_change", args=[row.pk])


def _try(client: Client, **changes: object) -> HttpResponse:
    defaults = {parameter.name: parameter.default for parameter in DETECTORS["rate_spike"].parameters}
    fields = {"enabled": "on", **defaults, "_try": "Try on history", "_span": "7", **changes}
    return client.post(_page(_settings()), fields)


def test_it_is_tried_and_not_saved(as_boss: Client, spiked: None) -> None:
    answer = _try(as_boss, min_excess="1000")
    backtest = Backtest.objects.get()
    assert answer["Location"] == _page(backtest)
    assert (backtest.type, backtest.agent_id, backtest.parameters["min_excess"]) == ("rate_spike", None, 1000.0)
    assert backtest.until - backtest.since == timedelta(days=7)
    assert backtest.created_by == "boss"
    assert _settings().parameters == {}


def test_its_page_waits_for_the_result_and_shows_it(as_boss: Client, spiked: None) -> None:
    _try(as_boss, min_excess="1000")
    waiting = as_boss.get(_page(Backtest.objects.get())).content.decode()
    assert "Waiting for its turn" in waiting
    assert 'http-equiv="refresh"' in waiting
    backtests.run_due()
    page = as_boss.get(_page(Backtest.objects.get())).content.decode()
    assert "Would not have been raised: 1" in page
    assert "Would have been raised: 0" in page
    assert f"/anomalies/{Anomaly.objects.get(type='rate_spike').public_id}/" in page
    assert "Above the expected, at least 1000" in page
    assert "no verdict yet" in page
    assert 'http-equiv="refresh"' not in page


def test_what_reviewers_said_is_counted_apart_and_explained(as_boss: Client, spiked: None) -> None:
    Anomaly.objects.update(status="acknowledged", acknowledged_at=timezone.now())
    _try(as_boss)
    backtests.run_due()
    backtest = Backtest.objects.get()
    page = as_boss.get(_page(backtest)).content.decode()
    heads = re.findall(r'<th scope="col">([^<]*)</th>', page[page.index('<th scope="col">Anomalies') :])
    cells = re.findall(r"<td>([^<]*)</td>", page[page.index("By the present settings") :])
    said = dict(zip(heads, cells, strict=False))
    assert (said["Anomalies"], said["Acknowledged, no verdict"], said["True positive"]) == ("1", "1", "0")
    assert (said["Undecided"], said["Not raised then"]) == ("0", "0")
    assert "not whether it was right" in page
    for side in backtest.result["reviewed"].values():  # type: ignore[index]
        del side["verdicts"]
    backtest.save()
    assert "<td>\N{EN DASH}</td>" in as_boss.get(_page(backtest)).content.decode()


def test_the_list_says_how_it_went(as_boss: Client, spiked: None) -> None:
    _try(as_boss, enabled="")
    backtests.run_due()
    page = as_boss.get(reverse("admin:anomalies_backtest_changelist")).content.decode()
    assert "0 more, 1 fewer, 0 as now" in page
    assert "switched off" in page


def test_a_wrong_value_is_told_at_its_field_and_nothing_is_tried(as_boss: Client, spiked: None) -> None:
    answer = _try(as_boss, min_excess="-1")
    assert list(answer.context["adminform"].form.errors) == ["min_excess"]
    assert not Backtest.objects.exists()


def test_more_days_than_there_are_counts_begin_with_them(as_boss: Client, spiked: None) -> None:
    _try(as_boss, _span="90")
    assert timedelta(days=10) <= Backtest.objects.get().until - Backtest.objects.get().since < timedelta(days=11)


def test_without_counts_there_is_nothing_to_try_and_the_page_says_so(as_boss: Client) -> None:
    answer = as_boss.get(_try(as_boss)["Location"])
    assert "Since: nothing was counted yet." in answer.content.decode()


def test_an_override_is_tried_before_there_is_one(as_boss: Client, spiked: None) -> None:
    defaults = {parameter.name: parameter.default for parameter in DETECTORS["rate_spike"].parameters}
    fields = {"agent_id": "ag_billing", "reason": "a job", **defaults, "_try": "Try on history", "_span": "7"}
    as_boss.post(f"{reverse('admin:anomalies_detectoroverride_add')}?type=rate_spike", fields)
    backtests.run_due()
    backtest = Backtest.objects.get()
    assert (backtest.agent_id, backtest.enabled) == ("ag_billing", False)
    assert backtest.result is not None
    assert backtest.result["lost"]["count"] == 1
    assert not DetectorOverride.objects.exists()


def test_a_failure_is_shown_and_run_again(as_boss: Client) -> None:
    backtest = Backtest.objects.create(
        type="rate_spike", since=make.NOW, until=make.NOW + timedelta(days=1), status="failed",
        result={"error": "RuntimeError: no room"}, created_by="boss",
    )  # fmt: skip
    assert "It failed: RuntimeError: no room" in as_boss.get(_page(backtest)).content.decode()
    as_boss.post(reverse("admin:anomalies_backtest_changelist"), {"action": "again", "_selected_action": [backtest.pk]})
    backtest.refresh_from_db()
    assert (backtest.status, backtest.result) == ("waiting", None)


def test_one_of_a_detector_that_is_no_more_still_opens(as_boss: Client) -> None:
    backtest = Backtest.objects.create(
        type="gone", since=make.NOW, until=make.NOW + timedelta(days=1), created_by="boss", parameters={"x": 1}
    )
    assert "gone" in as_boss.get(_page(backtest)).content.decode()


def test_who_looks_may_see_and_not_try(as_looking_staff: Client, as_boss: Client, spiked: None) -> None:
    assert _try(as_looking_staff).status_code == 403
    _try(as_boss)
    assert as_looking_staff.get(_page(Backtest.objects.get())).status_code == 200
    assert "Try on history" not in as_looking_staff.get(_page(_settings())).content.decode()
