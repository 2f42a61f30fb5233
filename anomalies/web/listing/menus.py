"""The popovers of the filters: their options with counts, and what they say when in use."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from anomalies.web.facets import Counts, count_anomalies
from anomalies.web.listing.filters import AnomalyFilter, Facet

MOST_OPTIONS = 50


@dataclass(frozen=True, slots=True)
class Option:
    word: str
    label: str
    count: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Menu:
    name: str
    url: str  # of its options
    label: str
    options: list[Option]
    hidden: int  # options beyond the first 50
    unseen: list[str]  # words chosen that the search hides; they stay chosen
    total: int  # of all options; 0 where they are not counted yet
    chosen: list[str]
    search: str
    more: bool
    counted: bool = True  # else it has no options yet: they are fetched when it is opened

    @property
    def summary(self) -> str:
        """What the button says: the only value chosen, or how many."""
        if not self.chosen:
            return self.label
        return f"{self.label}: {self.chosen[0] if len(self.chosen) == 1 else len(self.chosen)}"


def menus_of(filters: AnomalyFilter) -> list[Menu]:
    """Return the popover of each filter; each option counts what it would show beside the other filters."""
    names = list(filters.facets)
    idle = [name for name in names if not filters.values[name]]
    counted: dict[str, Counts] = {}
    for group, without in [(idle, ""), *(([name], name) for name in names if name not in idle)]:
        if group:
            columns = [filters.facets[name].field_name for name in group]
            rows = filters.countable(without=without)
            counted |= dict.fromkeys(group, count_anomalies(rows, columns))
    return [menu_of(filters, name, counted[name]) for name in names]


def closed_menus(filters: AnomalyFilter) -> list[Menu]:
    """Return the popover of each filter without its options: counting those is what takes long."""
    return [
        Menu(
            name=name,
            url=_url(name),
            label=facet.label,
            options=[],
            hidden=0,
            unseen=filters.values[name],
            total=0 if facet.more else len(facet.known or ()),  # more filters have no button that says it
            chosen=[facet.label_of(word) for word in filters.values[name]],
            search="",
            more=facet.more,
            counted=False,
        )
        for name, facet in filters.facets.items()
    ]


def menu_of(filters: AnomalyFilter, name: str, counted: Counts | None = None) -> Menu:
    """Return one popover, with only the options that contain what was typed into its search field."""
    facet: Facet = filters.facets[name]
    if counted is None:
        rows = filters.countable(without=name)
        counted = count_anomalies(rows, [facet.field_name])
    counts: Counter[Any] = counted.of[facet.field_name]
    chosen: list[str] = filters.values[name]
    if facet.known is not None:
        words = list(facet.known)
    else:
        words = [*chosen, *(word for word, _ in counts.most_common() if word not in chosen)]
    search = str(filters.data.get(f"{name}_search", "")).strip()
    found = [word for word in words if search.casefold() in facet.label_of(word).casefold()]
    return Menu(
        name=name,
        url=_url(name),
        label=facet.label,
        options=[
            Option(word, facet.label_of(word), counted.said(facet.field_name, facet.column_value(word)), word in chosen)
            for word in found[:MOST_OPTIONS]
        ],
        hidden=max(0, len(found) - MOST_OPTIONS),
        unseen=[word for word in chosen if word not in found[:MOST_OPTIONS]],
        total=len(words),
        chosen=[facet.label_of(word) for word in chosen],
        search=search,
        more=facet.more,
    )


def _url(name: str) -> str:
    return reverse("filter_options", args=[name])
