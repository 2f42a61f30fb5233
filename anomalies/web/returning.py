"""Where a form, or a link that asks first, leads back to."""

from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from anomalies.web.request import Request


def next_url(request: Request) -> str:
    """Return the page of ours to which a form or link leads back, and nobody else's."""
    wanted = request.POST.get("next") or request.GET.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure()):
        return wanted
    return reverse("anomaly_list")
