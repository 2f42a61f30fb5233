"""What happened to an anomaly, as sentences."""

import re
from dataclasses import dataclass

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, ReviewEntry
from anomalies.services.timeline import DETECTION

_TYPES = re.compile(rf"\b({'|'.join(DETECTORS)})\b")


@dataclass(frozen=True, slots=True)
class Told:
    """An entry of the timeline: one sentence for what detection did; what people wrote stays apart."""

    entry: ReviewEntry

    @property
    def by(self) -> str:
        """Who did it, nobody where detection did."""
        return "" if self.entry.actor == DETECTION.name else self.entry.actor

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
        return f"{action}: {said}" if said else action

    @property
    def note(self) -> str:
        return self.entry.note if self.by else ""


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
