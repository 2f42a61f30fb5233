"""Events as the lines that COPY takes, and what all of a batch's say together."""

from collections.abc import Iterator
from datetime import date, datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from anomalies.ingest.record import EventRecord

TEXTS = (
    "principal_id",
    "external_id",
    "agent_id",
    "action",
    "status",
    "grant_id",
    "request_id",
    "resource",
    "resource_type",
    "integration",
    "permission",
    "country",
    "city",
    "user_agent",
)
COLUMNS = ", ".join((*TEXTS, "time", "ip", "latitude", "longitude", "metadata"))
BLOCK_LINES = 1000
_TABS = len(TEXTS) - 1
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_NULL = r"\N"


class Rows:
    """The events of one batch, each time and id once: the first of a batch wins."""

    def __init__(self) -> None:
        self.given = 0
        self.agents: set[str] = set()
        self.principals: set[str | None] = set()
        self.grants: dict[str, EventRecord] = {}  # by id, the earliest event of each
        self._lines: dict[tuple[str, str], str] = {}  # times in UTC as text: in that order, too
        self._times: list[datetime] = []

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, event: EventRecord) -> None:
        self.given += 1
        time = event.time.isoformat()
        key = time, event.external_id
        if key not in self._lines:
            self._lines[key] = _line(event, time)
            self._times.append(event.time)
        self.agents.add(event.agent_id)
        self.principals.add(event.principal_id)
        if event.grant_id:
            earliest = self.grants.setdefault(event.grant_id, event)
            if event.time < earliest.time:
                self.grants[event.grant_id] = event

    @property
    def days(self) -> set[date]:
        return {date.fromisoformat(day) for day in {time[:10] for time, _ in self._lines}}

    @property
    def first_time(self) -> datetime:
        return min(self._times)

    @property
    def last_time(self) -> datetime:
        return max(self._times)

    def delays(self, received_at: datetime) -> NDArray[np.float64]:
        """Return how long before that each event happened, in seconds."""
        return received_at.timestamp() - np.array([time.timestamp() for time in self._times])

    def blocks(self, first_columns: str) -> Iterator[bytes]:
        """Yield COPY's input by time and id, each line with these columns before its own."""
        lines = [self._lines[key] for key in sorted(self._lines)]
        for start in range(0, len(lines), BLOCK_LINES):
            yield (first_columns + first_columns.join(lines[start : start + BLOCK_LINES])).encode()


def _line(event: EventRecord, time: str) -> str:
    texts = (
        f"{event.principal_id or ''}\t{event.external_id}\t{event.agent_id}\t{event.action}\t{event.status}\t"
        f"{event.grant_id}\t{event.request_id}\t{event.resource}\t{event.resource_type}\t{event.integration}\t"
        f"{event.permission}\t{event.country}\t{event.city}\t{event.user_agent}"
    )
    # Hardly any text holds what COPY reads as something else.
    if "\\" in texts or "\n" in texts or "\r" in texts or texts.count("\t") != _TABS:
        texts = "\t".join((getattr(event, name) or "").translate(_ESCAPES) for name in TEXTS)
    if not event.principal_id:
        texts = _NULL + texts
    latitude = _NULL if event.latitude is None else repr(event.latitude)
    longitude = _NULL if event.longitude is None else repr(event.longitude)
    metadata = msgspec.json.encode(event.metadata).decode().replace("\\", r"\\") if event.metadata else "{}"
    return f"{texts}\t{time}\t{event.ip or _NULL}\t{latitude}\t{longitude}\t{metadata}\n"
