"""All anomalies that pass the filters, in the order of the list, as a file: CSV, JSON, NDJSON or OCSF, of any size.

One statement reads them, so a file holds what matched when it was asked for, whatever arrives or is decided meanwhile.
How many that are stands in the file's name and in the header `Anomalies-Count`; a file that is cut off has fewer, and
one of JSON has no end.
"""

import asyncio
import csv
import json
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from itertools import islice
from threading import BoundedSemaphore
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.db import connection, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from anomalies.models import Anomaly
from anomalies.services import ocsf
from anomalies.services.spreadsheet import guarded
from anomalies.web.access import VIEW, requires
from anomalies.web.listing.listing import Listing
from anomalies.web.listing.row import Row, type_label
from anomalies.web.request import Request
from anomalies.web.zone import in_own_zone

ROWS_AT_ONCE = 500
MOST_AT_ONCE = 4  # exports; each holds a connection to the database for as long as it is fetched
IDLE_SECONDS = 300  # that a client may take for one part of the file

_running = BoundedSemaphore(MOST_AT_ONCE)

COLUMNS: dict[str, Callable[[Anomaly], Any]] = {
    "id": lambda one: one.public_id,
    "detected_at": lambda one: one.detected_at,
    "severity": lambda one: one.get_severity_display(),
    "type": lambda one: one.type,
    "type_label": lambda one: type_label(one.type),
    "description": lambda one: one.description,
    "title": lambda one: one.title,
    "agent_id": lambda one: one.agent_id,
    "user_id": lambda one: one.principal_id,
    "entity_kind": lambda one: one.kind,
    "entity": lambda one: one.entity,
    "address": lambda one: one.ip,
    "countries": lambda one: one.countries,
    "integration": lambda one: one.integration,
    "platforms": lambda one: one.platforms,
    "resource": lambda one: one.resource,
    "resource_type": lambda one: one.resource_type,
    "status": lambda one: Row(one).set_aside or one.status,
    "assignee": lambda one: one.assignee.get_username() if one.assignee else "",
    "snoozed_until": lambda one: one.snoozed_until,
    "verdict": lambda one: one.verdict,
    "reason": lambda one: one.reason,
    "decided_by": lambda one: one.resolved_by or one.acknowledged_by,
    "decided_at": lambda one: one.resolved_at or one.acknowledged_at,
    "state": lambda one: one.state,
    "started_at": lambda one: one.started_at,
    "active_until": lambda one: one.active_until,
    "ended_at": lambda one: one.ended_at,
    "score": lambda one: one.score,
    **{
        name: lambda one, name=name: one.evidence.get(name)  # type: ignore[misc]  # its default is no argument
        for name in ("observed", "expected", "lower", "upper", "p", "unit", "resolution_seconds", "event_count")
    },
    "detector_version": lambda one: one.evidence.get("detector_version"),
    "why": lambda one: one.evidence.get("why"),
}


@dataclass(frozen=True, slots=True)
class Format:
    content_type: str
    write: Callable[[Iterator[Anomaly], dict[str, Any]], Iterator[str]]  # what matches, and what is said once
    suffix: str = ""  # of the file, where it is not the format's name


