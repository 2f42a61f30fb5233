"""What reviewers do not want to be asked about: made and ended by people, applied when an anomaly is raised."""

import ipaddress
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Max, Q

from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Severity, Suppression
from anomalies.models.anomaly import AnomalyQuerySet
from anomalies.services import changes
from anomalies.services.actor import Actor

NEWEST = 20  # anomalies that a preview names
MAX_REASON_LENGTH = 10_000  # characters
LENGTHS = {field.name: field.max_length or 0 for field in Suppression._meta.concrete_fields}


@dataclass(frozen=True, slots=True)
class Conditions:
    """Which anomalies: those that meet all that is given. `network` is an address or a network in CIDR form.

    An anomaly is of an agent, a user, an address, a resource or an integration if all events behind it are.
    """

    type: str = ""
    agent_id: str = ""
    principal_id: str = ""
    network: str = ""
    resource: str = ""
    integration: str = ""
    highest_severity: int = Severity.HIGH  # worse ones are raised all the same


@dataclass(frozen=True, slots=True)
class Preview:
    """Anomalies of the past that conditions would have hidden."""

    days: int
    total: int
    counts: list[tuple[str, str, int]]  # type, verdict or status, how many; most first
    newest: list[Anomaly]  # at most 20


@dataclass(frozen=True, slots=True)
class Hits:
    count: int
    last: datetime | None  # when the newest of them was detected


class SuppressionError(Exception):
    """A suppression that cannot be; `field` is what is wrong with it."""

    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}")


class AlreadyEndedError(Exception):
    def __init__(self, suppression: Suppression) -> None:
        super().__init__(f"{suppression.public_id} was ended already by {suppression.ended_by}.")


def errors_of(conditions: Conditions) -> dict[str, str]:
    """Return what is wrong with conditions, by field."""
    given = asdict(conditions)
    severity = given.pop("highest_severity")
    errors = {}
    for field, value in given.items():
        if "\x00" in value:
            errors[field] = "it is no text."
        elif len(value) > LENGTHS[field]:
            errors[field] = f"{len(value):,} characters, at most {LENGTHS[field]:,} are kept."
    if conditions.type and conditions.type not in DETECTORS:
        errors["type"] = f"there is no type {conditions.type!r:.80}, only {', '.join(DETECTORS)}."
    if conditions.network and "network" not in errors:
        try:
            ipaddress.ip_network(conditions.network)
        except ValueError as error:
            errors["network"] = f"{error}; it is an address or a network such as 192.0.2.0/24."
    if severity not in Severity.values:
        errors["highest_severity"] = f"{severity!r:.80} is none of {', '.join(map(str, Severity.values))}."
    if not any(given.values()):
        errors["conditions"] = "at least one is needed; without, each anomaly would be hidden."
    return errors


@transaction.atomic
def create(
    *, reason: str, owner: str, conditions: Conditions, expires_at: datetime | None, by: Actor, at: datetime
) -> Suppression:
    """Hide from review what is raised from now on and meets the conditions. Without `expires_at`, until it is ended.

    `owner` answers for it. Raises SuppressionError.
    """
    for field, error in errors_of(conditions).items():
        raise SuppressionError(field, error)
    for field, text, most in (("reason", reason, MAX_REASON_LENGTH), ("owner", owner, LENGTHS["owner"])):
        if not text.strip() or "\x00" in text or len(text) > most:
            raise SuppressionError(field, f"it has 1 to {most:,} characters.")
    if expires_at is not None and expires_at <= at:
        raise SuppressionError("expires_at", f"{expires_at:%Y-%m-%d %H:%M %Z} is past.")
    made = Suppression.objects.create(
        reason=reason.strip(),
        owner=owner.strip(),
        **asdict(conditions),
        created_at=at,
        created_by=by.name,
        expires_at=expires_at,
    )
    given = {name: value for name, value in asdict(conditions).items() if value}
    set_to = {**given, "owner": made.owner, **({"expires_at": expires_at.isoformat()} if expires_at else {})}
    changes.record(
        "suppression", made.public_id, "created", by=by, at=at, changes=changes.between({}, set_to), note=made.reason
    )
    return made


@transaction.atomic
def end(suppression: Suppression, *, by: Actor, at: datetime) -> None:
    """Ask again about what is raised from now on; what it hid stays hidden. Raises AlreadyEndedError."""
    ended = Suppression.objects.filter(pk=suppression.pk, ended_at__isnull=True).update(ended_at=at, ended_by=by.name)
    suppression.refresh_from_db()
    if not ended:
        raise AlreadyEndedError(suppression)
    changes.record("suppression", suppression.public_id, "ended", by=by, at=at, note=suppression.reason)


