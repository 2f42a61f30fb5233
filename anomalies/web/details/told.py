"""What happened to an anomaly, as sentences."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Delivery, ReviewEntry
from anomalies.services.reviews import SNOOZE
from anomalies.services.timeline import DETECTION
from anomalies.web.zone import told_time

_TYPES = re.compile(rf"\b({'|'.join(DETECTORS)})\b")


@dataclass(frozen=True, slots=True)
class Told:
    """An entry of the timeline: one sentence for what detection did; what people wrote stays apart."""

    entry: ReviewEntry
    names: Mapping[int, str] = field(default_factory=dict)  # of users, by their numbers

    @property
    def at(self) -> datetime:
        return self.entry.at

    @property
    def by(self) -> str:
        """Who did it, nobody where detection or the clock did."""
        return "" if self.entry.actor in (DETECTION.name, SNOOZE.name) else self.entry.actor

    @property
    def sentence(self) -> str:
        said = "" if self.by else in_words(self.entry.note)
        action = self.entry.get_action_display().capitalize()
        match self.entry.action:
            case ReviewEntry.Action.DETECTED:
                return f"{action}, {said}" if said else action
            case ReviewEntry.Action.MERGED if said:
                return f"{action} {said}" if said.startswith("into ") else f"{action} with {said}"
            case ReviewEntry.Action.PARTED if said:
                return f"{action} {said}" if said.startswith("from ") else f"{action} from {said}"
            case ReviewEntry.Action.REOPENED if said:
                return f"Up for review again: {said}"
            case ReviewEntry.Action.ESCALATED | ReviewEntry.Action.EXTENDED if said.startswith(("severity ", "dated ")):
                return said[:1].upper() + said[1:]
            case ReviewEntry.Action.EXTENDED if said:
                return f"Goes on: {said}"
        if changed := self._changed():
            return changed
        return f"{action}: {said}" if said else action

    def _changed(self) -> str:
        """What it became, where that says more than the name of the action."""
        became = self._became
        match self.entry.action:
            case ReviewEntry.Action.WOKEN:
                return f"Back from snooze: {self.entry.note}" if self.entry.note else "Back from snooze"
            case ReviewEntry.Action.RESOLVED if became("verdict"):
                return f"Resolved: {Anomaly.Verdict(became('verdict')).label}"
            case ReviewEntry.Action.SNOOZED if became("snoozed_until"):
                return f"Snoozed until {told_time(datetime.fromisoformat(became('snoozed_until')))}"
            case ReviewEntry.Action.ASSIGNED if "assignee" in self.entry.changes:
                whom = became("assignee")
                return f"Assigned to {self.names.get(whom, 'somebody') if whom else 'nobody'}"
            case ReviewEntry.Action.RENAMED if "title" in self.entry.changes:
                return f"Renamed to “{became('title')}”" if became("title") else "Its name taken away"
        return ""

    def _became(self, name: str) -> Any:
        return self.entry.changes.get(name, [None, None])[1]

    @property
    def note(self) -> str:
        return self.entry.note if self.by else ""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message to a channel, as an entry of the timeline."""

    delivery: Delivery
    by: str = ""
    note: str = ""

    @property
    def at(self) -> datetime:
        return self.delivery.created_at

    @property
    def sentence(self) -> str:
        one = self.delivery
        what = one.message.type.removeprefix("anomaly.")
        became = one.get_status_display().lower()
        if one.status == Delivery.Status.DELIVERED and one.finished_at:
            became = f"{became} {timezone.localtime(one.finished_at):%H:%M}"
        return f"Sent to {one.channel.name}: {what} ({became})"


def in_words(note: str) -> str:
    """Return a note of detection with the types called as people call them."""
    return _TYPES.sub(lambda found: DETECTORS[found[1]].label.lower(), note)


def agreement(anomaly: Anomaly) -> str:
    """`Raised from low to medium: rate spike agrees within the hour.`; nothing where no other detector agrees."""
    agreed = anomaly.evidence.get("agreement")
    if not agreed:
        return ""
    said = in_words(agreed["why"])
    return f"{said[:1].upper()}{said[1:]}, within an hour."


def part(anomaly: Anomaly) -> str:
    """`Raised from low to high: failures of address 192.0.2.1 are of high severity.`; nothing where no part did."""
    severe = anomaly.evidence.get("part")
    return f"{severe['why'][:1].upper()}{severe['why'][1:]}." if severe else ""
