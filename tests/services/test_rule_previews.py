"""services/rule_previews: what a rule would have raised, before it is saved."""

from datetime import timedelta

import pytest

from anomalies.models import Rule
from anomalies.services.rule_previews import preview
from anomalies.services.rules import RuleError
from tests import make

pytestmark = pytest.mark.django_db


def _events(agent: str, count: int, *, days_ago: int = 1, action: str = "db.write") -> None:
    at = make.NOW - timedelta(days=days_ago)
    make.agent(agent, last_seen=make.NOW)
    for number in range(count):
        make.event(agent_id=agent, time=at + timedelta(seconds=number), action=action)


def test_windows_that_reach_the_limit_are_told_of_all_agents() -> None:
    _events("ag_1", 5)
    _events("ag_1", 5, days_ago=3)
    _events("ag_2", 4)
    _events("ag_3", 5, days_ago=31)
    found = preview({"threshold": 5, "window_seconds": 300}, at=make.NOW)
    assert (found.total, found.agents) == (2, 1)
    assert [one.entity for one in found.newest] == ["ag_1", "ag_1"]
    assert not Rule.objects.exists()


def test_only_agents_and_scopes_that_are_named_count() -> None:
    _events("ag_1", 5)
    _events("ag_2", 5, action="db.read")
    wanted = {"threshold": 5, "window_seconds": 300}
    assert preview({**wanted, "scopes": ["db.read"]}, at=make.NOW).newest[0].entity == "ag_2"
    assert preview({**wanted, "agents": ["ag_1"]}, at=make.NOW).total == 1
    assert preview({**wanted, "agents": ["ag_9"]}, at=make.NOW).total == 0


def test_a_limit_without_sense_is_refused() -> None:
    with pytest.raises(RuleError, match="threshold: 0 events"):
        preview({"threshold": 0, "window_seconds": 300}, at=make.NOW)
