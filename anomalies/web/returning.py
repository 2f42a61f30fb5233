"""Where a form leads back to."""

from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from anomalies.web.request import Request


def next_url(request: Request) -> str:
    """Return the page of ours to which a form leads back, and nobody else's."""
    wanted = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure()):
        return wanted
    return reverse("anomaly_list")