def _plain(value: Any) -> Any:
    """A time in UTC as ISO 8601 has it; all else as it is."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _cell(value: Any) -> Any:
    """A text that no spreadsheet takes for a formula, a list with semicolons between, or a number."""
    if isinstance(value, list):
        value = ";".join(value)
    return guarded(value)


def _row(one: Anomaly) -> list[Any]:
    return [_plain(value(one)) for value in COLUMNS.values()]


def _by_parts(found: Iterator[Anomaly]) -> Iterator[list[Anomaly]]:
    while part := list(islice(found, ROWS_AT_ONCE)):
        yield part


def _as_csv(found: Iterator[Anomaly], told: dict[str, Any]) -> Iterator[str]:  # noqa: ARG001  as all formats
    buffer = StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for part in _by_parts(found):
        writer.writerows([_cell(value) for value in _row(one)] for one in part)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _as_json(found: Iterator[Anomaly], told: dict[str, Any]) -> Iterator[str]:
    yield json.dumps(told, ensure_ascii=False).removesuffix("}") + ', "anomalies": [\n'
    before = ""
    for part in _by_parts(found):
        yield before + ",\n".join(_object(one) for one in part)
        before = ",\n"
    yield "\n]}\n"


def _as_ndjson(found: Iterator[Anomaly], told: dict[str, Any]) -> Iterator[str]:  # noqa: ARG001  as all formats
    for part in _by_parts(found):
        yield "".join(f"{_object(one)}\n" for one in part)


def _as_ocsf(found: Iterator[Anomaly], told: dict[str, Any]) -> Iterator[str]:  # noqa: ARG001  as all formats
    for part in _by_parts(found):
        yield "".join(f"{json.dumps(ocsf.as_it_is(one), ensure_ascii=False)}\n" for one in part)


def _object(one: Anomaly) -> str:
    return json.dumps(dict(zip(COLUMNS, _row(one), strict=True)), ensure_ascii=False)


FORMATS = {
    "csv": Format("text/csv; charset=utf-8; header=present", _as_csv),
    "json": Format("application/json", _as_json),
    "ndjson": Format("application/x-ndjson", _as_ndjson),
    "ocsf": Format("application/x-ndjson", _as_ocsf, "ocsf.ndjson"),
}


@require_safe
@requires(VIEW)
@in_own_zone
def export(request: Request, suffix: str) -> HttpResponse:
    """The list as a file. An address that does not all make sense gets none: it would hold something else."""
    listing = Listing(request.GET, request.user)
    if listing.complaints:
        said = "\n".join(["Not all of this address makes sense, so nothing was exported:", *listing.complaints])
        return HttpResponse(said, status=400, content_type="text/plain; charset=utf-8")
    if not _running.acquire(blocking=False):
        said = f"{MOST_AT_ONCE} exports are being fetched already. Try again when one is done."
        return HttpResponse(said, status=503, content_type="text/plain; charset=utf-8", headers={"Retry-After": "30"})
    now = timezone.now()
    format_ = FORMATS[suffix]
    pieces = _pieces(listing, format_, at=now)
    # A statement that is read bit by bit belongs to a connection, and that to a thread.
    download = _Download(pieces) if isinstance(request, ASGIRequest) else None
    count = download.count if download else next(pieces)
    name = f"anomalies-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{count}.{format_.suffix or suffix}"
    return StreamingHttpResponse(  # type: ignore[return-value]  # as good a response as any
        download or pieces,
        content_type=format_.content_type,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Anomalies-Count": str(count),
            "X-Accel-Buffering": "no",
            # GZipMiddleware would make a gzip file of its own of each part, of which clients read the first alone.
            "Content-Encoding": "identity",
        },
    )


def _pieces(listing: Listing, format_: Format, *, at: datetime) -> Generator[Any, None, None]:
    """Yield how many anomalies match, then the file, from one snapshot of the database."""
    outermost = not connection.in_atomic_block
    try:
        with transaction.atomic():
            if outermost:
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                    cursor.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
            matching = listing.matching()
            count = matching.count()
            yield count
            told = {
                "exported_at": _plain(at),
                "address": f"{reverse('anomaly_list')}?{listing.query()}",
                "count": count,
                "columns": list(COLUMNS),
            }
            found = matching.select_related("assignee").order_by(*listing.order).iterator(ROWS_AT_ONCE)
            yield from format_.write(found, told)
    finally:
        _running.release()
        if outermost:
            connection.close()


class _Download:
    """The pieces, read in a thread of their own whenever the client takes one."""

    def __init__(self, pieces: Generator[Any, None, None]) -> None:
        self._pieces = pieces
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="export")
        self.count: int = self._thread.submit(next, pieces).result()

    async def __aiter__(self) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        while (piece := await loop.run_in_executor(self._thread, next, self._pieces, None)) is not None:
            yield piece

    def close(self) -> None:
        """Give the connection back. Called once the response is done with, fetched or not."""
        self._thread.submit(self._pieces.close)
        self._thread.shutdown(wait=False)
