"""Lines of a stream of bytes with their numbers, one at a time and none of them without bound."""

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedReader

from anomalies.ingest.record import Rejection, SourceError

MAX_LINE_BYTES = 1024 * 1024  # also of one element of a JSON array
TOO_LONG = f"The record is longer than {MAX_LINE_BYTES:,} bytes."
BOM = b"\xef\xbb\xbf"
BROKEN_STREAM = (EOFError, OSError, zlib.error)  # what gzip raises; gzip.BadGzipFile is an OSError


def broken_stream(error: BaseException, *, line: int) -> SourceError:
    """Return the sentence for a stream that broke off while that line was read."""
    if isinstance(error, EOFError):
        why = "The gzip is truncated"
    elif isinstance(error, gzip.BadGzipFile | zlib.error):
        why = f"The gzip is corrupt ({error})"
    else:
        why = f"It cannot be read further ({error})"
    kept = f"the {line - 1:,} lines before were read" if line > 1 else "nothing was read"
    return SourceError(f"{why}: it breaks off in line {line:,}; {kept}.")


def numbered_lines(stream: BufferedReader) -> Iterator[tuple[int, bytes | Rejection]]:
    """Yield each line with its number, from 1, and without its line end; an over-long one as its rejection.

    Raises SourceError where the stream breaks off.
    """
    number = 0
    try:
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if number == 1:
                line = line.removeprefix(BOM)
            if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                while line and not line.endswith(b"\n"):
                    line = stream.readline(MAX_LINE_BYTES)
                yield number, Rejection(number, TOO_LONG)
            else:
                yield number, line.rstrip(b"\r\n")
    except BROKEN_STREAM as error:
        raise broken_stream(error, line=number + 1) from error
