"""What somebody typed into a form that did nothing, shown in its fields again with the reason."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.http import HttpRequest, QueryDict
from django.urls import resolve

from anomalies.services.reviews import MAX_NOTE_LENGTH

FIELDS = ("note", "reason", "title", "verdict", "until", "until_at", "to")
UNSENT = "Your session had ended: nothing was done yet."
_KEY, _FORM_KEY = "unsent", "unsent_form"
_LONGEST_FORM = 100_000  # characters, of all that was typed into it
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
        keep_typed(request, UNSENT)


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


def keep_form(request: HttpRequest) -> None:
    """Keep a whole form that came with a session that had ended, for the page that shows it.

    Of the same browsers as `keep_unsent`; one that is longer than people type is not kept.
    """
    fields = {name: texts for name, texts in request.POST.lists() if name != "csrfmiddlewaretoken"}
    length = sum(len(text) for texts in fields.values() for text in texts)
    if settings.SESSION_COOKIE_NAME in request.COOKIES and length <= _LONGEST_FORM:
        request.session[_FORM_KEY] = {"path": request.path, "fields": fields}


def unsent_form(request: HttpRequest, path: str = "") -> QueryDict | None:
    """Return and forget the form that was kept of what is sent to this page, or to that path; None if none was."""
    kept = request.session.get(_FORM_KEY)
    if not kept or kept["path"] != (path or request.path):
        return None
    del request.session[_FORM_KEY]
    posted = QueryDict(mutable=True)
    for name, texts in kept["fields"].items():
        posted.setlist(name, texts)
    return posted
