"""The admin site: triage as Django users expect it."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse

from anomalies.admin import (
    access,
    access_request,
    anomaly,
    api_key,
    backtest,
    bulk,
    channel,
    connection,
    detector,
    event,
    override,
    record,
    revocation,
    rule,
    suppression,
)

__all__ = [
    "access",
    "access_request",
    "anomaly",
    "api_key",
    "backtest",
    "bulk",
    "channel",
    "connection",
    "detector",
    "event",
    "override",
    "record",
    "revocation",
    "rule",
    "suppression",
]


def _login(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """Ask who they are; who is signed in already and is no staff gains nothing by the question."""
    if request.user.is_authenticated and not admin.site.has_permission(request):
        raise PermissionDenied
    return _ask(request, extra_context)


_ask = admin.site.login
admin.site.login = _login  # type: ignore[method-assign]  # a site of our own would be registered with all over again
admin.site.site_header = "Anomalies"
admin.site.site_title = "Anomalies admin"
admin.site.index_title = "Administration"
