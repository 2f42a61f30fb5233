"""Who may see a page."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect

from anomalies.web.request import Request
from anomalies.web.returning import next_url
from anomalies.web.typed import keep_form, keep_unsent

P = ParamSpec("P")
View = Callable[Concatenate[Request, P], HttpResponse]

VIEW = "anomalies.view_anomaly"
REVIEW = "anomalies.review_anomaly"


def requires(permission: str, *, is_form: bool = False) -> Callable[[View[P]], View[P]]:
    """Let in people with that permission; others get the login page or, if they are known, a 403.

    A partial request of a session that has expired moves the whole page to the login: no form lands in a panel. What
    was sent to a view that `is_form`, one that shows the form that it takes, is there again after the login.
    """

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: Request, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not request.user.is_authenticated:
                return _to_login(request, is_form=is_form)
            if not request.user.has_perm(permission):
                raise PermissionDenied
            response = view(request, *args, **kwargs)
            # The same address answers a page or a part of it, and nothing of it outlives the session.
            patch_vary_headers(response, ["HX-Request", "HX-Target"])
            add_never_cache_headers(response)
            return response

        return guarded

    return decorate


def _to_login(request: Request, *, is_form: bool) -> HttpResponse:
    """Lead to the login and from there back; what was sent with an action is kept for that, and nothing is done."""
    lost = request.method not in ("GET", "HEAD")
    if lost and is_form:
        keep_form(request)
        there = request.get_full_path()
    elif lost:
        keep_unsent(request)
        there = next_url(request)
    else:
        there = request.get_full_path()
    if request.htmx:
        there = request.htmx.current_url_abs_path or "/"
    login = redirect_to_login(there, resolve_url(settings.LOGIN_URL)).url + ("&lost=1" if lost else "")
    return HttpResponseClientRedirect(login) if request.htmx else HttpResponseRedirect(login)
