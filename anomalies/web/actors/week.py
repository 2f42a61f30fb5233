"""The week of an agent or user as a picture: seven days of 24 hours, and the same in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from anomalies.detection.wording import WEEKDAYS, number
from anomalies.services.activity import Week

CELL, LEFT, TOP = 17, 32, 4
WIDTH, HEIGHT = LEFT + 24 * CELL + 1, TOP + 7 * CELL + 18
SHADES = (0.15, 0.4, 0.7)  # of the busiest hour, above which an hour is a shade darker
SHORT = tuple(day[:3] for day in WEEKDAYS)


@dataclass(frozen=True, slots=True)
class Cell:
    x: int
    y: int
    shade: int  # 0 is nothing at all
    text: str


@dataclass(frozen=True, slots=True)
class Label:
    x: int
    y: int
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A day of the table: when it was active, when it works, how much it does."""

    day: str
    total: str
    active: str
    busiest: str
    at_work: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Coordinates in a drawing of `width` by `height`; `frames` surround the working hours."""

    width: int
    height: int
    size: int
    cells: list[Cell]
    frames: list[tuple[int, int, int]]  # x, y and width
    days: list[Label]
    hours: list[Label]
    lines: list[Line]
    summary: str


def picture(week: Week) -> Picture:
    most = float(week.mean.max())
    cells = [
        Cell(LEFT + CELL * hour, TOP + CELL * day, _shade(value, most), f"{SHORT[day]} {_hour(hour)}: {_mean(value)}")
        for day, values in enumerate(week.mean.tolist())
        for hour, value in enumerate(values)
    ]
    at_work = week.at_work.tolist() if week.at_work is not None else [[False] * 24] * 7
    return Picture(
        width=WIDTH,
        height=HEIGHT,
        size=CELL - 1,
        cells=cells,
        frames=[
            (LEFT + CELL * first, TOP + CELL * day, CELL * (last - first) - 1)
            for day, hours in enumerate(at_work)
            for first, last in _runs(hours)
        ],
        days=[Label(0, TOP + CELL * day + 12, name) for day, name in enumerate(SHORT)],
        hours=[Label(LEFT + CELL * hour, HEIGHT - 4, _hour(hour)) for hour in range(0, 24, 3)],
        lines=[
            Line(
                WEEKDAYS[day],
                number(sum(values)),
                _spans([value > 0 for value in values]) or "never",
                f"{_hour(int(np.argmax(values)))}, {_mean(max(values))}" if any(values) else "none",
                _spans(at_work[day]) or "none",
            )
            for day, values in enumerate(week.mean.tolist())
        ],
        summary=_summary(week, most),
    )


def hours_in_words(at_work: list[list[bool]]) -> str:
    """`Mon to Fri 09:00 to 17:00; Sat, Sun none`."""
    days = [_spans(hours) or "none" for hours in at_work]
    alike = [(spans, [SHORT[day] for day, _ in some]) for spans, some in groupby(enumerate(days), lambda one: one[1])]
    return "; ".join(f"{_days(names)} {spans}" for spans, names in alike)


def _days(names: list[str]) -> str:
    return f"{names[0]} to {names[-1]}" if len(names) > 2 else ", ".join(names)


def _summary(week: Week, most: float) -> str:
    if not most:
        return "No request in that time."
    day, hour = divmod(int(np.argmax(week.mean)), 24)
    quiet = [WEEKDAYS[day] for day, values in enumerate(week.mean) if not values.any()]
    said = f"Busiest on {WEEKDAYS[day]} from {_hour(hour)}: {_mean(most)}."
    return f"{said} Nothing on {_listed(quiet)}." if quiet else said


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _mean(value: float) -> str:
    return f"{number(value)} an hour" if value else "none"


def _hour(hour: int) -> str:
    return f"{hour:02}:00"


def _shade(value: float, most: float) -> int:
    return 1 + sum(value > shade * most for shade in SHADES) if value else 0


def _runs(hours: list[bool]) -> Iterator[tuple[int, int]]:
    """Yield from which hour to which one it holds, without a break."""
    edges = [hour for hour, (one, next_) in enumerate(pairwise([False, *hours, False])) if one != next_]
    yield from zip(edges[::2], edges[1::2], strict=True)


def _spans(hours: list[bool]) -> str:
    return ", ".join(f"{_hour(first)} to {_hour(last)}" for first, last in _runs(hours))
