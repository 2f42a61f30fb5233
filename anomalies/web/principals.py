"""The pages of principals, the users for whom agents act: all of them, and one."""

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from anomalies.models import Principal, Series
from anomalies.web.access import VIEW, requires
from anomalies.web.activity import list_page, missing
from anomalies.web.frame import page
from anomalies.web.listing import user_url
from anomalies.web.request import Request
from anomalies.web.zone import in_own_zone


@require_safe
@requires(VIEW)
@in_own_zone
def principal_list(request: Request) -> HttpResponse:
    return list_page(request, Series.Kind.PRINCIPAL)


@require_safe
@requires(VIEW)
@in_own_zone
def principal_page(request: Request, public_id: str) -> HttpResponse:
    principal = Principal.objects.filter(public_id=public_id.replace("\x00", "")).first()
    if principal is None:
        return missing(request, "user", public_id)
    context = {"principal": principal, "anomalies_url": user_url(public_id)}
    return page(request, "anomalies/principal_page.html", context)
