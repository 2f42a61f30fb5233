"""From judged buckets to intervals: open, extend, close, merge."""

import numpy as np
from numpy.typing import NDArray

# Quiet buckets that close an interval, by resolution in seconds; fewer do not part it.
QUIET_BUCKETS = {60: 5, 300: 2, 3600: 2, 86400: 1, 604800: 1}
USUAL_QUIET = 2


def runs(hot: NDArray[np.bool_], warm: NDArray[np.bool_], width: int = 3600) -> list[tuple[int, int]]:
    """Return the intervals among the buckets of one entity as (first, last) indices, both inclusive.

    An interval opens at a hot bucket, goes on while buckets are hot or warm, and is not parted by as many quiet ones as
    close it; a day or week that is quiet parts it. Both arrays are (t,), oldest first; `width` is in seconds.
    """
    gap = quiet(width) + 1 if width < 86400 else 1
    found: list[tuple[int, int]] = []
    alive = np.flatnonzero(hot | warm)
    for index in alive.tolist():
        if found and index - found[-1][1] <= gap:
            found[-1] = (found[-1][0], index)
        elif hot[index]:
            found.append((index, index))
    return found


def quiet(width: int) -> int:
    """Return how many quiet buckets of that width close an interval."""
    return QUIET_BUCKETS.get(width, USUAL_QUIET)


def is_open(*, end: float, width: int, until: float) -> bool:
    """Return whether an interval whose last bucket ended at `end` still goes on at `until`, all in seconds.

    Only complete buckets can be quiet.
    """
    return until < end + quiet(width) * width
