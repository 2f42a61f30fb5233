"""The pages of agents: all of them, and one."""

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from anomalies.models import Agent, Series
from anomalies.web.access import VIEW, requires
from anomalies.web.activity import list_page, missing
from anomalies.web.frame import page
from anomalies.web.listing import agent_url
from anomalies.web.request import Request
from anomalies.web.zone import in_own_zone


@require_safe
@requires(VIEW)
@in_own_zone
def agent_list(request: Request) -> HttpResponse:
    return list_page(request, Series.Kind.AGENT)


@require_safe
@requires(VIEW)
@in_own_zone
def agent_page(request: Request, public_id: str) -> HttpResponse:
    agent = Agent.objects.filter(public_id=public_id.replace("\x00", "")).first()
    if agent is None:
        return missing(request, "agent", public_id)
    return page(request, "anomalies/agent_page.html", {"agent": agent, "anomalies_url": agent_url(public_id)})
