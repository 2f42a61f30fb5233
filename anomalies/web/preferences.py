"""How one person wants to read the pages: time zone and theme, kept in cookies of their browser."""

from django.http import HttpResponse, HttpResponseBadRequest
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from anomalies.web.access import VIEW, requires
from anomalies.web.frame import THEMES
from anomalies.web.request import Request
from anomalies.web.returning import next_url

CHOICES = {"zone": ("local", "utc"), "theme": THEMES}
A_YEAR = 365 * 24 * 3600  # seconds


@require_POST
@requires(VIEW)
def prefer(request: Request) -> HttpResponse:
    response = redirect(next_url(request))
    for name, choices in CHOICES.items():
        value = request.POST.get(name)
        if value is not None and value not in choices:
            sentence = f"{name}: “{value[:40]}” is none of {', '.join(choices)}."
            return HttpResponseBadRequest(sentence, content_type="text/plain; charset=utf-8")
        if value is not None:
            response.set_cookie(name, value, max_age=A_YEAR, samesite="Lax", secure=request.is_secure())
    return response
