"""JSON as all APIs read and write it."""

from collections.abc import Generator, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja.parser import Parser

from anomalies.services.parts import ROWS_AT_ONCE, one_by_one


def in_utc(time: datetime) -> datetime:
    """The time in UTC; PostgreSQL takes no offset of more than 16 hours. Without an offset it is in UTC already."""
    try:
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("it is out of range") from None


class BodyError(Exception):
    """A body that is no object in JSON; its text says so."""


class StrictParser(Parser):
    """Reads an object in JSON as the standard has it: no NaN, no lone surrogate, no number that overflows."""

    def parse_body(self, request: HttpRequest) -> Any:
        try:
            body = msgspec.json.decode(request.body)
        except RecursionError:
            raise BodyError("body: it is nested too deep.") from None
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BodyError(f"body: {error}.") from None
        if not isinstance(body, dict | None):
            raise BodyError("body: it is no JSON object.")
        return body


def json_answer(content: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(content), content_type="application/json", status=status)


def streamed(
    request: HttpRequest, name: str, rows: Iterable[dict[str, Any]], *, total: bool = False
) -> HttpResponseBase:
    """An object with one list, `{"name": [...]}`, of which some rows are held at a time, however long it is.

    With `total` it says after the list how many these are. The first rows are read before anything is sent: what fails
    by then is answered as an error, and a list that ends there is sent whole.
    """
    left = iter(rows)
    first = list(islice(left, ROWS_AT_ONCE))
    if len(first) < ROWS_AT_ONCE:
        return json_answer({name: first, **({"total": len(first)} if total else {})})
    parts = _parts(name, first, left, total=total)
    return StreamingHttpResponse(
        one_by_one(parts) if isinstance(request, ASGIRequest) else parts,
        content_type="application/json",
        headers={"Content-Encoding": "identity"},  # else each part would be a gzip file of its own
    )


def _parts(
    name: str, first: list[dict[str, Any]], left: Iterator[dict[str, Any]], *, total: bool
) -> Generator[bytes, None, None]:
    before, some, count = msgspec.json.encode({name: []}).removesuffix(b"]}"), first, 0
    while some:
        yield before + b",".join(map(msgspec.json.encode, some))
        count += len(some)
        before, some = b",", list(islice(left, ROWS_AT_ONCE))
    yield b'],"total":%d}' % count if total else b"]}"


def encoded(rows: Iterable[dict[str, Any]]) -> list[msgspec.Raw]:
    """The rows of a list, each encoded as it comes from the database: a long list is never held as objects."""
    return [msgspec.Raw(msgspec.json.encode(row)) for row in rows]
