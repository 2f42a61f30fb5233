"""JSON objects of a stream one by one: a line each, or the elements of one array of any size."""

import re
from collections.abc import Iterator
from dataclasses import replace
from io import BufferedReader
from typing import Any, NamedTuple

import msgspec

from anomalies.ingest.lines import BOM, BROKEN_STREAM, MAX_LINE_BYTES, TOO_LONG, broken_stream, numbered_lines
from anomalies.ingest.record import FieldError, Misfit, MisfitError, Rejection, SourceError, rejected
from anomalies.ingest.wording import shown

CHUNK_BYTES = 256 * 1024
OPENING_BYTES = 4096  # within which a wrapping object shows its key

# Up to the next bracket, or to a string that goes on after the chunk. Possessive: never tried twice.
_OUTSIDE = re.compile(rb'(?:[^{}\[\]"]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_SPREAD = re.compile(rb"\s*\{[ \t]*\r?\n")
_OBJECT = re.compile(rb'\s*\{\s*"')
_INSIDE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class Place(NamedTuple):
    """Where a record starts: its line, and of an array's element its number, as an array may be one line."""

    line: int
    element: int | None = None

    def rejection(self, error: FieldError) -> Rejection:
        plain = rejected(self.line, error)
        return plain if self.element is None else replace(plain, reason=f"element {self.element:,}: {plain.reason}")


def json_records(stream: BufferedReader, *, key: str = "") -> Iterator[tuple[Place, bytes | Rejection]]:
    """Yield the text of each record with its place; an over-long or misplaced one as its rejection.

    The stream is an array, or an object whose `key` is one, such as {"Records": [...]}, or one record a line; also a
    single record over several lines, the first of which is its bracket.
    Raises SourceError where the stream breaks off.
    """
    opening = _opening(stream)
    wrapper = re.compile(rb'\s*\{\s*"%s"\s*:\s*\[' % re.escape(key.encode())) if key else None
    start = wrapper.match(opening) if wrapper else None
    start = start or re.match(rb"\s*\[", opening)
    if start:
        return _elements(stream, skip=start.end())
    if _SPREAD.match(opening):
        return _only_record(stream)
    lines = numbered_lines(stream)
    return ((Place(line), text) for line, text in lines if isinstance(text, Rejection) or text.strip())


def parsed_object(text: bytes) -> dict[str, Any]:
    """Return the JSON object. Raises FieldError with what is wrong with it."""
    try:
        value = msgspec.json.decode(text)
    except UnicodeDecodeError as error:
        raise _of(text)(f"It is not UTF-8: byte 0x{error.object[error.start]:02x}.") from None
    except RecursionError:
        raise FieldError("It is nested too deeply.") from None
    except msgspec.DecodeError as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        raise _of(text)(f"It is not JSON: {reason[:1].lower()}{reason[1:]}.") from None
    if not isinstance(value, dict):
        raise MisfitError(f"It is {shown(value)}, not a JSON object.")
    return value


def _of(text: bytes) -> type[FieldError]:
    """What starts as an object does is one with something wrong in it; all else is no JSON at all."""
    return FieldError if _OBJECT.match(text) else MisfitError


def object_with(text: bytes, *names: str) -> dict[str, Any]:
    """Return the JSON object. Raises FieldError if it is none, or has not even one of these fields."""
    fields = parsed_object(text)
    if not any(name in fields for name in names):
        raise MisfitError(f"It has none of the fields {', '.join(names)}.")
    return fields


def _opening(stream: BufferedReader) -> bytes:
    """Return the first bytes and leave them unread, but for a byte order mark."""
    try:
        if stream.peek(OPENING_BYTES).startswith(BOM):
            stream.read(len(BOM))
        return stream.peek(OPENING_BYTES)[:OPENING_BYTES]
    except BROKEN_STREAM as error:
        raise broken_stream(error, line=1) from error


def _only_record(stream: BufferedReader) -> Iterator[tuple[Place, bytes | Rejection]]:
    place = Place(1)
    try:
        text = stream.read(MAX_LINE_BYTES + 1)
    except BROKEN_STREAM as error:
        raise broken_stream(error, line=1) from error
    yield place, text if len(text) <= MAX_LINE_BYTES else place.rejection(FieldError(TOO_LONG))


def _elements(stream: BufferedReader, *, skip: int) -> Iterator[tuple[Place, bytes | Rejection]]:
    scan = _Scan(stream, skip=skip)
    while True:
        bracket = scan.next_bracket()
        if bracket is None:
            yield from scan.too_much_kept()
            scan.read_on()
        elif bracket in b"{[":
            scan.depth += 1
            if scan.depth == 2:
                yield from scan.gap()
                scan.separator = b","
        else:
            scan.depth -= 1
            if scan.depth == 1:
                yield from scan.element()
            elif scan.depth == 0:
                if bracket != ord("]"):
                    raise scan.malformed("the array is closed by }")
                scan.separator = b""
                yield from scan.gap()
                return


class _Scan:
    """Where the scan of an array is, how deep, and the text that is not used up yet."""

    def __init__(self, stream: BufferedReader, *, skip: int) -> None:
        self._stream = stream
        self._text = b""
        self._at = 0  # scanned up to here
        self._start = 0  # of the element, or of the gap between two
        self._line = 1 + stream.read(skip).count(b"\n")  # of the start
        self._number = 1  # of the element
        self._in_string = False
        self._skipping = False  # an element that is too long
        self._opened = b""  # the element's own bracket
        self._mismatch: SourceError | None = None  # the first element whose two brackets do not belong together
        self.depth = 1  # of open brackets; the array's own is one
        self.separator = b""  # what belongs between the last element and the next

    def next_bracket(self) -> int | None:
        """Go past the next bracket and return it, or None if the text is used up."""
        while True:
            match = (_INSIDE if self._in_string else _OUTSIDE).match(self._text, self._at)
            assert match is not None  # both match nothing, too
            self._at = match.end()
            if self._at == len(self._text) or self._text[self._at] == ord("\\"):
                return None
            self._at += 1
            if self._text[self._at - 1] != ord('"'):
                return self._text[self._at - 1]
            self._in_string = not self._in_string

    def read_on(self) -> None:
        """Read another chunk. Raises SourceError if there is none."""
        try:
            chunk = self._stream.read1(CHUNK_BYTES)  # not read(): it loses what came before a break
        except BROKEN_STREAM as error:
            raise broken_stream(error, line=self._line_reached()) from error
        if not chunk:
            truncated = f"The JSON is truncated: line {self._line_reached():,} ends before the array does."
            raise self._mismatch or SourceError(truncated)
        self._text = self._text[self._start :] + chunk
        self._at -= self._start
        self._start = 0

    def malformed(self, what: str) -> SourceError:
        return SourceError(f"The JSON is malformed: {what} in line {self._line_reached():,}.")

    def too_much_kept(self) -> Iterator[tuple[Place, Rejection]]:
        """Drop what was kept of an element if it is too long."""
        if self._at - self._start <= MAX_LINE_BYTES:
            return
        if self.depth == 1:
            raise SourceError(f"From line {self._line:,} on it is not an array of objects.")
        if not self._skipping:
            place = self._place()
            yield place, place.rejection(FieldError(TOO_LONG))
        self._skipping = True
        self._take(self._at)

    def gap(self) -> Iterator[tuple[Place, Rejection]]:
        """Use up the text before the bracket that was just passed."""
        line = self._line
        gap = self._take(self._at - 1).strip()
        if gap != self.separator:
            found = shown(gap[:200].decode(errors="replace"))
            reason = f"At element {self._number:,} of the array: found {found}, not an object or one comma."
            yield Place(line), Misfit(line, reason)
        self._opened = self._text[self._at - 1 : self._at]

    def element(self) -> Iterator[tuple[Place, bytes | Rejection]]:
        """Use up the text up to the bracket that was just passed."""
        place = self._place()
        pair = self._opened + self._text[self._at - 1 : self._at]
        if pair not in (b"{}", b"[]"):
            what = f"element {self._number:,} opens with {pair.decode()[0]} and is closed by {pair.decode()[1]}"
            self._mismatch = self._mismatch or self.malformed(what)
        text = self._take(self._at)
        if not self._skipping:
            yield place, text if len(text) <= MAX_LINE_BYTES else place.rejection(FieldError(TOO_LONG))
        self._skipping = False
        self._number += 1

    def _place(self) -> Place:
        return Place(self._line, self._number)

    def _take(self, end: int) -> bytes:
        text = self._text[self._start : end]
        self._line += text.count(b"\n")
        self._start = end
        return text

    def _line_reached(self) -> int:
        return self._line + self._text.count(b"\n", self._start, self._at)
