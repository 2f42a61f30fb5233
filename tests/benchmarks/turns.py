"""Two ways to do the same, measured in turns: what else the machine does meets both.

Where it slows down for a while, all of some turns lie in that while. So their ratio is the median of the turns' own,
not that of two medians, which may be of turns of before and of then.

CPython keeps its stack in chunks. A call at the end of one fetches memory from the system each time, and a page whose
inmost calls lie there takes a third longer: how deep it is called decides that. So each turn is called deeper than the
one before it, over about a chunk.
"""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

Work = Callable[[], object]
CALLS_A_CHUNK = 100


class Seconds(NamedTuple):
    """How long ours takes and the bare reference, and their ratio, each the median of all turns.

    `bare` and `ratio` are None where there is no reference.
    """

    ours: float
    bare: float | None
    ratio: float | None


def compared(ours: Work, bare: Work, *, rounds: int, before: Work = lambda: None) -> Seconds:
    """Measure both `rounds` times, after a turn that warms up; `before` each turn is not measured."""
    turns = []
    for turn in range(rounds + 1):
        before()
        both = (ours, bare) if turn % 2 else (bare, ours)  # who comes second finds the pages in memory
        taken = {work: seconds(work, deeper=_deeper(turn, rounds)) for work in both}
        turns.append((taken[ours], taken[bare]))
    return of_turns(turns[1:])


def of_turns(turns: Sequence[tuple[float, float]]) -> Seconds:
    """Return what turns come to of which each is how long ours took and the bare reference, in seconds."""
    mine, theirs = zip(*turns, strict=True)
    return Seconds(median(mine), median(theirs), median(my / their for my, their in turns))


def alone(ours: Work, *, rounds: int) -> Seconds:
    """Measure what has no reference."""
    ours()
    return Seconds(median(seconds(ours, deeper=_deeper(turn, rounds)) for turn in range(rounds)), None, None)


def _deeper(turn: int, rounds: int) -> int:
    return turn * CALLS_A_CHUNK // (rounds + 1)


def seconds(work: Work, *, deeper: int = 0) -> float:
    """Return how long it takes, called by so many more calls."""
    if deeper:
        return seconds(work, deeper=deeper - 1)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
