"""Two ways to do the same, measured in turns: what else the machine does meets both.

CPython keeps its stack in chunks. A call at the end of one fetches memory from the system each time, and a page whose
inmost calls lie there takes a third longer: how deep it is called decides that. So each turn is called deeper than the
one before it, over about a chunk.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

Work = Callable[[], object]
CALLS_A_CHUNK = 100


class Seconds(NamedTuple):
    """How long ours takes and the bare reference, each the median of all turns; `bare` is None where there is none."""

    ours: float
    bare: float | None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.bare if self.bare else None


def compared(ours: Work, bare: Work, *, rounds: int, before: Work = lambda: None) -> Seconds:
    """Measure both `rounds` times, after a turn that warms up; `before` each turn is not measured."""
    turns = []
    for turn in range(rounds + 1):
        before()
        both = (ours, bare) if turn % 2 else (bare, ours)  # who comes second finds the pages in memory
        taken = {work: seconds(work, deeper=_deeper(turn, rounds)) for work in both}
        turns.append((taken[ours], taken[bare]))
    mine, theirs = zip(*turns[1:], strict=True)
    return Seconds(median(mine), median(theirs))


def alone(ours: Work, *, rounds: int) -> Seconds:
    """Measure what has no reference."""
    ours()
    return Seconds(median(seconds(ours, deeper=_deeper(turn, rounds)) for turn in range(rounds)), None)


def _deeper(turn: int, rounds: int) -> int:
    return turn * CALLS_A_CHUNK // (rounds + 1)


def seconds(work: Work, *, deeper: int = 0) -> float:
    """Return how long it takes, called by so many more calls."""
    if deeper:
        return seconds(work, deeper=deeper - 1)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
