"""services/routing: which channels are told of what rules raise."""

from datetime import timedelta
from typing import Any

import pytest

from anomalies.models import Anomaly, Channel, OutboxMessage, Rule, Severity
from anomalies.services import channels, routing, rules
from tests import make
from tests.services.channels import BOSS, channel, say

pytestmark = pytest.mark.django_db
LATER = make.NOW + timedelta(hours=1)


def rule(*named: Channel, **fields: Any) -> Rule:
    wanted = {"name": "Night exports", "window_seconds": 900, "threshold": 10, **fields}
    return rules.create(by=BOSS, at=make.NOW, channels=[one.public_id for one in named], **wanted)


def raised_by(one: Rule, **fields: Any) -> Anomaly:
    return make.anomaly(type="custom_rule", topic=one.public_id, **fields)


def told(message: OutboxMessage) -> list[str]:
    kept = Channel.objects.kept().order_by("name")
    return [one.name for one in kept if routing.passing(one, [message])]


def test_of_what_a_rule_raised_only_the_channels_that_it_names_are_told() -> None:
    named, _ = channel(name="Named"), channel(name="Other")
    assert told(say(raised_by(rule(named)))) == ["Named"]
    assert told(say(raised_by(rule(name="Names none")))) == ["Named", "Other"]
    assert told(say(make.anomaly(topic="night_exports"))) == ["Named", "Other"]  # of no rule


def test_a_channel_that_a_rule_names_keeps_its_own_severities() -> None:
    named = channel(name="Named", least_severity=3)
    assert told(say(raised_by(rule(named), severity=Severity.MEDIUM))) == []


def test_a_rule_goes_on_naming_its_channels_once_it_is_deleted() -> None:
    named, _ = channel(name="Named"), channel(name="Other")
    one = rule(named)
    rules.delete(one, by=BOSS, at=LATER)
    assert told(say(raised_by(one))) == ["Named"]


def test_of_the_channels_that_a_rule_names_those_that_are_left_are_told_and_if_none_is_left_all_are() -> None:
    first, second, _ = channel(name="First"), channel(name="Second"), channel(name="Third")
    one = rule(first, second)
    channels.delete(first, by=BOSS, at=LATER)
    assert told(say(raised_by(one))) == ["Second"]
    channels.delete(second, by=BOSS, at=LATER)
    assert told(say(raised_by(one))) == ["Third"]
