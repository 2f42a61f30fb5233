"""web/detectors: what each detector finds, its parameters, overrides, and a change tried on history."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from pytest_django.asserts import assertContains, assertNotContains

from anomalies.detection.registry import DETECTORS
from anomalies.models import Backtest, Change, DetectorOverride, DetectorSettings
from anomalies.services import backtests, detectors, scans
from anomalies.services.actor import Actor
from anomalies.web.detectors.parameters import fields_of
from tests import make
from tests.services.days import store, usual
from tests.web.conftest import after_login

pytestmark = pytest.mark.django_db
ADMIN = ("change_detectorsettings",)


@pytest.fixture
def as_admin(client_of: Callable[[User], Client], ana: User) -> Client:
    ana.user_permissions.set(Permission.objects.filter(codename__in=ADMIN))
    return client_of(ana)


def posted(type_: str = "rate_spike", **changes: Any) -> dict[str, Any]:
    """The form as the page shows it, with some fields typed into."""
    settings = detectors.settings_of(type_)
    given = {field.name: field.text for field in fields_of(type_, detectors.parameters_of(type_))}
    return {**given, "enabled": "1", "seen_at": settings.updated_at.isoformat(), **changes}


def test_the_list_says_what_each_found_and_how_precise_it_is(as_vic: Client) -> None:
    now = timezone.now()
    for verdict in ("true_positive", "false_positive", "benign"):
        make.anomaly(detected_at=now, status="resolved", resolved_at=now, verdict=verdict)
    response = as_vic.get("/detectors/")
    for detector in DETECTORS.values():
        assertContains(response, f'href="/detectors/{detector.type}/"')
    assertContains(response, "50 % <small>1 of 2</small>")
    assertContains(response, "?type=rate_spike&amp;last=30&amp;unit=days")


def test_the_list_takes_no_more_queries_with_more_anomalies_and_agents(
    as_vic: Client, django_assert_num_queries: Callable[[int], AbstractContextManager[object]]
) -> None:
    for number in range(20):
        agent = make.agent(f"ag_{number}", last_seen=timezone.now())
        make.anomaly(agent=agent, detected_at=timezone.now())
    with django_assert_num_queries(14):
        as_vic.get("/detectors/")


def test_the_page_shows_each_parameter_with_its_unit_range_and_default(as_vic: Client) -> None:
    response = as_vic.get("/detectors/rate_spike/")
    assertContains(response, "Least events above the expected count. 0 to 1,000,000 events, default 3.")
    assertContains(response, "Trying a change takes the role reviewer, saving one the role admin.")
    assertNotContains(response, ">Save<")
    assert as_vic.get("/detectors/nothing/").status_code == 404


@pytest.mark.parametrize("type_", DETECTORS)
def test_each_type_has_a_page(as_ana: Client, type_: str) -> None:
    assertContains(as_ana.get(f"/detectors/{type_}/"), DETECTORS[type_].meaning.split("'")[0])


def test_a_change_is_saved_recorded_and_shown(as_admin: Client) -> None:
    response = as_admin.post("/detectors/rate_spike/", posted(min_excess="9"), follow=True)
    assertContains(response, "Saved. The next scan judges by it")
    assertContains(response, "Above the expected, at least 3.0 → 9.0")
    assert DetectorSettings.objects.get(type="rate_spike").parameters == {"min_excess": 9.0}
    told = Change.objects.get()
    assert (told.actor, told.changes) == ("ana", {"min_excess": [3.0, 9.0]})


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("0.x", "Above the expected, at least: “0.x” is not a number from 0 to 1,000,000 events."),
        ("-1", "Above the expected, at least: “-1” is not a number from 0 to 1,000,000 events."),
        ("nan", "Above the expected, at least: “nan” is not a number"),
        ("1e999", "Above the expected, at least: “1e999” is not a number"),
        ("", "Above the expected, at least: enter a number from 0 to 1,000,000 events."),
    ],
)
def test_what_is_wrong_names_field_range_and_unit_and_stays_typed(as_admin: Client, typed: str, said: str) -> None:
    response = as_admin.post("/detectors/rate_spike/", posted(min_excess=typed, min_ratio="3"))
    assert response.status_code == 422
    assert said in response.text
    assert f'name="min_excess" value="{typed}"' in response.text
    assert 'name="min_ratio" value="3"' in response.text
    assert not Change.objects.exists()


def test_a_form_that_somebody_overtook_saves_nothing_and_says_so(as_admin: Client) -> None:
    form = posted(min_excess="9")
    row = DetectorSettings.objects.get(type="rate_spike")
    detectors.configure(row, enabled=True, parameters={"min_excess": 5.0}, by=Actor("tom"), at=timezone.now())
    response = as_admin.post("/detectors/rate_spike/", form)
    assert response.status_code == 409
    assert "Somebody changed the settings of Rate spike since: nothing of yours was saved." in response.text
    assert 'name="min_excess" value="9"' in response.text
    assert DetectorSettings.objects.get(type="rate_spike").parameters == {"min_excess": 5.0}
    tampered = as_admin.post("/detectors/rate_spike/", {**form, "seen_at": "yesterday"})
    assert tampered.status_code == 409


def test_switching_off_is_a_change(as_admin: Client) -> None:
    form = posted()
    del form["enabled"]
    as_admin.post("/detectors/rate_spike/", form)
    assert not DetectorSettings.objects.get(type="rate_spike").enabled
    assertContains(as_admin.get("/detectors/"), '<td class="state">Off</td>', html=True)


def test_a_reviewer_may_try_but_not_save(as_ana: Client, as_vic: Client) -> None:
    assert as_ana.post("/detectors/rate_spike/", posted(min_excess="9")).status_code == 403
    assert as_vic.post("/detectors/rate_spike/", posted(**{"try": "1"})).status_code == 403
    assertContains(
        as_ana.post("/detectors/rate_spike/", posted(**{"try": "1"}), follow=True),
        "It cannot be tried: since: nothing was counted yet.",
    )
    assert not Change.objects.exists()
    assert not Backtest.objects.exists()


def test_a_try_waits_runs_and_tells_what_it_would_have_raised_and_lost(as_admin: Client) -> None:
    store([*usual(20)])
    scans.replay(now=timezone.now())
    response = as_admin.post("/detectors/rate_spike/", posted(min_excess="9", span="7", **{"try": "1"}), follow=True)
    assertContains(response, "Waiting for its turn")
    assertContains(response, "Above the expected, at least 3 → 9")
    assertContains(response, 'hx-trigger="every 2s"')
    assert not Change.objects.exists()
    backtest = Backtest.objects.get()
    assert backtest.until - backtest.since == timedelta(days=7)
    backtests.run(backtest)
    done = as_admin.get(f"/detectors/rate_spike/tries/{backtest.public_id}/")
    assertContains(done, "Would raise 0 more and lose 0; 0 stay")
    assertNotContains(done, "every 2s")
    assertContains(done, '<input type="hidden" name="min_excess" value="9">', html=True)


RESULT: dict[str, Any] = {
    "before": {"enabled": True, "parameters": {"min_excess": 3.0}},
    "after": {"enabled": True, "parameters": {"min_excess": 9.0}},
    "gained": {"count": 0, "by_severity": {"high": 0, "medium": 0, "low": 0}, "decisions": {}, "newest": []},
    "both": {"count": 0, "by_severity": {"high": 0, "medium": 0, "low": 0}, "decisions": {}, "newest": []},
    "days": 7.0,
    "failed": 0,
    "notes": [],
}


def _done(anomaly: str) -> Backtest:
    now = timezone.now()
    one = {"severity": "high", "description": "412 requests", "entity": "ag_1", "started_at": "2026-11-20T10:00:00"}
    lost = {
        "count": 2,
        "by_severity": {"high": 2, "medium": 0, "low": 0},
        "decisions": {"true positive": 2},
        "newest": [{**one, "anomaly": anomaly, "decision": "true positive"}],
    }
    verdicts = {"true_positive": 2, "benign": 0, "false_positive": 1, "duplicate": 0, "test": 0}
    side = {"raised": 4, "raised_a_day": 0.5, "are_anomalies": 3, "verdicts": verdicts}
    result = {**RESULT, "lost": lost, "reviewed": {"before": side, "after": side}}
    return Backtest.objects.create(
        type="rate_spike",
        parameters={"min_excess": 9.0},
        since=now - timedelta(days=7),
        until=now,
        status="done",
        result=result,
        created_by="ana",
    )


def test_a_try_warns_of_true_positives_that_would_be_lost(as_ana: Client) -> None:
    anomaly = make.anomaly()
    response = as_ana.get(f"/detectors/rate_spike/tries/{_done(anomaly.public_id).public_id}/")
    assertContains(response, "Loses 2 true positives.")
    assertContains(response, f'href="/anomalies/{anomaly.public_id}/"')
    assertContains(response, '<td data-is="precision">67 %</td>', html=True)
    assertNotContains(response, "Save this change")


def test_a_try_of_other_settings_than_todays_says_so(as_admin: Client) -> None:
    backtest = _done("anom_1")
    assertContains(
        as_admin.get(f"/detectors/rate_spike/tries/{backtest.public_id}/"), "The settings were changed since"
    )


def test_an_agent_is_judged_otherwise_and_as_everybody_again(as_admin: Client) -> None:
    make.agent("ag/1 %2F")
    form = posted(min_excess="9", agent="ag/1 %2F", reason="Nightly import.", seen_at="")
    response = as_admin.post("/detectors/rate_spike/override/", form, follow=True)
    assertContains(response, "is judged by its own parameters")
    assertContains(response, "Above the expected, at least 9")
    assertContains(response, "Nightly import.")
    path = "/detectors/rate_spike/overrides/ag/1%20%252F/"
    assertContains(response, f'href="{path}"')
    assertContains(as_admin.get(path), 'name="min_excess" value="9"')
    removed = as_admin.post("/detectors/rate_spike/remove-override/ag/1%20%252F/", follow=True)
    assertContains(removed, "is judged as everybody is")
    assert not DetectorOverride.objects.exists()
    assert Change.objects.count() == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"agent": "ag_x"}, 'id="agent-error"><bdi>There is no agent “ag_x”.'),
        ({"agent": ""}, 'id="agent-error"><bdi>Name the agent.'),
        ({"reason": " "}, 'id="reason-error">Say why this agent'),
        ({"reason": "x" * 10_001}, 'id="reason-error">10,001 characters, at most 10,000 are kept.'),
        ({"min_excess": "x"}, 'id="e-min_excess">Above the expected, at least: “x” is not a number'),
    ],
)
def test_an_override_without_sense_is_not_saved(as_admin: Client, changes: dict[str, str], said: str) -> None:
    make.agent("ag_1")
    response = as_admin.post("/detectors/rate_spike/override/", posted(agent="ag_1", reason="why") | changes)
    assert response.status_code == 422
    assert said in response.text
    assert response.text.count('class="error"') == 1
    assert 'role="alert"><bdi>Nothing was saved' in response.text
    assert not DetectorOverride.objects.exists()


def test_who_has_no_access_sees_nothing(as_zoe: Client) -> None:
    for path in ("", "rate_spike/", "rate_spike/override/"):
        assert as_zoe.get(f"/detectors/{path}").status_code == 403


def test_of_two_who_judge_an_agent_otherwise_at_once_the_second_is_told_and_may_save_then(as_admin: Client) -> None:
    agent = make.agent("ag_1")
    form = posted(agent="ag_1", reason="why", min_excess="9", seen_at="")
    assert as_admin.post("/detectors/rate_spike/override/", form).status_code == 302
    late = as_admin.post("/detectors/rate_spike/override/", form | {"min_excess": "4"})
    assertContains(late, "Somebody changed how ag_1 is judged since", status_code=409)
    made = DetectorOverride.objects.get(agent=agent)
    assert made.parameters["min_excess"] == 9
    assertContains(late, f'name="seen_at" value="{made.updated_at.isoformat()}"', status_code=409)
    again = form | {"min_excess": "4", "seen_at": made.updated_at.isoformat()}
    assert as_admin.post("/detectors/rate_spike/override/", again).status_code == 302
    made.refresh_from_db()
    assert made.parameters["min_excess"] == 4


def test_parameters_typed_into_a_session_that_ended_are_there_after_the_login(as_admin: Client, ana: User) -> None:
    seen_at = posted()["seen_at"]
    page = after_login(as_admin, ana, "/detectors/rate_spike/", posted(min_excess="4.5", enabled=""))
    assertContains(page, 'name="min_excess" value="4.5"')
    assertContains(page, "Your session had ended: nothing was done yet.")
    assertContains(page, f'name="seen_at" value="{seen_at}"')
    assertNotContains(page, "Stored now")
    assert not DetectorSettings.objects.get(type="rate_spike").parameters
    assertContains(as_admin.get("/detectors/rate_spike/"), 'name="min_excess" value="3"')
    make.agent("ag_1")
    override = {**posted(min_excess="4.5"), "agent": "ag_1", "reason": "Nightly load", "seen_at": ""}
    page = after_login(as_admin, ana, "/detectors/rate_spike/override/", override)
    for said in ('name="min_excess" value="4.5"', ">Nightly load</textarea>", 'name="agent" value="ag_1"'):
        assertContains(page, said)
    assert not DetectorOverride.objects.exists()


def test_who_may_neither_try_nor_save_types_nothing(as_vic: Client, as_ana: Client) -> None:
    assertContains(as_vic.get("/detectors/rate_spike/"), "<fieldset disabled><legend>Parameters")
    assertContains(as_ana.get("/detectors/rate_spike/"), "<fieldset><legend>Parameters")
