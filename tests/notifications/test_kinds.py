"""Every kind of channel: what holds whatever it is."""

from typing import Any

import pytest

from anomalies.notifications.http import Policy
from anomalies.notifications.kind import Kind
from anomalies.notifications.message import Stage
from anomalies.notifications.registry import KINDS
from anomalies.notifications.setting import Shape
from tests.notifications.messages import digest, message, story


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
class TestEach:
    def test_says_what_it_is_and_what_it_asks_for(self, kind: Kind[Any]) -> None:
        assert kind.label
        assert kind.meaning.endswith(".")
        assert all(one.label and one.part for one in kind.settings)
        assert "timeout_seconds" in {one.name for one in kind.settings}

    def test_needs_what_it_cannot_do_without(self, kind: Kind[Any]) -> None:
        needed = {one.name for one in kind.settings if one.required and one.default == ""}
        assert set(kind.errors_of(kind.setup(), Policy())) == needed
        assert needed

    @pytest.mark.parametrize("wrong", [None, 7, "a\x00", "x" * 20_001, ["a"], {"a": 1}], ids=str)
    def test_takes_no_nonsense_for_any_setting(self, kind: Kind[Any], wrong: Any) -> None:
        for one in kind.settings:
            if one.shape is not Shape.NUMBER or wrong != 7:
                assert one.name in kind.errors_of(kind.setup(**{one.name: wrong}), Policy()), one.name


def test_the_stage_of_an_anomaly_is_what_people_and_detection_made_of_it() -> None:
    assert [one.stage for one in story()] == [Stage.OPEN, Stage.OPEN, Stage.ACKNOWLEDGED, Stage.CLOSED]
    brief = message("anomaly.detected", state="closed")
    again = message("anomaly.reopened", state="closed")
    undone = message("anomaly.updated", status="resolved")
    snoozed = message("anomaly.snoozed", snoozed_until="2026-11-21T00:00:00+00:00")
    woken = message("anomaly.woken")
    after = message("anomaly.assigned", state="closed")
    parted = message("anomaly.parted", state="closed")
    merged = message("anomaly.merged", state="closed")
    assert [one.stage for one in (brief, again, woken, parted)] == [Stage.OPEN] * 4
    assert [one.stage for one in (undone, after, merged)] == [Stage.CLOSED] * 3
    assert snoozed.stage is Stage.ACKNOWLEDGED


def test_a_digest_counts_anomalies_and_says_what_it_leaves_out() -> None:
    ten = digest(10)
    assert ten.title == "10 anomalies: 3 high, 3 medium, 4 low"
    assert [line.last.severity for line in ten.lines] == ["high"] * 3 + ["medium"] * 3 + ["low"] * 4
    assert {line.told for line in ten.lines} == {"detected, closed"}
    assert (ten.more(10), ten.more(4)) == ("", "and 6 more")
    assert digest(1).title == "1 anomaly: 1 low"
