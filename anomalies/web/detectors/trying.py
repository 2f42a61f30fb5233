"""A backtest as its page tells it: what a change would have raised and lost."""

from dataclasses import dataclass
from typing import Any

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Backtest, Severity
from anomalies.services import detectors
from anomalies.web.detectors.parameters import label_of, told

DECIDED = {
    Anomaly.Verdict.TRUE_POSITIVE: "true positive",
    Anomaly.Verdict.BENIGN: "benign",
    Anomaly.Verdict.FALSE_POSITIVE: "false positive",
}
TITLES = {
    "gained": ("Would be raised", "by the change only"),
    "lost": ("Would be lost", "by the present settings only"),
    "both": ("Kept", "by both, as the change has it"),
}


@dataclass(frozen=True, slots=True)
class Side:
    """One row of the comparison."""

    title: str
    reviewed: dict[str, Any]

    @property
    def verdicts(self) -> list[tuple[str, int]]:
        return [(word, self.reviewed["verdicts"][verdict]) for verdict, word in DECIDED.items()]

    @property
    def undecided(self) -> int:
        """Without a verdict that says whether it was right: open, acknowledged, duplicates and tests."""
        return int(self.reviewed["are_anomalies"]) - sum(count for _, count in self.verdicts)

    @property
    def unknown(self) -> int:
        """Would be raised, and were not then."""
        return int(self.reviewed["raised"]) - int(self.reviewed["are_anomalies"])

    @property
    def precision(self) -> str:
        """True positives among those found true or false; benign ones apart."""
        true, _, false = (count for _, count in self.verdicts)
        return f"{100 * true / (true + false):.0f} %" if true + false else "no verdict"


@dataclass(frozen=True, slots=True)
class Group:
    key: str
    title: str
    about: str
    found: dict[str, Any]

    @property
    def count(self) -> int:
        return int(self.found["count"])

    @property
    def severities(self) -> list[tuple[int, str]]:
        counts = self.found["by_severity"]
        return [(counts[label], label) for _, label in reversed(Severity.choices) if counts[label]]

    @property
    def decisions(self) -> list[tuple[int, str]]:
        return [(count, word) for word, count in self.found["decisions"].items()]

    @property
    def newest(self) -> list[dict[str, Any]]:
        newest: list[dict[str, Any]] = self.found["newest"]
        return newest


@dataclass(frozen=True, slots=True)
class Tried:
    backtest: Backtest

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = self.backtest.result or {}
        return result

    @property
    def is_under_way(self) -> bool:
        return self.backtest.status in (Backtest.Status.WAITING, Backtest.Status.RUNNING)

    @property
    def error(self) -> str:
        return str(self.result.get("error", ""))

    @property
    def label(self) -> str:
        return DETECTORS[self.backtest.type].label if self.backtest.type in DETECTORS else self.backtest.type

    @property
    def groups(self) -> list[Group]:
        return [Group(key, *TITLES[key], self.result[key]) for key in TITLES if key in self.result]

    @property
    def sides(self) -> list[Side]:
        if not self.groups:
            return []
        reviewed = self.result["reviewed"]
        return [Side("Present settings", reviewed["before"]), Side("With the change", reviewed["after"])]

    @property
    def lost_true(self) -> int:
        """True positives that would not have been raised."""
        return int(self.result["lost"]["decisions"].get("true positive", 0)) if self.groups else 0

    @property
    def changed(self) -> list[tuple[str, str, str]]:
        """What differs: parameter, before, after. Before it is run, from the present."""
        backtest = self.backtest
        if self.groups:
            before, after = self.result["before"], self.result["after"]
        else:
            before = _present(backtest)
            after = {"enabled": backtest.enabled, "parameters": {**before["parameters"], **backtest.parameters}}
        found = []
        if before["enabled"] != after["enabled"]:
            was_on, is_on = ("on" if one["enabled"] else "off" for one in (before, after))
            found.append(("Switched", was_on, is_on))
        for name, value in after["parameters"].items():
            was = before["parameters"].get(name)
            if was is not None and told(was) != told(value):
                found.append((label_of(backtest.type, name), told(was), told(value)))
        return found

    @property
    def is_of_now(self) -> bool:
        """Whether the settings that it was held against are those of now."""
        if not self.groups:
            return True
        before, now = self.result["before"], _present(self.backtest)
        shown = {name: told(value) for name, value in now["parameters"].items()}
        then = {name: told(value) for name, value in before["parameters"].items()}
        return before["enabled"] == now["enabled"] and (not before["enabled"] or shown == then)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The change as the form of the detector sends it."""
        given = [(name, told(value)) for name, value in self.backtest.parameters.items()]
        return [*given, *([("enabled", "1")] if self.backtest.enabled else [])]


def _present(backtest: Backtest) -> dict[str, Any]:
    enabled = detectors.is_enabled(backtest.type, backtest.agent)
    return {"enabled": enabled, "parameters": detectors.parameters_of(backtest.type, backtest.agent)}
