"""What people decide about anomalies: each verb once, for one anomaly and for ten thousand alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from anomalies.models import Anomaly, ReviewEntry, Suppression
from anomalies.models.anomaly import SUPPRESSED, WITHDRAWN
from anomalies.services.actor import Actor

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MAX_NOTE_LENGTH = 10_000  # characters
MAX_TITLE_LENGTH = 200  # characters
LONGEST_SNOOZE = timedelta(days=366)  # a year, a leap year among them
REVIEW = "anomalies.review_anomaly"
NOTHING: Mapping[str, Any] = MappingProxyType({})

# What an anomaly has about which nobody decided: reopened, it has it again.
UNDECIDED: Mapping[str, Any] = MappingProxyType(
    {
        "status": Anomaly.Status.OPEN,
        "verdict": "",
        "acknowledged_at": None,
        "acknowledged_by": "",
        "resolved_at": None,
        "resolved_by": "",
        "reason": "",
        "snoozed_until": None,
    }
)


class ReviewError(Exception):
    """A review action that cannot be done; its text is for the person who asked."""


class RefusedError(ReviewError):
    """A decision that leaves an anomaly as it is; `reason` says what the anomaly is."""

    def __init__(self, anomaly: Anomaly, reason: str) -> None:
        self.anomaly, self.reason = anomaly, reason
        super().__init__(f"{anomaly.public_id} is {reason}.")


class AlreadyDecidedError(RefusedError):
    """Somebody was faster; `entry` is what they did."""

    def __init__(self, anomaly: Anomaly, entry: ReviewEntry | None) -> None:
        self.entry = entry
        by = f" by {entry.actor}" if entry else ""
        if entry and entry.action != anomaly.status:
            by = f", {entry.get_action_display().lower()}{by}"
        super().__init__(anomaly, f"already {anomaly.status}{by}")


class OvertakenError(RefusedError):
    """Somebody else changed the same since it was shown; `entry` is what they did."""

    def __init__(self, anomaly: Anomaly, entry: ReviewEntry | None) -> None:
        self.entry = entry
        did = f"{entry.get_action_display().lower()} by {entry.actor}" if entry else "changed"
        super().__init__(anomaly, f"already {did}, since it was shown to you")


class NoteTooLongError(ReviewError):
    def __init__(self, note: str, name: str = "note") -> None:
        super().__init__(f"{name}: {len(note):,} characters, at most {MAX_NOTE_LENGTH:,} are kept.")


@dataclass(frozen=True, slots=True)
class Decision:
    """One verb: from which statuses it starts, which fields it sets to what, and what is told of it."""

    action: ReviewEntry.Action
    sets: Mapping[str, Any] = field(default_factory=dict)
    sets_if_open: Mapping[str, Any] = field(default_factory=dict)  # what an earlier decision has set already stays
    starts: frozenset[str] = frozenset(Anomaly.Status.values)
    asked_only: bool = False  # not of those that nobody is asked about anyway
    message: str = ""  # the type of message that others get; none: they are not told
    seen: Mapping[str, Any] = field(default_factory=dict)  # fields as who decides saw them; else somebody was faster
    unchanged: str = ""  # what an anomaly is that has all these values; empty: decided by somebody

    def refusal(self, anomaly: Anomaly, last: ReviewEntry | None) -> RefusedError | None:
        """Return why it leaves the anomaly as it is, if it does.

        `last` is the decision that gave it its status, or with `seen` the last one that changed any of that.
        """
        if not self.sets:
            return None
        if anomaly.merged_into is not None:
            return RefusedError(anomaly, f"merged into {anomaly.merged_into.public_id}, which is decided about instead")
        if anomaly.status not in self.starts:
            return AlreadyDecidedError(anomaly, last)
        if self.asked_only and (why := set_aside(anomaly)):
            return RefusedError(anomaly, f"{why}: nobody is asked about it")
        if _has(vars(anomaly), self.sets):
            return RefusedError(anomaly, self.unchanged) if self.unchanged else AlreadyDecidedError(anomaly, last)
        return None if _has(vars(anomaly), self.seen) else OvertakenError(anomaly, last)

    @property
    def looks_at(self) -> list[str]:
        """The names of the columns that `refusal` looks at."""
        names = ("status", "state", "suppression", "merged_into", *self.sets, *self.seen)
        return list(dict.fromkeys(Anomaly.field(name).attname for name in names))

    def kind(self, columns: Mapping[str, Any]) -> tuple[Any, ...]:
        """What `refusal` makes of the columns that it looks at: anomalies of one kind are refused alike."""
        own = (columns["status"], columns["state"], columns["suppression_id"], columns["merged_into_id"])
        return (*own, _has(columns, self.sets), _has(columns, self.seen))


def _has(columns: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(columns[Anomaly.field(name).attname] == value for name, value in values.items())


def set_aside(anomaly: Anomaly) -> str:
    """Return why nobody is asked about an anomaly, decided or not, in a word; empty where somebody is."""
    if anomaly.state == Anomaly.State.WITHDRAWN:
        return WITHDRAWN
    return SUPPRESSED if anomaly.suppression_id is not None else ""


def checked_note(note: str, name: str = "note") -> str:
    """Return a note as it is kept. Raises NoteTooLongError."""
    if len(note) > MAX_NOTE_LENGTH:
        raise NoteTooLongError(note, name)
    return note.strip().replace("\x00", "")


def forget(anomaly: Anomaly) -> dict[str, list[Any]]:
    """Let an anomaly in memory be undecided, and return what that changes, as entries keep it."""
    changes = {name: [_plain(getattr(anomaly, name)), value] for name, value in UNDECIDED.items()}
    for name, value in UNDECIDED.items():
        setattr(anomaly, name, value)
    return changes


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def acknowledging(*, by: Actor, at: datetime) -> Decision:
    return Decision(
        ReviewEntry.Action.ACKNOWLEDGED,
        sets={
            "status": Anomaly.Status.ACKNOWLEDGED,
            "acknowledged_at": at,
            "acknowledged_by": by.name,
            "snoozed_until": None,
        },
        starts=frozenset({Anomaly.Status.OPEN}),
        message="anomaly.acknowledged",
    )


def resolving(*, verdict: str, reason: str, by: Actor, at: datetime) -> Decision:
    """What is resolved was seen: it is acknowledged as well, for those who know of that alone. Raises ReviewError."""
    if verdict not in Anomaly.Verdict.values:
        raise ReviewError(f"verdict: {verdict!r:.80} is none of {', '.join(Anomaly.Verdict.values)}.")
    return Decision(
        ReviewEntry.Action.RESOLVED,
        sets={
            "status": Anomaly.Status.RESOLVED,
            "verdict": verdict,
            "resolved_at": at,
            "resolved_by": by.name,
            "reason": reason,
            "snoozed_until": None,
        },
        sets_if_open={"acknowledged_at": at, "acknowledged_by": by.name},
        starts=frozenset({Anomaly.Status.OPEN, Anomaly.Status.ACKNOWLEDGED}),
        message="anomaly.resolved",
    )


def reopening() -> Decision:
    """Ask again, also about what is snoozed."""
    return Decision(ReviewEntry.Action.REOPENED, sets=UNDECIDED, message="anomaly.reopened")


def snoozing(*, until: datetime, at: datetime) -> Decision:
    """Raises ReviewError if the time is none at which it could come back."""
    if timezone.is_naive(until):
        raise ReviewError("until: it names no time zone.")
    if until <= at:
        raise ReviewError(f"until: {until:%Y-%m-%d %H:%M %Z} is past.")
    if until - at > LONGEST_SNOOZE:
        raise ReviewError(f"until: {until:%Y-%m-%d %H:%M %Z} is more than a year away.")
    return Decision(
        ReviewEntry.Action.SNOOZED,
        sets={"snoozed_until": until},
        starts=frozenset({Anomaly.Status.OPEN}),
        asked_only=True,
        message="anomaly.snoozed",
        unchanged="already snoozed until then",
    )


def waking(*, told: bool) -> Decision:
    return Decision(
        ReviewEntry.Action.WOKEN,
        sets={"snoozed_until": None},
        message="anomaly.woken" if told else "",
        unchanged="not snoozed",
    )


def assigning(*, to: "User | None", seen: Mapping[str, Any] = NOTHING) -> Decision:
    """Raises ReviewError if that person cannot decide."""
    if to is not None and not (to.is_active and to.has_perm(REVIEW)):
        raise ReviewError(f"assignee: {to.get_username()} may not review anomalies.")
    return Decision(
        ReviewEntry.Action.ASSIGNED,
        sets={"assignee": to.pk if to else None},
        message="anomaly.assigned",
        seen=seen,
        unchanged=f"already assigned to {to.get_username()}" if to else "assigned to nobody already",
    )


def renaming(*, title: str, seen: Mapping[str, Any] = NOTHING) -> Decision:
    """Raises ReviewError if the title is too long or more than a line."""
    title = title.strip()
    if len(title) > MAX_TITLE_LENGTH:
        raise ReviewError(f"title: {len(title):,} characters, at most {MAX_TITLE_LENGTH:,} are kept.")
    if any(ord(character) < 32 or character in "\x7f\x85\u2028\u2029" for character in title):
        raise ReviewError("title: it is one line of text.")
    return Decision(
        ReviewEntry.Action.RENAMED,
        sets={"title": title},
        message="anomaly.renamed",
        seen=seen,
        unchanged="called that already" if title else "without a name already",
    )


def suppressing(*, suppression: Suppression) -> Decision:
    return Decision(
        ReviewEntry.Action.SUPPRESSED,
        sets={"suppression": suppression.pk, "snoozed_until": None},
        starts=frozenset({Anomaly.Status.OPEN}),
        asked_only=True,
        message="anomaly.suppressed",
    )


def noting() -> Decision:
    return Decision(ReviewEntry.Action.NOTED)
