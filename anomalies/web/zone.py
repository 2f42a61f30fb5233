"""The time zone in which a reviewer reads and writes times."""

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.http import HttpResponse
from django.utils import timezone

from anomalies.web.request import Request

P = ParamSpec("P")
View = Callable[Concatenate[Request, P], HttpResponse]


def browser_zone(request: Request) -> ZoneInfo | None:
    """The zone that the browser told by its cookie, or None without one that exists."""
    name = unquote(request.COOKIES.get("local_zone", ""))
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, ZoneInfoNotFoundError, OSError):
        return None


def runs_scripts(request: Request) -> bool:
    """Whether app.js runs there: it tells the browser's zone."""
    return bool(request.COOKIES.get("local_zone"))


def zone_of(request: Request) -> tzinfo:
    """The browser's zone, or UTC if the reviewer chose it or the browser's is unknown."""
    if request.COOKIES.get("zone") == "utc":
        return UTC
    return browser_zone(request) or UTC


def this_year() -> str:
    """The year of which dates are written without their year."""
    return f"{timezone.localtime():%Y}"


def told_time(at: datetime) -> str:
    """`21 Nov 09:00 CET`, with the year where it is another than this one."""
    local = timezone.localtime(at)
    return f"{clock_time(local)} {local:%Z}"


def clock_time(local: datetime) -> str:
    """The same without its zone, of a time that is in the one meant."""
    day = f"{local.day} {local:%b}" if f"{local:%Y}" == this_year() else f"{local.day} {local:%b %Y}"
    return f"{day} {local:%H:%M}"


def in_own_zone(view: View[P]) -> View[P]:
    """Run the view, with its template, in the reviewer's time zone."""

    @wraps(view)
    def zoned(request: Request, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        with timezone.override(zone_of(request)):
            return view(request, *args, **kwargs)

    return zoned
