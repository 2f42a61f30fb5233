"""From judged buckets to intervals: open, extend, close, merge."""

import numpy as np
from numpy.typing import NDArray

QUIET_BUCKETS = 2  # that close an interval; fewer do not part it


def runs(hot: NDArray[np.bool_], warm: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the intervals among the buckets of one entity as (first, last) indices, both inclusive.

    An interval opens at a hot bucket, goes on while buckets are hot or warm, and is not parted by up to
    `QUIET_BUCKETS` quiet ones. Both arrays are (t,), oldest first.
    """
    found: list[tuple[int, int]] = []
    alive = np.flatnonzero(hot | warm)
    for index in alive.tolist():
        if found and index - found[-1][1] <= QUIET_BUCKETS + 1:
            found[-1] = (found[-1][0], index)
        elif hot[index]:
            found.append((index, index))
    return found


def is_open(*, end: float, width: int, until: float) -> bool:
    """Return whether an interval whose last bucket ended at `end` still goes on at `until`, all in seconds.

    Only complete buckets can be quiet.
    """
    return until < end + QUIET_BUCKETS * width
