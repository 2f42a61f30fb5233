"""The pages of reviewers' own rules: all of them, a new one, and one; each with what it would have raised."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Max, OuterRef, QuerySet, Subquery
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.text import capfirst
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from anomalies.detection.registry import DETECTORS, counting
from anomalies.detection.wording import plural, span
from anomalies.models import Anomaly, Change, Channel, Rule, Severity
from anomalies.services import rules
from anomalies.services.rule_previews import preview
from anomalies.web.access import requires
from anomalies.web.answer import actor_of
from anomalies.web.audit_log import in_words
from anomalies.web.frame import page
from anomalies.web.request import Request
from anomalies.web.toast import Toast, keep
from anomalies.web.typed import UNSENT, unsent_form
from anomalies.web.zone import in_own_zone

SEE = "anomalies.view_rule"
MAKE = "anomalies.add_rule"
CHANGE = "anomalies.change_rule"
DELETE = "anomalies.delete_rule"
MOST_LISTED = 500


class RuleForm(forms.Form):
    """Agents and scopes one a line, windows by name."""

    name = forms.CharField(max_length=rules.MAX_LENGTH)
    severity = forms.TypedChoiceField(
        choices=[(one.value, one.label.title()) for one in reversed(Severity)], coerce=int, initial=Severity.MEDIUM
    )
    threshold = forms.IntegerField(label="Events, at least", help_text=f"1 to {rules.MAX_THRESHOLD:,} events")
    window_seconds = forms.TypedChoiceField(
        label="Within",
        choices=[(seconds, span(seconds)) for seconds in rules.WINDOWS.values()],
        coerce=int,
        initial=3600,
    )
    agents = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 2}), help_text="An id a line; empty: all agents"
    )
    scopes = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Permissions, actions or scopes of grants, one a line; empty: each event",
    )
    description = forms.CharField(
        label="What it is for", required=False, widget=forms.Textarea(attrs={"rows": 2, "maxlength": 10_000})
    )
    enabled = forms.BooleanField(label="On: it judges what happens from now on", required=False, initial=True)

    def __init__(self, *args: Any, of: Rule | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.of = of

    @property
    def shown(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name != "enabled"]

    def clean_agents(self) -> list[str]:
        return _lines(self.cleaned_data["agents"])

    def clean_scopes(self) -> list[str]:
        return _lines(self.cleaned_data["scopes"])

    def clean(self) -> dict[str, Any]:
        for field, reason in rules.errors_of(self.cleaned_data, of=self.of).items():
            self.add_error(field, f"{self.fields[field].label or capfirst(field)}: {reason}")
        return self.cleaned_data

    @property
    def can_be_previewed(self) -> bool:
        """Whether what it counts makes sense, whatever else is missing."""
        return not ({"agents", "scopes", "threshold", "window_seconds"} & set(self.errors))

    def counted(self) -> Mapping[str, Any]:
        """What says which events it counts."""
        names = ("agents", "scopes", "threshold", "window_seconds", "severity")
        return {name: self.cleaned_data[name] for name in names if name in self.cleaned_data}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _initial(rule: Rule) -> dict[str, Any]:
    given = {name: getattr(rule, name) for name in RuleForm.base_fields}
    return {**given, **{name: "\n".join(getattr(rule, name)) for name in ("agents", "scopes")}}


def _as_typed(posted: QueryDict, rule: Rule | None) -> RuleForm:
    """The form as it was typed, without a word about what is still missing."""
    return RuleForm(initial={**posted.dict(), "enabled": "enabled" in posted}, of=rule)


def told_of(some: Sequence[Rule]) -> dict[str, list[str]]:
    """The names of the channels that each of these rules names and that are left, by the id of the rule."""
    named = {channel for rule in some for channel in rule.channels}
    if not named:
        return {}
    known = dict(Channel.objects.kept().filter(public_id__in=named).values_list("public_id", "name"))
    return {rule.public_id: [known[channel] for channel in rule.channels if channel in known] for rule in some}


def says(rule: Rule, told: Sequence[str] = ()) -> list[tuple[str, str]]:
    """A rule as pairs: `("", "50 events or more within 1 hour"), ("about", "db.write"), ("of", "ag_1")`."""
    parts = [
        ("", f"{plural(rule.threshold, 'event')} or more within {span(rule.window_seconds)}"),
        ("about", ", ".join(rule.scopes)),
        ("of", ", ".join(rule.agents)),
        ("and tells only", ", ".join(told)),
    ]
    return [(word, value) for word, value in parts if value]


@require_safe
@requires(SEE)
@in_own_zone
def rule_list(request: Request) -> HttpResponse:
    of_it = (
        Anomaly.objects.filter(type__in=counting("rule_events"), topic=OuterRef("public_id")).order_by().values("topic")
    )
    found = Rule.objects.living().annotate(
        raised=Subquery(of_it.annotate(n=Count("pk")).values("n")),
        raised_last=Subquery(of_it.annotate(last=Max("detected_at")).values("last")),
    )
    shown = list(found.order_by("name")[:MOST_LISTED])
    told = told_of(shown)
    context = {
        "rows": [(one, says(one, told.get(one.public_id, ())), Severity(one.severity).label) for one in shown],
        "detector_count": len(DETECTORS),
        "rule_count": Rule.objects.living().count(),
        "can_make": request.user.has_perm(MAKE),
    }
    return page(request, "anomalies/rule_list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@requires(SEE, is_form=True)
@in_own_zone
def rule_page(request: Request, public_id: str = "") -> HttpResponse:
    """One rule, or a new one without an id: a form, what it would have raised, and who changed it."""
    rule = Rule.objects.living().filter(public_id=public_id.replace("\x00", "")).first() if public_id else None
    if public_id and rule is None:
        raise Http404
    permission = CHANGE if rule else MAKE
    if request.method != "POST":
        if rule is None and not request.user.has_perm(MAKE):
            raise PermissionDenied
        if lost := unsent_form(request):
            return _rule_page(
                request,
                rule,
                _as_typed(lost, rule),
                RuleForm(lost, of=rule),
                complaint=UNSENT,
                seen_at=lost.get("seen_at", ""),
            )
        form = RuleForm(initial=_initial(rule) if rule else {}, of=rule)
        tried = RuleForm(_initial(rule), of=rule) if rule else None
        return _rule_page(request, rule, form, tried)
    if not request.user.has_perm(permission):
        raise PermissionDenied
    form = RuleForm(request.POST, of=rule)
    if "look" in request.POST:
        looked = _as_typed(request.POST, rule) if form.is_valid() or form.can_be_previewed else form
        return _rule_page(request, rule, looked, form, seen_at=request.POST.get("seen_at", ""))
    if not form.is_valid():
        return _rule_page(request, rule, form, form, status=422)
    by, at, wanted = actor_of(request), timezone.now(), form.cleaned_data
    try:
        if rule:
            rules.change(rule, by=by, at=at, seen_at=_seen_at(request), **wanted)
        else:
            rule = rules.create(by=by, at=at, **wanted)
    except (rules.RuleError, rules.RuleGoneError, rules.StaleRuleError) as error:
        return _rule_page(request, rule, form, form, complaint=str(error), status=409)
    unknown = rules.unknown_agents(wanted["agents"])
    beside = f" Nothing is known yet of {', '.join(unknown)[:300]}." if unknown else ""
    keep(request, Toast("warning" if unknown else "success", f"Saved rule {rule.name}.{beside}"))
    return redirect("rule_list")


def _seen_at(request: Request) -> datetime:
    try:
        return parse_datetime(request.POST.get("seen_at", "")) or datetime.min.replace(tzinfo=UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)  # tampered with: nothing is overwritten


def _rule_page(
    request: Request,
    rule: Rule | None,
    form: RuleForm,
    tried: RuleForm | None,
    *,
    complaint: str = "",
    seen_at: str = "",
    status: int = 200,
) -> HttpResponse:
    if tried:
        tried.full_clean()
    previewed = preview(tried.counted(), at=timezone.now()) if tried and tried.can_be_previewed else None
    context = {
        "rule": rule,
        "form": form,
        "complaint": complaint,
        "seen_at": seen_at or (rule.updated_at.isoformat() if rule else ""),
        "preview": previewed,
        "findings": [
            (one, Severity(one.severity).label, datetime.fromtimestamp(one.start, UTC)) for one in previewed.newest
        ]
        if previewed
        else [],
        "anomalies_type": counting("rule_events")[0],
        "told": told_of([rule]).get(rule.public_id, []) if rule else [],
        "changes": [(one, in_words(one.changes)) for one in _changes_of(rule)] if rule else [],
        "can_save": request.user.has_perm(CHANGE if rule else MAKE),
        "can_delete": rule is not None and request.user.has_perm(DELETE),
    }
    return page(request, "anomalies/rule_page.html", context, status=status)


@require_POST
@requires(CHANGE)
@in_own_zone
def rule_switch(request: Request, public_id: str) -> HttpResponse:
    """Switch one on or off."""
    rule = _living(public_id)
    enabled = request.POST.get("enabled") == "1"
    said = "is on: it judges what happens from now on" if enabled else "is off; what it raised stays"
    try:
        rules.change(rule, by=actor_of(request), at=timezone.now(), enabled=enabled)
    except (rules.RuleError, rules.RuleGoneError) as error:
        keep(request, Toast("warning", str(error)))
    else:
        keep(request, Toast("success", f"Rule {rule.name} {said}."))
    return redirect("rule_list")


@require_POST
@requires(DELETE)
@in_own_zone
def rule_delete(request: Request, public_id: str) -> HttpResponse:
    rule = _living(public_id)
    try:
        rules.delete(rule, by=actor_of(request), at=timezone.now())
    except rules.RuleGoneError as error:
        keep(request, Toast("warning", str(error)))
    else:
        keep(request, Toast("success", f"Rule {rule.name} is deleted; what it raised stays."))
    return redirect("rule_list")


def _changes_of(rule: Rule) -> QuerySet[Change]:
    return Change.objects.filter(subject_type="rule", subject_id=rule.public_id).order_by("-id")[:10]


def _living(public_id: str) -> Rule:
    rule = Rule.objects.living().filter(public_id=public_id.replace("\x00", "")).first()
    if rule is None:
        raise Http404
    return rule
