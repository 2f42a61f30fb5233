"""Which messages a channel is told: by their types, by severity, and by the filters of the list."""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from django.db.models import Q

from anomalies.detection.registry import DETECTORS, counting
from anomalies.models import Anomaly, Channel, Delivery, OutboxMessage, Rule, Severity

MESSAGE_TYPES = {
    "anomaly.detected": "Detected, or up for review again",
    "anomaly.updated": "Worse, going on again, or a decision taken back",
    "anomaly.closed": "Back to normal",
    "anomaly.merged": "Merged with another",
    "anomaly.parted": "Parted from another",
    "anomaly.acknowledged": "Acknowledged",
    "anomaly.resolved": "Resolved",
    "anomaly.reopened": "Reopened",
    "anomaly.snoozed": "Snoozed",
    "anomaly.woken": "Back from snooze",
    "anomaly.assigned": "Assigned",
    "anomaly.renamed": "Renamed",
    "anomaly.suppressed": "Suppressed",
}
USUAL = (
    *("anomaly.detected", "anomaly.updated", "anomaly.closed"),
    *("anomaly.acknowledged", "anomaly.resolved", "anomaly.reopened"),
)
MOST_VALUES = 50  # of a filter
_SEVERITIES = {severity.label: severity.value for severity in Severity}
_COLUMNS = {
    "type": "type",
    "severity": "severity",
    "resource_type": "resource_type",
    "agent": "agent_id",
    "user": "principal_id",
    "integration": "integration",
    "country": "countries",
}


class FilterError(ValueError):
    """A filter by which nothing can be routed; its text names what is wrong with it."""


def parsed(text: str) -> dict[str, list[str]]:
    """Return by name the values of a filter, such as `type=rate_spike&severity=high`. Raises FilterError.

    The address of the list may be given as a whole. A type that is no more passes: what was saved with it still holds.
    """
    query = text.strip().rpartition("?")[2]
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=200)
    except ValueError as error:
        raise FilterError("it is no filter; copy what follows the ? in the address of the list.") from error
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in _COLUMNS:
            raise FilterError(f"“{name[:40]}” cannot choose what is sent, only {', '.join(_COLUMNS)}.")
        if not value or "\x00" in value:
            raise FilterError(f"{name}: a value is missing.")
        if name == "severity" and value not in _SEVERITIES:
            raise FilterError(f"severity: there is no “{value[:60]}”, only {', '.join(_SEVERITIES)}.")
        found.setdefault(name, []).append(value)
    if name := next((name for name, values in found.items() if len(values) > MOST_VALUES), ""):
        raise FilterError(f"{name}: {len(found[name])} values; at most {MOST_VALUES}.")
    return found


def checked(text: str) -> dict[str, list[str]]:
    """Return the values of a filter that is to be saved. Raises FilterError."""
    found = parsed(text)
    for type_ in found.get("type", []):
        if type_ not in DETECTORS:
            raise FilterError(f"type: there is no “{type_[:60]}”.")
    return found


def passing(channel: Channel, messages: Sequence[OutboxMessage]) -> list[OutboxMessage]:
    """Return in their order those that the channel is told.

    Of what a rule raised that names channels, only those are. Who was told of an anomaly is told how it goes on, also
    once it passes the filters no more.
    """
    wanted = [message for message in messages if message.type in channel.message_types]
    ids = {message.anomaly_id for message in wanted}
    meant = Anomaly.objects.filter(_meant(parsed(channel.filter)), pk__in=ids)
    elsewhere = Q(type__in=counting("rule_events"), topic__in=_rules_told_elsewhere(channel))
    matching = set(meant.exclude(elsewhere).values_list("pk", flat=True))
    told = set(Delivery.objects.filter(channel=channel, anomaly__in=ids).values_list("anomaly_id", flat=True))
    found = []
    for message in wanted:
        severe = _SEVERITIES.get(message.payload.get("severity", ""), Severity.HIGH) >= channel.least_severity
        if message.anomaly_id in told or (severe and message.anomaly_id in matching):
            told.add(message.anomaly_id)
            found.append(message)
    return found


def _rules_told_elsewhere(channel: Channel) -> list[str]:
    """Return the rules that name others. One whose channels were all deleted names none: somebody is told."""
    naming = dict(Rule.objects.exclude(channels=[]).values_list("public_id", "channels"))
    if not naming:
        return []
    kept = set(Channel.objects.kept().values_list("public_id", flat=True))
    return [rule for rule, named in naming.items() if channel.public_id not in named and not kept.isdisjoint(named)]


def _meant(wanted: Mapping[str, Sequence[str]]) -> Q:
    meant = Q()
    for name, values in wanted.items():
        if name == "country":
            meant &= Q(countries__overlap=list(values))
        elif name == "severity":
            meant &= Q(severity__in=[_SEVERITIES[value] for value in values])
        else:
            meant &= Q(**{f"{_COLUMNS[name]}__in": list(values)})
    return meant
