"""The form that takes access back: it asks once more before it does."""

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from anomalies.models import Anomaly, Grant, Revocation
from anomalies.services import access, connections
from anomalies.services.revocations import RevocationError
from anomalies.web.access import REVIEW, requires
from anomalies.web.access_requests.panel import RequestPanel
from anomalies.web.answer import actor_of
from anomalies.web.frame import fragment, page
from anomalies.web.request import Request
from anomalies.web.returning import next_url
from anomalies.web.toast import Toast, keep
from anomalies.web.zone import in_own_zone


@require_http_methods(["GET", "HEAD", "POST"])
@requires(REVIEW)
@in_own_zone
def revoke_grant(request: Request, public_id: str) -> HttpResponse:
    """Take back a grant, or ask whether to: only what is posted with `confirm` does it."""
    grant = Grant.objects.select_related("request").filter(public_id=public_id.replace("\x00", "")).first()
    if grant is None:
        raise Http404
    if request.POST.get("confirm") != "yes":
        return page(request, "anomalies/grant_revoke.html", _question(request, grant))
    toast = _revoke(request, grant)
    if request.htmx and grant.request:
        panel = RequestPanel(grant.request, request.POST, tab="resources", now=timezone.now())
        return fragment(request, "anomalies/_request.html", {"panel": panel, "toast": toast})
    keep(request, toast)
    return redirect(next_url(request))


def _question(request: Request, grant: Grant) -> dict[str, object]:
    asked = connections.asked_for(grant)
    return {
        "grant": grant,
        "asked": [one.integration or str(one) for one in asked],
        "next": next_url(request),
        "from_anomaly": request.POST.get("anomaly", ""),
    }


def _revoke(request: Request, grant: Grant) -> Toast:
    anomaly = Anomaly.objects.called(request.POST.get("anomaly", "").replace("\x00", ""))
    try:
        revocation = access.revoke_grant(grant, by=actor_of(request), at=timezone.now(), anomaly=anomaly)
    except (access.AccessError, RevocationError) as error:
        return Toast("warning", str(error))
    if revocation.state == Revocation.State.PENDING:
        waiting = ", ".join(one.integration or "its connection" for one in revocation.calls.all())
        return Toast("success", f"Revoking: the access ends when {waiting} has answered.")
    return Toast("success", "Revoked.")
