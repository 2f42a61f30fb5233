"""What sorts a list: the head of its table or, where that is not shown, a menu."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """`first` is how it is sorted when it is chosen: the newest first, the worst, the most, or what begins with A."""

    name: str  # also the class of its cells
    label: str
    first: str
    help: str = ""

    @property
    def sort(self) -> str:
        """What the address calls it; a minus before it turns the order."""
        return self.first.lstrip("-")


@dataclass(frozen=True, slots=True)
class Header:
    column: Column
    url: str
    direction: str  # in the words of ARIA


def headers(columns: Iterable[Column], sort: str, url: Callable[[str], str]) -> list[Header]:
    """Return each column with the link that sorts by it, or turns the order where it does so already."""
    found = []
    for column in columns:
        direction = "none"
        if sort.lstrip("-") == column.sort:
            direction = "descending" if sort.startswith("-") else "ascending"
        turned = column.sort if column.first.startswith("-") else f"-{column.sort}"
        found.append(Header(column, url(turned if sort == column.first else column.first), direction))
    return found
