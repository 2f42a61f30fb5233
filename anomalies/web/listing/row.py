"""An anomaly as the list shows it: one line."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import now

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Series, Severity
from anomalies.models.anomaly import SNOOZED, SUPPRESSED, WITHDRAWN

if TYPE_CHECKING:
    from anomalies.web.listing.sparkline import Sparkline

# The first number that stands alone: not the 301 of user_301, nor a part of an address or a clock time.
_NUMBER = re.compile(r"(?<![\w.:/-])\d[\d,]*(?:\.\d+)?(?: %)?(?![\w.:/-]*\d)")


@dataclass(frozen=True, slots=True)
class Row:
    anomaly: Anomaly
    marked: bool = False  # by who looks, for themselves
    spark: "Sparkline | None" = None  # what happened around it, where a series tells
    state: str = ""  # the list that it is a line of, as its query string

    @property
    def address(self) -> str:
        """Of its details, from which leads back to the list."""
        there = reverse("anomaly_detail", args=[self.anomaly.public_id])
        return f"{there}?{self.state}" if self.state else there

    @property
    def opens(self) -> str:
        """The address of the list with it opened beside."""
        return f"{reverse('anomaly_list')}?{self.state}{'&' if self.state else ''}open={self.anomaly.public_id}"

    @property
    def type_label(self) -> str:
        return type_label(self.anomaly.type)

    @property
    def short_type(self) -> str:
        """The type in two or three words, for a narrow column."""
        detector = DETECTORS.get(self.anomaly.type)
        return detector.short_label if detector else self.anomaly.type

    @property
    def severity(self) -> str:
        return Severity(self.anomaly.severity).label

    @property
    def headline(self) -> str:
        """What a reviewer called it, else what happened."""
        return self.anomaly.title or self.anomaly.description

    @property
    def sentence(self) -> SafeString:
        request = self.anomaly.evidence.get("request_name")
        if request and self.anomaly.description.startswith(f"{request}: "):
            # What was asked for may have any name, numbers among them.
            observed = f"{int(self.anomaly.evidence.get('observed', 0)):,}"
            return emphasised(self.anomaly.description, re.compile(rf"\b{observed}\b(?= days)"))
        return emphasised(self.anomaly.description)

    @property
    def who(self) -> str:
        """Whom it is about: of a user's anomaly the user, else the agent."""
        one = self.anomaly
        first, second = one.agent_id, one.principal_id
        if one.kind == Series.Kind.PRINCIPAL:
            first, second = second, first
        return first or second or one.entity

    @property
    def with_whom(self) -> tuple[str, str]:
        """The other one, and how they belong together: `for` the agent's user, `via` the user's agent."""
        one = self.anomaly
        if one.kind == Series.Kind.PRINCIPAL:
            return "via", (one.agent_id or "") if one.principal_id else ""
        return "for", (one.principal_id or "") if one.agent_id else ""

    @property
    def people(self) -> list[tuple[str, str, str]]:
        """Whom it is about: how they belong to the one before, what they are called, and their page if any."""
        known = (("agent_page", self.anomaly.agent_id), ("principal_page", self.anomaly.principal_id))
        urls = {public_id: reverse(name, args=[public_id]) for name, public_id in known if public_id}
        how, whom = self.with_whom
        return [(word, name, urls.get(name, "")) for word, name in (("", self.who), (how, whom)) if name]

    @property
    def ago(self) -> str:
        """How long ago it was detected, within a day: `12 min ago`; empty before that."""
        age = now() - self.anomaly.detected_at
        if not timedelta() <= age < timedelta(days=1):
            return ""
        minutes = int(age.total_seconds()) // 60
        if minutes < 1:
            return "just now"
        return f"{minutes} min ago" if minutes < 60 else f"{minutes // 60} h ago"

    @property
    def where(self) -> str:
        """The countries that its logins came from, else its address."""
        return ", ".join(self.anomaly.countries) or self.anomaly.ip or ""

    @property
    def set_aside(self) -> str:
        """Why nobody is asked to decide about it now, in a word; empty where somebody is, or has."""
        if self.done:
            return ""
        if self.anomaly.state == Anomaly.State.WITHDRAWN:
            return WITHDRAWN
        if self.anomaly.suppression_id is not None:
            return SUPPRESSED
        return SNOOZED if self.anomaly.snoozed_until is not None else ""

    @property
    def done(self) -> bool:
        return self.anomaly.status != Anomaly.Status.OPEN


def type_label(type_: str) -> str:
    """Return the type's name for people; of a type that is no more, its code."""
    return DETECTORS[type_].label if type_ in DETECTORS else type_


def emphasised(sentence: str, number: re.Pattern[str] = _NUMBER) -> SafeString:
    """Return the sentence, escaped, with its first number in bold: the one that was observed."""
    found = number.search(sentence)
    if not found:
        return format_html("{}", sentence)
    return format_html("{}<b>{}</b>{}", sentence[: found.start()], found[0], sentence[found.end() :])
