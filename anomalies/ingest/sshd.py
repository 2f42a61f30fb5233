"""OpenSSH: logins in a syslog file such as /var/log/auth.log.

`Failed password|publickey|keyboard-interactive for ...` is a failure and `Accepted ... for ...` a success, of agent
`<source>:sshd` (without a source, `<host>:sshd`) for the user. "message repeated 5 times: [ Failed ... ]" is five
further events, as syslog means it. "Invalid user", "maximum authentication attempts exceeded" and PAM's lines tell of
the same attempts again, so they are no events, nor are lines of other programs.

The times of classic syslog lack the year: the first line's is `options.year`, or else the latest year that does not put
it into the future; each line that would go back in time by more than a day is in the next year. Of the hour that clocks
show twice, a line is in the second if it would go back by more than five minutes in the first; of the hour that they
skip, it is read as if they had not.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BufferedReader
from typing import Any

from anomalies.ingest.fields import event_record, known_ip_address
from anomalies.ingest.ids import Ids
from anomalies.ingest.lines import numbered_lines
from anomalies.ingest.record import EventRecord, FieldError, MisfitError, ReadOptions, Rejection, rejected
from anomalies.ingest.times import TOLERANCE, sane_time
from anomalies.ingest.wording import shown

MAX_REPEATS = 10_000  # of one line
DISORDER = timedelta(days=1)  # by which a line may be earlier than the one before it
JITTER = timedelta(minutes=5)  # by which it may be so in the hour that clocks show twice

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LINE = re.compile(
    r"(?:<\d{1,3}>)?"
    r"(?:(?P<month>[A-Z][a-z]{2}) +(?P<day>\d{1,2}) (?P<clock>\d\d:\d\d:\d\d)|(?P<iso>\d{4}-\d\d-\d\dT\S+)) "
    r"(?P<host>\S+) (?P<program>[^\s:\[]+)(?:\[\d+\])?: ?(?P<message>.*)"
)
_REPEATED = re.compile(r"message repeated (?P<times>\d+) times: \[ ?(?P<message>.*)\]")
# The user is whatever the client says, " from 1.2.3.4 port 1 ssh2" too: the last such words are sshd's own.
_LOGIN = re.compile(
    r"(?:Failed (?P<failed>password|publickey|keyboard-interactive\S*)|Accepted (?P<accepted>\S+)) "
    r"for (?P<invalid>invalid user )?(?P<user>.*) from (?P<address>\S+) port (?P<port>\d{1,5})(?: ssh\d?)?(?:: .*)?"
)


def read(stream: BufferedReader, options: ReadOptions) -> Iterator[EventRecord | Rejection]:
    """Yield the events of each line that is a login, and a rejection for each that is no syslog.

    Raises SourceError where the stream breaks off.
    """
    ids = Ids(options)
    calendar = _Calendar(options)
    for number, line in numbered_lines(stream):
        if isinstance(line, Rejection):
            yield line
            continue
        if not line.strip():
            continue
        try:
            for record in _records(line.decode(), calendar, options):
                yield ids.identified(record)
        except UnicodeDecodeError as error:
            kind = FieldError if _LINE.fullmatch(line.decode(errors="replace")) else MisfitError
            yield rejected(number, kind(f"It is not UTF-8: byte 0x{error.object[error.start]:02x}."))
        except FieldError as error:
            yield rejected(number, error)


def _records(line: str, calendar: "_Calendar", options: ReadOptions) -> Iterator[EventRecord]:
    match = _LINE.fullmatch(line)
    if not match:
        raise MisfitError("It is not a line of syslog, such as: Mar 27 13:06:56 host sshd[1291]: ...")
    time = calendar.time(match)  # also of other programs' lines: they tell when a year ends
    if match["program"] not in ("sshd", "sshd-session"):
        return
    message, times = match["message"], 1
    if repeated := _REPEATED.fullmatch(message):
        message, times = repeated["message"], int(repeated["times"][:9])
        if times > MAX_REPEATS:
            raise FieldError(f"The message is repeated {times:,} times, at most {MAX_REPEATS:,} are believed.")
    login = _LOGIN.fullmatch(message.rstrip())
    if not login:
        return
    fields = _fields(login, host=match["host"], source=options.source)
    record = event_record({"time": sane_time(time, options), **fields}, options)
    for _ in range(times):
        yield record


def _fields(login: re.Match[str], *, host: str, source: str) -> dict[str, Any]:
    address = known_ip_address(login["address"])
    metadata: dict[str, Any] = {"method": login["failed"] or login["accepted"], "port": int(login["port"])}
    if login["invalid"]:
        metadata["invalid_user"] = True
    if address is None:
        metadata["from"] = login["address"]
    return {
        "agent_id": f"{source or host}:sshd",
        "principal_id": login["user"].strip(),
        "action": "ssh.login",
        "status": "failure" if login["failed"] else "success",
        "ip": address,
        "resource": host,
        "resource_type": "host",
        "integration": "sshd",
        "metadata": metadata,
    }


class _Calendar:
    """Gives each line its year, from the lines before it."""

    def __init__(self, options: ReadOptions) -> None:
        self._options = options
        self._zone = options.time_zone or UTC
        self._last: datetime | None = None

    def time(self, line: re.Match[str]) -> datetime:
        """Return when the line was written, aware. Raises FieldError if there is no such time."""
        if line["iso"]:
            try:
                time = datetime.fromisoformat(line["iso"])
            except ValueError:
                raise FieldError(f"time: {shown(line['iso'])} is not ISO 8601.") from None
            time = time if time.tzinfo else time.replace(tzinfo=self._zone)
        else:
            time = self._with_year(line)
        self._last = time
        return time

    def _with_year(self, line: re.Match[str]) -> datetime:
        if self._last is None:
            if self._options.year is not None:
                return self._in_year(self._options.year, line)
            this_year = self._options.now.astimezone(self._zone).year
            time = self._in_year(this_year, line)
            if time > self._options.now + TOLERANCE:
                time = self._in_year(this_year - 1, line)
            if self._options.assumed_year:
                self._options.assumed_year(time.year)
            return time
        year = self._last.year
        if line["month"] == "Dec" and self._last.month == 1:
            late = self._in_year(year - 1, line)  # written just before midnight, logged just after
            if late >= self._last - DISORDER:
                return late
        time = self._in_year(year, line)
        return time if time >= self._last - DISORDER else self._in_year(year + 1, line)

    def _in_year(self, year: int, line: re.Match[str]) -> datetime:
        text = f"{line['month']} {line['day']} {line['clock']}"
        try:
            month = _MONTHS.index(line["month"]) + 1
            hour, minute, second = map(int, line["clock"].split(":"))
            time = datetime(year, month, int(line["day"]), hour, minute, second, tzinfo=self._zone)
        except ValueError:
            raise FieldError(f"time: {text} does not exist in {year}; does the first line have another year?") from None
        # Where the clock is put back, fold=1 is the later of two; where it is put forward, the earlier.
        again = time.replace(fold=1).timestamp()
        if self._last and again > time.timestamp() < self._last.timestamp() - JITTER.total_seconds():
            return time.replace(fold=1)
        return time
