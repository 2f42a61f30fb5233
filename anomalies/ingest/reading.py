"""Reading any format from any stream: gzip or not, and stopping early where it is the wrong one."""

import gzip
from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from itertools import chain
from typing import Any, BinaryIO, cast

from anomalies.ingest.lines import BROKEN_STREAM, broken_stream
from anomalies.ingest.record import EventRecord, Misfit, ReadOptions, Rejection, SourceError
from anomalies.ingest.registry import Format

GZIP_MAGIC = b"\x1f\x8b"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
BUFFER_BYTES = 256 * 1024
GIVE_UP_AFTER = 1000  # records at the start, none of them of the format


class WrongFormatError(SourceError):
    """Not one record is of the format."""

    def __init__(self, form: Format, first: Rejection) -> None:
        super().__init__(
            f"It does not look like {form.label} (format {form.name}); is the format right? "
            f"Line {first.line:,}: {first.reason}"
        )


class NothingAcceptedError(SourceError):
    """The format is right, but each record was rejected."""

    def __init__(self, first: Rejection) -> None:
        super().__init__(f"No record was accepted; line {first.line:,}: {first.reason}")


def read(form: Format, stream: BinaryIO, options: ReadOptions) -> Iterator[EventRecord | Rejection]:
    """Yield the events and rejections of the stream, which may be gzip.

    Raises SourceError if it is empty or breaks off, NothingAcceptedError at the end if each record was rejected, and
    WrongFormatError if none is of the format: after 1,000 such that is sure enough, and none of them is yielded.
    """
    outcomes = form.read(opened(stream), options)
    misfits: list[Rejection] = []
    for outcome in outcomes:
        if not isinstance(outcome, Misfit):
            yield from _from_first_fit(misfits, outcome, outcomes)
            return
        misfits.append(outcome)
        if len(misfits) == GIVE_UP_AFTER:
            break
    if misfits:
        raise WrongFormatError(form, misfits[0])


def _from_first_fit(
    misfits: list[Rejection], fit: EventRecord | Rejection, others: Iterator[EventRecord | Rejection]
) -> Iterator[EventRecord | Rejection]:
    yield from misfits
    first = fit
    for outcome in chain((fit,), others):
        yield outcome
        if not isinstance(outcome, Rejection):
            yield from others
            return
    assert isinstance(first, Rejection)  # all were
    raise NothingAcceptedError(misfits[0] if misfits else first)


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
