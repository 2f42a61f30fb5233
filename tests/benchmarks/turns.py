"""Two ways to do the same, measured in turns: what else the machine does meets both."""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

Work = Callable[[], object]


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
        taken = {work: seconds(work) for work in both}
        turns.append((taken[ours], taken[bare]))
    mine, theirs = zip(*turns[1:], strict=True)
    return Seconds(median(mine), median(theirs))


def alone(ours: Work, *, rounds: int) -> Seconds:
    """Measure what has no reference."""
    ours()
    return Seconds(median(seconds(ours) for _ in range(rounds)), None)


def seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