def preview(conditions: Conditions, *, at: datetime, days: int = 30) -> Preview:
    """Return which anomalies of the days before it would have hidden. Raises SuppressionError."""
    for field, error in errors_of(conditions).items():
        raise SuppressionError(field, error)
    past = Anomaly.objects.standing().filter(
        _matching(conditions), detected_at__gte=at - timedelta(days=days), detected_at__lte=at
    )
    grouped = past.order_by().values_list("type", "status", "verdict").annotate(n=Count("pk"))
    counts = [(type_, verdict or status, n) for type_, status, verdict, n in grouped]
    return Preview(
        days=days,
        total=sum(n for _, _, n in counts),
        counts=sorted(counts, key=lambda row: (-row[2], row)),
        newest=list(past.newest_first()[:NEWEST]),
    )


def meeting(conditions: Conditions, *, since: datetime) -> AnomalyQuerySet:
    """Return the anomalies detected since then that meet conditions."""
    return Anomaly.objects.standing().filter(_matching(conditions), detected_at__gte=since)


def asked_about(conditions: Conditions) -> AnomalyQuerySet:
    """Return the anomalies that are up for review now and meet conditions."""
    return Anomaly.objects.needs_review().filter(_matching(conditions))


def hits(suppression: Suppression) -> Hits:
    """Return how many anomalies it hides."""
    return Hits(**Anomaly.objects.filter(suppression=suppression).aggregate(count=Count("pk"), last=Max("detected_at")))


def in_force_for(anomaly: Anomaly, *, at: datetime) -> Suppression | None:
    """Return the first suppression in force then whose conditions an anomaly meets, or None."""
    of_it = Suppression.objects.in_force(at=at).filter(
        type__in=["", anomaly.type], agent_id__in=["", anomaly.agent_id or ""], highest_severity__gte=anomaly.severity
    )
    return next((one for one in of_it.order_by("id") if meets(anomaly, conditions_of(one))), None)


def told(suppression: Suppression) -> str:
    """Say on a timeline why nobody is asked."""
    return f"{suppression.reason} ({suppression.public_id}, {suppression.owner})"


def uncovered(anomaly: Anomaly, *, worse: bool, at: datetime) -> str:
    """Return why a suppressed anomaly is to be reviewed after all, or "" where it is covered or is none.

    It is, while it meets the conditions; once it gets worse, only if the suppression is still in force.
    """
    suppression = anomaly.suppression
    if suppression is None:
        return ""
    if anomaly.severity > suppression.highest_severity:
        highest = Severity(suppression.highest_severity).label
        return f"no longer suppressed: its severity is above {highest} ({suppression.public_id})"
    if not meets(anomaly, conditions_of(suppression)):
        return f"no longer suppressed: it does not meet the conditions of {suppression.public_id} any more"
    if worse and not Suppression.objects.in_force(at=at).filter(pk=suppression.pk).exists():
        how = "was ended" if suppression.ended_at else "has expired"
        return f"no longer suppressed: its severity rose and {suppression.public_id} {how}"
    return ""


def conditions_of(suppression: Suppression) -> Conditions:
    return Conditions(**{name: getattr(suppression, name) for name in Conditions.__dataclass_fields__})


def meets(anomaly: Anomaly, conditions: Conditions) -> bool:
    """Say whether an anomaly meets conditions, as `_matching` says it in SQL."""
    equal: Sequence[tuple[str, str | None]] = (
        (conditions.type, anomaly.type),
        (conditions.agent_id, anomaly.agent_id),
        (conditions.principal_id, anomaly.principal_id),
        (conditions.resource, anomaly.resource),
        (conditions.integration, anomaly.integration),
    )
    return (
        all(wanted in ("", value) for wanted, value in equal)
        and anomaly.severity <= conditions.highest_severity
        and (not conditions.network or _within(anomaly.ip, conditions.network))
    )


def _within(ip: str | None, network: str) -> bool:
    return ip is not None and ipaddress.ip_address(ip) in ipaddress.ip_network(network)


def _matching(conditions: Conditions) -> Q:
    wanted: dict[str, Any] = {
        name: value
        for name, value in asdict(conditions).items()
        if value and name not in ("network", "highest_severity")
    }
    matching = Q(**wanted, severity__lte=conditions.highest_severity)
    if conditions.network:
        network = ipaddress.ip_network(conditions.network)
        # PostgreSQL orders addresses of one family by their bits.
        matching &= Q(ip__range=(str(network.network_address), str(network.broadcast_address)))
    return matching
