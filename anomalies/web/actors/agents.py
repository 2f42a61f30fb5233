"""The pages of agents: all of them, one, and its events."""

from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from anomalies.detection.registry import DETECTORS, counting
from anomalies.models import Agent, ResponsePolicy, Series
from anomalies.services import access, agent_settings
from anomalies.services.detectors import learning_of
from anomalies.services.working_hours import WorkingHoursError
from anomalies.web.access import REVIEW, VIEW, requires
from anomalies.web.actors.activity import ActorPage, list_page, missing, names
from anomalies.web.actors.agent_form import AgentForm
from anomalies.web.actors.events import events_page
from anomalies.web.answer import actor_of
from anomalies.web.detectors.parameters import label_of, told
from anomalies.web.frame import page
from anomalies.web.request import Request
from anomalies.web.toast import Toast, keep
from anomalies.web.typed import UNSENT, unsent_form
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
    agent = _called(public_id)
    if agent is None:
        return missing(request, Series.Kind.AGENT, public_id)
    lost = unsent_form(request, reverse("change_agent", args=[public_id]))
    form = AgentForm(agent, lost)
    if lost:
        form.add_error(None, UNSENT)
    return _page(request, agent, form)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(REVIEW, is_form=True)
@in_own_zone
def change_agent(request: Request, public_id: str) -> HttpResponse:
    """Set its group, zone and hours. A link to it leads to the agent."""
    agent = _called(public_id)
    if agent is None:
        return missing(request, Series.Kind.AGENT, public_id)
    if request.method != "POST":
        return redirect("agent_page", public_id)
    form = AgentForm(agent, request.POST)
    if not form.is_valid():
        return _page(request, agent, form, status=422)
    wanted = form.cleaned_data
    try:
        agent_settings.settle(
            agent,
            group=wanted["group"],
            time_zone=wanted["time_zone"],
            working_hours_by_day=wanted["hours_by_day"],
            holidays=wanted["holidays"],
            seen_at=wanted["seen_at"],
            by=actor_of(request),
            at=timezone.now(),
        )
    except (access.AccessError, WorkingHoursError) as error:
        form.add_error(None, str(error))
        return _page(request, agent, form, status=409)
    keep(request, Toast("success", "Saved: detection goes by it from the next scan on."))
    return redirect("agent_page", public_id)


@require_safe
@requires(VIEW)
@in_own_zone
def agent_events(request: Request, public_id: str) -> HttpResponse:
    agent = _called(public_id)
    return events_page(request, agent) if agent else missing(request, Series.Kind.AGENT, public_id)


def _called(public_id: str) -> Agent | None:
    return None if "\x00" in public_id else Agent.objects.filter(public_id=public_id).first()


def _page(request: Request, agent: Agent, form: AgentForm, *, status: int = 200) -> HttpResponse:
    now = timezone.now()
    learning = learning_of(agent, at=now)
    overrides = [row for row in agent.detector_overrides.order_by("type") if row.type in DETECTORS]
    context = {
        "one": ActorPage(request, agent, now=now),
        "agent": agent,
        "form": form,
        "scopes": names(agent.scopes),
        "learning": learning,
        "hours_learned": next((one for one in learning if one.detector.type in counting("off_hours_slots")), None),
        "overrides": [
            (
                DETECTORS[row.type].label,
                row,
                [(label_of(row.type, name), told(v)) for name, v in row.parameters.items()],
            )
            for row in overrides
        ],
        "revokes_unasked": access.response_mode() == ResponsePolicy.Mode.REVOKE_AGENT_GRANTS,
    }
    return page(request, "anomalies/agent_page.html", context, status=status)
