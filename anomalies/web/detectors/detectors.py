"""The pages of detectors: what each finds, by what it judges, and what a change of that would have done."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from anomalies.detection.detector import Detector
from anomalies.detection.parameter import ParameterError
from anomalies.detection.registry import DETECTORS, counting
from anomalies.models import Agent, Backtest, Change, DetectorOverride, DetectorSettings, Rule, Scan
from anomalies.services import backtests, detectors
from anomalies.services.access import AgentGoneError
from anomalies.services.track_records import JUDGED_DAYS, TrackRecord, learners, track_records
from anomalies.web.access import REVIEW, requires
from anomalies.web.answer import actor_of
from anomalies.web.detectors.parameters import Typed, fields_of, told, typed
from anomalies.web.detectors.trying import Tried
from anomalies.web.frame import fragment, page
from anomalies.web.request import Request
from anomalies.web.toast import Toast, keep
from anomalies.web.typed import UNSENT, unsent_form
from anomalies.web.zone import in_own_zone

SEE = "anomalies.view_detectorsettings"
CHANGE = "anomalies.change_detectorsettings"
SPANS = {"7": "7 days", "30": "30 days", "90": "90 days"}
DEFAULT_SPAN = "30"
MOST_SHOWN = 50
RULES = counting("rule_events")


@dataclass(frozen=True, slots=True)
class DetectorRow:
    detector: Detector
    enabled: bool
    record: TrackRecord
    learning: int

    @property
    def precision(self) -> str:
        """`83 %`; empty where no verdict says."""
        precision = self.record.precision
        return "" if precision is None else f"{100 * precision:.0f} %"


def _detector(type_: str) -> Detector:
    if type_ not in DETECTORS:
        raise Http404
    return DETECTORS[type_]


@require_safe
@requires(SEE)
@in_own_zone
def detector_list(request: Request) -> HttpResponse:
    now = timezone.now()
    records, learned = track_records(now=now), learners(now=now)
    off = set(DetectorSettings.objects.filter(enabled=False).values_list("type", flat=True))
    rows = [
        DetectorRow(one, type_ not in off, records.get(type_, TrackRecord()), len(learned.by_type.get(type_, [])))
        for type_, one in DETECTORS.items()
    ]
    context = {
        "rows": rows,
        "learners": learned,
        "judged_days": JUDGED_DAYS,
        "scan": Scan.objects.filter(finished_at__isnull=False).order_by("-started_at").first(),
        "rule_count": Rule.objects.living().count(),
    }
    return page(request, "anomalies/detector_list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(SEE, is_form=True)
@in_own_zone
def detector_page(request: Request, type_: str) -> HttpResponse:
    detector = _detector(type_)
    settings = detectors.settings_of(type_)
    if request.method != "POST":
        if lost := unsent_form(request):
            form, enabled = typed(type_, lost), "enabled" in lost
            return _settings_page(
                request, detector, settings, form, enabled, complaint=UNSENT, seen_at=lost.get("seen_at", "")
            )
        form = Typed(fields_of(type_, detectors.parameters_of(type_)), {})
        return _settings_page(request, detector, settings, form, settings.enabled)
    form, enabled = typed(type_, request.POST), "enabled" in request.POST
    if "try" in request.POST:
        return _tried(request, detector, None, form, enabled) or _settings_page(
            request, detector, settings, form, enabled, status=422
        )
    if not request.user.has_perm(CHANGE):
        raise PermissionDenied
    if not form.is_valid:
        return _settings_page(request, detector, settings, form, enabled, status=422)
    try:
        detectors.configure(
            settings,
            enabled=enabled,
            parameters=form.values,
            by=actor_of(request),
            at=timezone.now(),
            seen_at=_seen_at(request),
        )
    except (detectors.StaleSettingsError, ParameterError) as error:
        settings.refresh_from_db()
        return _settings_page(request, detector, settings, form, enabled, complaint=str(error), status=409)
    keep(request, Toast("success", "Saved. The next scan judges by it; what was raised stays."))
    return redirect("detector_page", type_)


def _seen_at(request: Request) -> Any:
    try:
        return parse_datetime(request.POST.get("seen_at", "")) or timezone.now()
    except ValueError:
        return timezone.now()  # tampered with: nothing is overwritten


def _settings_page(
    request: Request,
    detector: Detector,
    settings: DetectorSettings,
    form: Typed,
    enabled: bool,
    *,
    complaint: str = "",
    seen_at: str = "",
    status: int = 200,
) -> HttpResponse:
    now, type_ = timezone.now(), detector.type
    learned = learners(now=now)
    stored = {field.label: field.text for field in fields_of(type_, detectors.parameters_of(type_))}
    tries = Backtest.objects.filter(type=type_).select_related("agent").order_by("-id")[:5]
    context = {
        "row": DetectorRow(
            detector,
            settings.enabled,
            track_records(now=now).get(type_, TrackRecord()),
            len(learned.by_type.get(type_, [])),
        ),
        "detector": detector,
        "settings": settings,
        "fields": form.fields,
        "stored": stored if status == 409 else {},
        "seen_at": seen_at or settings.updated_at.isoformat(),
        "enabled": enabled,
        "complaint": complaint,
        "learning": learned.by_type.get(type_, [])[:MOST_SHOWN],
        "learners": learned,
        "overrides": [
            (one, [(detector.label_of(name), told(value)) for name, value in one.parameters.items()])
            for one in DetectorOverride.objects.filter(type=type_).order_by("agent_id")
        ],
        "changes": [
            (one, [(detector.label_of(name), *pair) for name, pair in one.changes.items()])
            for one in Change.objects.filter(subject_type="detector", subject_id=type_).order_by("-id")[:5]
        ],
        "tries": [Tried(one) for one in tries],
        "judged_days": JUDGED_DAYS,
        "spans": SPANS,
        "span": request.POST.get("span", DEFAULT_SPAN),
        "can_change": request.user.has_perm(CHANGE),
        "has_rules": type_ in RULES,
    }
    return page(request, "anomalies/detector_page.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(SEE, is_form=True)
@in_own_zone
def override_page(request: Request, type_: str, public_id: str = "") -> HttpResponse:
    """How one agent is judged otherwise; without an id, one that is still to be named."""
    detector = _detector(type_)
    lost = unsent_form(request) if request.method != "POST" else None
    posted = lost or request.POST
    wanted = public_id or posted.get("agent", request.GET.get("agent", "")).strip()
    agent = Agent.objects.filter(public_id=wanted.replace("\x00", ""), deleted_at__isnull=True).first()
    if public_id and agent is None:
        raise Http404
    known = DetectorOverride.objects.filter(type=type_, agent=agent).first() if agent else None
    if request.method != "POST" and not lost:
        form = Typed(fields_of(type_, detectors.parameters_of(type_, agent)), {})
        enabled = known.enabled if known else True
        return _override_page(request, detector, agent, known, form, enabled, wanted=wanted)
    form, enabled = typed(type_, posted), "enabled" in posted
    if lost:
        return _override_page(
            request, detector, agent, known, form, enabled, wanted=wanted, complaint=UNSENT, posted=lost
        )
    errors = {} if agent else {"agent": f"There is no agent “{wanted[:40]}”." if wanted else "Name the agent."}
    if agent and "try" in request.POST and (answer := _tried(request, detector, agent, form, enabled)):
        return answer
    if "try" not in request.POST and not request.user.has_perm(CHANGE):
        raise PermissionDenied
    reason = request.POST.get("reason", "").replace("\x00", "").strip()
    if "try" not in request.POST and not reason:
        errors["reason"] = "Say why this agent is judged otherwise."
    if len(reason) > 10_000:
        errors["reason"] = f"{len(reason):,} characters, at most 10,000 are kept."
    if agent is None or errors or not form.is_valid:
        said = "Nothing was saved: what is wrong stands beside its field."
        return _override_page(
            request, detector, agent, known, form, enabled, wanted=wanted, errors=errors, complaint=said, status=422
        )
    try:
        detectors.override(
            type_,
            agent,
            enabled=enabled,
            parameters=form.values,
            reason=reason,
            by=actor_of(request),
            at=timezone.now(),
            seen_at=request.POST.get("seen_at", ""),
        )
    except (AgentGoneError, detectors.StaleOverrideError) as error:
        known = DetectorOverride.objects.filter(type=type_, agent=agent).first()
        return _override_page(
            request, detector, agent, known, form, enabled, wanted=wanted, complaint=str(error), status=409
        )
    keep(request, Toast("success", f"Saved: {agent.public_id} is judged by its own parameters."))
    return redirect("detector_page", type_)


def _override_page(
    request: Request,
    detector: Detector,
    agent: Agent | None,
    known: DetectorOverride | None,
    form: Typed,
    enabled: bool,
    *,
    wanted: str,
    complaint: str = "",
    errors: Mapping[str, str] | None = None,
    posted: QueryDict | None = None,
    status: int = 200,
) -> HttpResponse:
    posted = posted or request.POST
    context = {
        "detector": detector,
        "agent": agent,
        "known": known,
        "wanted": wanted,
        "fields": form.fields,
        "enabled": enabled,
        "reason": posted.get("reason", known.reason if known else ""),
        # Who was told that somebody was faster has seen what is there now.
        "seen_at": _made_at(known) if status == 409 else posted.get("seen_at", _made_at(known)),
        "complaint": complaint,
        "errors": errors or {},
        "spans": SPANS,
        "span": request.POST.get("span", DEFAULT_SPAN),
        "can_change": request.user.has_perm(CHANGE),
    }
    return page(request, "anomalies/override_page.html", context, status=status)


def _made_at(override: DetectorOverride | None) -> str:
    """When an override was made, as its form sends it back; empty where there is none."""
    return override.updated_at.isoformat() if override else ""


@require_POST
@requires(CHANGE)
@in_own_zone
def override_remove(request: Request, type_: str, public_id: str) -> HttpResponse:
    _detector(type_)
    agent = Agent.objects.filter(public_id=public_id.replace("\x00", "")).first()
    if agent is None:
        raise Http404
    try:
        detectors.remove_override(type_, agent, by=actor_of(request), at=timezone.now())
    except detectors.NoOverrideError as error:
        keep(request, Toast("warning", str(error)))
    else:
        keep(request, Toast("success", f"Removed: {agent.public_id} is judged as everybody is."))
    return redirect("detector_page", type_)


def _tried(
    request: Request, detector: Detector, agent: Agent | None, form: Typed, enabled: bool
) -> HttpResponse | None:
    """Start a backtest of what was typed, and lead to it; None where what was typed is wrong."""
    if not request.user.has_perm(REVIEW):
        raise PermissionDenied
    if not form.is_valid:
        return None
    now, span = timezone.now(), request.POST.get("span", DEFAULT_SPAN)
    days = int(span if span in SPANS else DEFAULT_SPAN)
    try:
        backtest = backtests.start(
            detector.type,
            parameters=form.values,
            enabled=enabled,
            agent=agent,
            since=backtests.earliest(now - timedelta(days=days)),
            until=now,
            by=actor_of(request),
            at=now,
        )
    except backtests.BacktestError as error:
        keep(request, Toast("warning", f"It cannot be tried: {error}"))
        return redirect(request.get_full_path())
    return redirect("backtest_page", detector.type, backtest.public_id)


@require_safe
@requires(SEE)
@in_own_zone
def backtest_page(request: Request, type_: str, public_id: str) -> HttpResponse:
    backtest = Backtest.objects.filter(type=type_, public_id=public_id).select_related("agent").first()
    if backtest is None or type_ not in DETECTORS:
        raise Http404
    tried = Tried(backtest)
    of_agent = [type_, backtest.agent_id] if backtest.agent_id else [type_]
    settings = detectors.settings_of(type_)
    override = DetectorOverride.objects.filter(type=type_, agent=backtest.agent).first() if backtest.agent else None
    context = {
        "tried": tried,
        "backtest": backtest,
        "detector": DETECTORS[type_],
        "save_url": reverse("override_page" if backtest.agent_id else "detector_page", args=of_agent),
        "seen_at": _made_at(override) if backtest.agent else settings.updated_at.isoformat(),
        "can_change": request.user.has_perm(CHANGE),
    }
    if request.htmx:
        return fragment(request, "anomalies/backtest_page.html#outcome", context)
    return page(request, "anomalies/backtest_page.html", context)
