"""web/related: what else happened then to the same user, from the same address or through the same agent."""

import re
from datetime import timedelta

import pytest
from django.test import Client

from anomalies.models import Anomaly
from anomalies.services import merging
from anomalies.web.details.related import MOST, neighbours
from tests import make

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def _at(hours: float, **fields: object) -> Anomaly:
    """An anomaly of five minutes that began so many hours after now."""
    start = make.NOW + hours * HOUR
    return make.anomaly(started_at=start, active_until=start + timedelta(minutes=5), **fields)


def _of_eve(hours: float, **fields: object) -> Anomaly:
    """One of a user, through whichever agent."""
    eve = make.principal("eve")
    return _at(hours, kind="principal", entity="eve", principal=eve, **{"agent": make.agent(), **fields})


def _shown(anomaly: Anomaly) -> list[tuple[str, str]]:
    return [(one.row.anomaly.public_id, one.same) for one in neighbours(anomaly).shown]


def test_a_success_after_failures_and_the_login_that_follows_are_told_with_each_other() -> None:
    guessed = _at(0, kind="address", entity="203.0.113.7", ip="203.0.113.7", agent=make.agent("ag_sso"))
    login = _of_eve(0.2, type="suspicious_login", ip="203.0.113.7", agent=make.agent("ag_sso"))
    spike = _of_eve(1.5)
    assert _shown(guessed) == [(login.public_id, "address and agent")]
    assert _shown(login) == [(guessed.public_id, "address and agent"), (spike.public_id, "user")]


@pytest.mark.parametrize(("hours", "near"), [(-2.05, True), (-2.1, False), (2.05, True), (2.1, False)])
def test_near_is_within_two_hours_of_its_time(hours: float, near: bool) -> None:
    other = _of_eve(hours)
    assert bool(_shown(_of_eve(0))) == near, other


def test_what_was_merged_or_withdrawn_is_no_neighbour() -> None:
    one = _of_eve(0)
    _of_eve(0.1, state="withdrawn", ended_at=make.NOW)
    part = _of_eve(0.2)
    merging.merge(part, into=one, scan=make.scan())
    assert _shown(one) == []


def test_of_many_the_closest_are_shown_by_time_and_the_others_counted(as_ana: Client) -> None:
    agent = make.agent("ag_sso")
    one = _of_eve(0, agent=agent)
    others = [_at(n / 20, agent=agent) for n in range(1, MOST + 4)]
    last = _of_eve(1.9)
    assert [public_id for public_id, _ in _shown(one)] == [other.public_id for other in [*others[: MOST - 1], last]]
    page = as_ana.get(f"/anomalies/{one.public_id}/").text
    [section] = re.findall(r"<h3>Related, within 2 hours</h3>.*?</section>", page, re.DOTALL)
    assert section.count("<li>") == MOST
    assert "and 4 more; see " in section
    assert "same agent" in section


def test_without_neighbours_nothing_is_said(as_ana: Client) -> None:
    assert "Related" not in as_ana.get(f"/anomalies/{_of_eve(0).public_id}/").text
