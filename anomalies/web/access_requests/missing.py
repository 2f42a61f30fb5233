"""The page that says that nobody knows an access request, or an access flow."""

from django.http import HttpResponse
from django.urls import reverse

from anomalies.web.frame import page
from anomalies.web.request import Request


def missing(request: Request, word: str, public_id: str, *, list_name: str) -> HttpResponse:
    """Answer 404, and say where to search for it."""
    context = {"word": word, "wanted": public_id.replace("\x00", "")[:200], "list_url": reverse(list_name)}
    return page(request, "anomalies/access_missing.html", context, status=404)
