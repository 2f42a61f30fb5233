"""Reading any format from any stream: gzip or not, and stopping early where it is the wrong one."""

import gzip
from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from typing import Any, BinaryIO, cast

from anomalies.ingest.lines import BROKEN_STREAM, broken_stream
from anomalies.ingest.record import EventRecord, ReadOptions, Rejection, SourceError
from anomalies.ingest.registry import Format

GZIP_MAGIC = b"\x1f\x8b"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
BUFFER_BYTES = 256 * 1024
GIVE_UP_AFTER = 1000  # rejections at the start


class WrongFormatError(SourceError):
    """Not one record could be accepted."""

    def __init__(self, form: Format, first: Rejection) -> None:
        super().__init__(
            f"It does not look like {form.label} ({form.name}): no record was accepted; "
            f"line {first.line:,}: {first.reason}"
        )


def read(form: Format, stream: BinaryIO, options: ReadOptions) -> Iterator[EventRecord | Rejection]:
    """Yield the events and rejections of the stream, which may be gzip.

    Raises SourceError if it is empty or breaks off, WrongFormatError if no event is in it; after 1,000 rejections at
    the start that is sure enough, and none of them is yielded.
    """
    outcomes = form.read(opened(stream), options)
    rejections: list[Rejection] = []
    for outcome in outcomes:
        if not isinstance(outcome, Rejection):
            yield from rejections
            yield outcome
            yield from outcomes
            return
        rejections.append(outcome)
        if len(rejections) == GIVE_UP_AFTER:
            raise WrongFormatError(form, rejections[0])
    if rejections:
        yield from rejections
        raise WrongFormatError(form, rejections[0])


def opened(stream: BinaryIO) -> BufferedReader:
    """Return the stream, inflated if it starts as gzip does. Raises SourceError if it is empty or UTF-16."""
    # Any binary stream has the readinto() that BufferedReader calls.
    reader = stream if isinstance(stream, BufferedReader) else BufferedReader(cast("BufferedReader", stream))
    try:
        if reader.peek(2)[:2] == GZIP_MAGIC:
            reader = BufferedReader(_Inflated(reader), BUFFER_BYTES)
        start = reader.peek(2)[:2]
    except BROKEN_STREAM as error:
        raise broken_stream(error, line=1) from error
    if not start:
        raise SourceError("It is empty.")
    if start in UTF_16_MARKS:
        raise SourceError("It is UTF-16; convert it to UTF-8.")
    return reader


class _Inflated(RawIOBase):
    """What a gzip holds. GzipFile itself would lose up to a buffer of what comes before a break."""

    def __init__(self, compressed: BufferedReader) -> None:
        self._gzip = gzip.GzipFile(fileobj=compressed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._gzip.read1(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)
