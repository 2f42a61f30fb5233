"""An anomaly as the list shows it: one line."""

import re
from dataclasses import dataclass

from django.utils.html import format_html
from django.utils.safestring import SafeString

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Severity
from anomalies.models.anomaly import SUPPRESSED, WITHDRAWN

# The first number that stands alone: not the 301 of user_301, nor a part of an address or a clock time.
_NUMBER = re.compile(r"(?<![\w.:/-])\d[\d,]*(?:\.\d+)?(?: %)?(?![\w.:/-]*\d)")


@dataclass(frozen=True, slots=True)
class Row:
    anomaly: Anomaly

    @property
    def type_label(self) -> str:
        return type_label(self.anomaly.type)

    @property
    def severity(self) -> str:
        return Severity(self.anomaly.severity).label

    @property
    def sentence(self) -> SafeString:
        return emphasised(self.anomaly.description)

    @property
    def who(self) -> str:
        return self.anomaly.agent_id or self.anomaly.principal_id or self.anomaly.entity

    @property
    def for_whom(self) -> str:
        """The user, where an agent stands before them."""
        return (self.anomaly.principal_id or "") if self.anomaly.agent_id else ""

    @property
    def set_aside(self) -> str:
        """Why nobody is asked to decide about it, in a word; empty where somebody is, or has."""
        if self.done:
            return ""
        if self.anomaly.state == Anomaly.State.WITHDRAWN:
            return WITHDRAWN
        return SUPPRESSED if self.anomaly.suppression_id is not None else ""

    @property
    def done(self) -> bool:
        return self.anomaly.status != Anomaly.Status.OPEN


def type_label(type_: str) -> str:
    """Return the type's name for people; of a type that is no more, its code."""
    return DETECTORS[type_].label if type_ in DETECTORS else type_


def emphasised(sentence: str) -> SafeString:
    """Return the sentence, escaped, with its first number in bold: the one that was observed."""
    found = _NUMBER.search(sentence)
    if not found:
        return format_html("{}", sentence)
    return format_html("{}<b>{}</b>{}", sentence[: found.start()], found[0], sentence[found.end() :])
