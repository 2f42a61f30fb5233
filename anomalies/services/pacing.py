"""When a channel is told: at once or in digests, and not in its quiet hours. All of it follows from the clock."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.db.models import Exists, OuterRef, Q

from anomalies.models import Channel, Delivery

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NAMES = ("pace", "digest_at", "time_zone", "quiet_from", "quiet_to", "quiet_days", "urgent_at_once")  # of a channel
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# Waits for its first turn: nobody tried to send it, alone or with others.
FRESH = Q(attempts=0, digest="", outcome="")


def errors_of(wanted: Mapping[str, Any], *, digests: bool) -> dict[str, str]:
    """Return by name why a channel cannot be told like this; nothing where it can."""
    errors = {}
    if wanted["pace"] not in Channel.Pace.values:
        errors["pace"] = f"One of {', '.join(Channel.Pace.values)}."
    elif wanted["pace"] != Channel.Pace.AT_ONCE and not digests:
        errors["pace"] = "This kind is told at once: it keeps a record of each anomaly, and takes no digest."
    if wanted["time_zone"] not in available_timezones():
        errors["time_zone"] = "It is no time zone; it is a name such as Europe/Berlin."
    for name in ("digest_at", "quiet_from", "quiet_to"):
        if not _is_time(wanted[name]) and (wanted[name] != "" or name == "digest_at"):
            errors[name] = "It is no time of the day such as 07:30."
    if not isinstance(wanted["urgent_at_once"], bool):
        errors["urgent_at_once"] = "True or false."
    return errors | _errors_of_quiet(wanted)


def _errors_of_quiet(wanted: Mapping[str, Any]) -> dict[str, str]:
    days = wanted["quiet_days"]
    if not isinstance(days, list) or not set(days) <= set(range(7)):
        return {"quiet_days": "Numbers of weekdays; 0 is Monday, 6 is Sunday."}
    if wanted["quiet_from"] and not wanted["quiet_to"]:
        return {"quiet_to": "When do they end?"}
    if wanted["quiet_to"] and not wanted["quiet_from"]:
        return {"quiet_from": "When do they begin?"}
    if wanted["quiet_from"] and not days:
        return {"quiet_days": "Choose the days on which they begin."}
    if wanted["quiet_from"] and wanted["quiet_from"] == wanted["quiet_to"] and len(set(days)) == 7:
        return {"quiet_to": "It would never be told anything: they begin anew when they end."}
    return {}


def quiet_until(channel: Channel, at: datetime) -> datetime | None:
    """Return when the quiet hours end that it is now, or None if it is none. Those that join are one."""
    end = None
    while until := _quiet_span_end(channel, end or at):
        end = until
    return end


def last_slot(channel: Channel, at: datetime) -> datetime | None:
    """Return when a digest was due last, or None if there is none."""
    if channel.pace == Channel.Pace.AT_ONCE:
        return None
    if channel.pace == Channel.Pace.HOURLY:
        return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return max(slot for slot in _daily_slots(channel, at) if slot <= at)


def next_turn(channel: Channel, at: datetime) -> datetime | None:
    """Return when it is told what is announced now, or None if that is at once."""
    if channel.pace == Channel.Pace.AT_ONCE:
        return quiet_until(channel, at)
    if channel.pace == Channel.Pace.HOURLY:
        slot = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + HOUR
    else:
        slot = min(slot for slot in _daily_slots(channel, at) if slot > at)
    return quiet_until(channel, slot) or slot


def sendable(channel: Channel, at: datetime) -> Q:
    """Which of its deliveries may be sent now, apart from what else they wait for."""
    quiet = quiet_until(channel, at) is not None
    if not quiet and channel.pace == Channel.Pace.AT_ONCE:
        return Q()
    may = Q(pk__in=[]) if quiet else ~FRESH
    if channel.urgent_at_once:
        urgent = Delivery.objects.unfinished().filter(
            channel=channel, anomaly=OuterRef("anomaly"), digest="", message__payload__severity="high"
        )
        may |= Q(Exists(urgent), digest="")  # with what was announced before of the same anomaly
    return may


def _quiet_span_end(channel: Channel, at: datetime) -> datetime | None:
    if not channel.quiet_from:
        return None
    zone = ZoneInfo(channel.time_zone)
    today = at.astimezone(zone).date()
    begin, end = time.fromisoformat(channel.quiet_from), time.fromisoformat(channel.quiet_to)
    for day in (today - DAY, today):
        if day.weekday() in channel.quiet_days:
            until = day if begin < end else day + DAY
            span = [datetime.combine(date, clock, zone).astimezone(UTC) for date, clock in ((day, begin), (until, end))]
            if span[0] <= at < span[1]:
                return span[1]
    return None


def _daily_slots(channel: Channel, at: datetime) -> list[datetime]:
    zone = ZoneInfo(channel.time_zone)
    today, clock = at.astimezone(zone).date(), time.fromisoformat(channel.digest_at)
    return [datetime.combine(today + DAY * days, clock, zone).astimezone(UTC) for days in (-2, -1, 0, 1, 2)]


def _is_time(value: Any) -> bool:
    if not isinstance(value, str) or len(value) != 5:
        return False
    try:
        time.fromisoformat(value)
    except ValueError:
        return False
    return True
