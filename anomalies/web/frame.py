"""What surrounds every page: rail, top bar, freshness."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone

from anomalies.web.access import REVIEW
from anomalies.web.freshness import Freshness, freshness
from anomalies.web.notices import Unseen, unseen_by
from anomalies.web.request import Request
from anomalies.web.toast import kept
from anomalies.web.zone import browser_zone, this_year

THEMES = ("system", "light", "dark")


@dataclass(frozen=True, slots=True)
class Frame:
    freshness: Freshness
    now: datetime
    utc: bool
    local_zone: str
    theme: str
    themes: tuple[str, ...]
    unseen: Unseen | None


def frame_of(request: Request) -> Frame:
    now = timezone.now()
    theme = request.COOKIES.get("theme", "")
    local = browser_zone(request)
    return Frame(
        freshness=freshness(now=now),
        now=now,
        utc=request.COOKIES.get("zone") == "utc" or local is None,
        local_zone=str(local or ""),
        theme=theme if theme in THEMES else "system",
        themes=THEMES,
        unseen=unseen_by(request.user),
    )


def page(request: Request, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """Render a full page with its frame."""
    framed = {**shared(request), "frame": frame_of(request), "toasts": kept(request), **context}
    return render(request, template, framed, status=status)


def fragment(request: Request, template: str, context: dict[str, Any]) -> HttpResponse:
    """Render what htmx puts into a page that is there already."""
    return render(request, template, {**shared(request), **context})


def shared(request: Request) -> dict[str, Any]:
    """What pages and their parts both need. `zone_name` is the zone's own: what it is called changes in summer."""
    zone = timezone.get_current_timezone_name()
    return {
        "can_review": request.user.has_perm(REVIEW),
        "zone_name": zone,
        "zone_city": zone.rpartition("/")[2].replace("_", " "),
        "this_year": this_year(),
        "anomalies_url": reverse("anomaly_list"),
    }
