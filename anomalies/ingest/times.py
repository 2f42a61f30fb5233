"""When it happened: ISO 8601 or seconds since the epoch, as an aware time in UTC that makes sense."""

import re
from datetime import UTC, datetime, timedelta

from anomalies.ingest.record import FieldError, ReadOptions
from anomalies.ingest.wording import shown

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
TOLERANCE = timedelta(days=1)  # clocks ahead of ours
EPOCH_TEXT = re.compile(r"-?\d{9,}(\.\d*)?")  # eight digits are a date, 20261120

# Seconds since the epoch reach 10^11 in the year 5138; these units pass it in the years that are accepted.
MAX_NUMBER = 1e21
LARGER_UNITS = ((1e17, "nanoseconds"), (1e14, "microseconds"), (1e11, "milliseconds"))


def parsed_time(value: object, options: ReadOptions, *, field: str = "time") -> datetime:
    """Return the time in UTC. Raises FieldError, which says what was probably meant."""
    if isinstance(value, str):
        text = value.strip()
        if EPOCH_TEXT.fullmatch(text):
            return _from_epoch(float(text), text, options, field)
        try:
            return sane_time(datetime.fromisoformat(text), options, field=field)
        except ValueError:
            raise FieldError(
                f"{field}: {shown(value)} is neither ISO 8601, such as 2026-11-20T12:00:00Z, nor epoch seconds."
            ) from None
    if isinstance(value, datetime):
        return sane_time(value, options, field=field)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_epoch(value, shown(value), options, field)
    raise FieldError(f"{field}: {shown(value)} is not a time; send ISO 8601 or epoch seconds.")


def sane_time(time: datetime, options: ReadOptions, *, field: str = "time") -> datetime:
    """Return the time in UTC, a naive one read in the options' zone. Raises FieldError if nobody would keep it."""
    if time.tzinfo is not UTC:  # most are, and need no conversion
        try:
            if time.tzinfo is None:
                time = time.replace(tzinfo=options.time_zone or UTC)
            time = time.astimezone(UTC)
        except OverflowError:
            raise FieldError(f"{field}: {time.isoformat()} is out of range.") from None
    if time < EARLIEST:
        raise FieldError(f"{field}: {time:%Y-%m-%d} is before 2000; is it seconds since 1970-01-01?")
    if options.kept_days and time < options.now - timedelta(days=options.kept_days):
        raise FieldError(f"{field}: {time:%Y-%m-%d} is older than the {options.kept_days:,} days that are kept.")
    if time > options.now + TOLERANCE:
        raise FieldError(f"{field}: {time.isoformat()} is more than a day after now; is the year or the unit wrong?")
    return time


def _from_epoch(seconds: float, text: str, options: ReadOptions, field: str) -> datetime:
    if not -MAX_NUMBER < seconds < MAX_NUMBER:  # also refuses NaN, and integers that no float can hold
        raise FieldError(f"{field}: {text} is not a time.")
    for least, unit in LARGER_UNITS:
        if seconds >= least:
            raise FieldError(f"{field}: {text[:40]} looks like epoch {unit}; send seconds or ISO 8601.")
    if seconds < EARLIEST.timestamp():
        raise FieldError(f"{field}: {text[:40]} as epoch seconds is before 2000.")
    return sane_time(datetime.fromtimestamp(seconds, UTC), options, field=field)
