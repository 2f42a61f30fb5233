"""What somebody typed into a form that did nothing, shown in its fields again with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.http import HttpRequest, QueryDict
from django.urls import resolve

from anomalies.services.reviews import MAX_NOTE_LENGTH

FIELDS = ("note", "reason", "title", "verdict", "until", "until_at", "to")
_KEY = "unsent"
_MOST_PICKED = 200  # as many as a page or two show


@dataclass(frozen=True, slots=True)
class Typed:
    """`form` is the action that was not done, `fields` what was typed, `complaint` why nothing was done."""

    form: str
    fields: Mapping[str, str]
    complaint: str
    picked: list[str] = field(default_factory=list)


def typed_into(form: str, posted: QueryDict, complaint: str) -> Typed:
    fields = {name: str(posted.get(name, "")) for name in FIELDS}
    return Typed(form, fields, complaint, posted.getlist("picked"))


def keep_unsent(request: HttpRequest) -> None:
    """Keep what came with a session that had ended, until the same browser has logged in.

    Only of browsers that were logged in once: nobody else fills the table of sessions.
    """
    if settings.SESSION_COOKIE_NAME in request.COOKIES:
        keep_typed(request, "Your session had ended: nothing was done yet.")


def keep_typed(request: HttpRequest, complaint: str) -> None:
    """Keep what was typed, for the page to which a redirect leads: no more than a note may have, and a bit."""
    fields = {name: text[: 2 * MAX_NOTE_LENGTH] for name in FIELDS if (text := request.POST.get(name))}
    picked = [one[:40] for one in request.POST.getlist("picked")[:_MOST_PICKED]]
    if fields or picked:
        request.session[_KEY] = {"path": request.path, "fields": fields, "picked": picked, "complaint": complaint}


def unsent(request: HttpRequest, public_id: str = "") -> Typed | None:
    """Return and forget what was kept for an anomaly, or for the list without one."""
    kept = request.session.get(_KEY)
    if not kept:
        return None
    match = resolve(kept["path"])
    if match.kwargs.get("public_id", "") != public_id or match.url_name is None:
        return None
    del request.session[_KEY]
    fields = {name: kept["fields"].get(name, "") for name in FIELDS}
    return Typed(match.url_name, fields, kept["complaint"], kept["picked"])
