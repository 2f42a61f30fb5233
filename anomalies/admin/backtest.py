"""Backtests: a detector's change tried on past days before it is saved, and what came of it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.safestring import SafeString

from anomalies.admin.base import ReadOnlyAdmin, ToldChangesAdmin, actor_of, link_to, pretty
from anomalies.admin.parameter import listed
from anomalies.detection.registry import DETECTORS
from anomalies.models import Anomaly, Backtest, Severity
from anomalies.services import backtests

SPANS = {"7": "7 days", "30": "30 days", "90": "90 days"}
DEFAULT_SPAN = "30"
DECISIONS = [
    "True positive",
    "Benign (expected)",
    "False positive",
    "Duplicate or test",
    "Acknowledged, no verdict",
    "Undecided",
    "Not raised then",
]


def _decisions(reviewed: Mapping[str, Any]) -> list[int | None]:
    """How many were decided how, in the order of `DECISIONS`; nothing where an older result does not say."""
    if "verdicts" not in reviewed:
        return [None] * len(DECISIONS)
    verdicts: Mapping[str, int] = reviewed["verdicts"]
    return [
        verdicts[Anomaly.Verdict.TRUE_POSITIVE],
        verdicts[Anomaly.Verdict.BENIGN],
        verdicts[Anomaly.Verdict.FALSE_POSITIVE],
        verdicts[Anomaly.Verdict.DUPLICATE] + verdicts[Anomaly.Verdict.TEST],
        reviewed["without_verdict"],
        reviewed["undecided"],
        reviewed["raised"] - reviewed["are_anomalies"],
    ]


class TriedChangesAdmin(ToldChangesAdmin):
    """Changes of a detector, with a button that tries them on past days instead of saving them."""

    change_form_template = "admin/anomalies/tried_change_form.html"

    def start_backtest(self, obj: Any, form: Any, **days: Any) -> Backtest:
        """Start one of the form's values."""
        raise NotImplementedError

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        if request.method == "POST" and "_try" in request.POST and (tried := self._tried(request, object_id)):
            return tried
        spans = {"spans": SPANS, "default_span": request.POST.get("_span", DEFAULT_SPAN)}
        return super().changeform_view(request, object_id, form_url, {**spans, **(extra_context or {})})

    def _tried(self, request: HttpRequest, object_id: str | None) -> HttpResponse | None:
        """Start a backtest and lead to its page; None leaves it to the form to say what is wrong with it."""
        obj = self.get_object(request, object_id) if object_id else None
        allowed = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        form = self.get_form(request, obj, change=obj is not None)(request.POST, instance=obj)
        if not allowed or not form.is_valid():
            return None
        at, days = timezone.now(), request.POST.get("_span", DEFAULT_SPAN)
        try:
            since = backtests.earliest(at - timedelta(days=int(days if days in SPANS else DEFAULT_SPAN)))
            backtest = self.start_backtest(form.instance, form, since=since, until=at, by=actor_of(request), at=at)
        except backtests.BacktestError as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        self.message_user(request, "Nothing was saved: this is what the change would do.", messages.INFO)
        return HttpResponseRedirect(link_to(backtest))


@admin.register(Backtest)
class BacktestAdmin(ReadOnlyAdmin):
    change_form_template = "admin/anomalies/backtest_change_form.html"
    list_display = ("public_id", "detector", "about", "changed", "days", "progress", "outcome", "created_by")
    list_filter = ("status",)
    search_fields = ("public_id", "agent__public_id", "created_by")
    ordering = ("-id",)
    actions = ("again",)
    fieldsets = (
        (
            None,
            {"fields": ("detector", "about", "changed", "since", "until", "progress", "created_by", "created_at")},
        ),
        ("All of the result", {"classes": ("collapse",), "fields": ("result_shown",)}),
    )

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Backtest | None = None,
    ) -> HttpResponse:
        assert obj is not None  # nobody can add one here
        unfinished = obj.status in (Backtest.Status.WAITING, Backtest.Status.RUNNING)
        result = obj.result or {}
        groups = [
            {
                "title": title,
                "about": about,
                "severities": [(result[name]["by_severity"][label], label) for _, label in reversed(Severity.choices)],
                **result[name],
            }
            for name, title, about in (
                ("gained", "Would have been raised", "by the change only"),
                ("lost", "Would not have been raised", "by the present settings only"),
                ("both", "Raised either way", "as the change would have it"),
            )
            if name in result
        ]
        sides = [
            (title, result["reviewed"][name], _decisions(result["reviewed"][name]))
            for name, title in (("before", "By the present settings"), ("after", "By the change"))
            if groups
        ]
        about = f"{self.detector(obj)} of {self.about(obj)}: {self.changed(obj)}"
        context = {
            **context,
            "unfinished": unfinished,
            "backtest": obj,
            "groups": groups,
            "outcome": result,
            "about": about,
            "sides": sides,
            "decisions": DECISIONS,
        }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def has_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("anomalies.change_backtest")

    @admin.action(description="Run failed backtests again", permissions=["again"])
    def again(self, request: HttpRequest, queryset: QuerySet[Backtest]) -> None:
        done = backtests.run_again(queryset)
        self.message_user(request, f"{done:,} will be run again.", messages.SUCCESS if done else messages.WARNING)

    @admin.display(description="detector", ordering="type")
    def detector(self, backtest: Backtest) -> str:
        return DETECTORS[backtest.type].label if backtest.type in DETECTORS else backtest.type

    @admin.display(description="days (UTC)", ordering="until")
    def days(self, backtest: Backtest) -> str:
        return f"{backtest.since:%Y-%m-%d} to {backtest.until:%Y-%m-%d}"

    @admin.display(description="about", ordering="agent_id")
    def about(self, backtest: Backtest) -> str:
        return backtest.agent_id or "everybody"

    @admin.display(description="tried")
    def changed(self, backtest: Backtest) -> str:
        """What differs from the settings of that time; before they are known, from the default."""
        if not backtest.enabled:
            return "switched off"
        tried = backtest.parameters
        if backtest.type in DETECTORS:
            defaults = {parameter.name: parameter.default for parameter in DETECTORS[backtest.type].parameters}
            tried = {
                name: value
                for name, value in tried.items()
                if name not in defaults or value != (list(d) if isinstance(d := defaults[name], tuple) else d)
            }
        return listed(backtest.type, tried) or "the defaults"

    @admin.display(description="progress", ordering="status")
    def progress(self, backtest: Backtest) -> str:
        if backtest.status == Backtest.Status.RUNNING:
            return f"{backtest.done:,} of {backtest.total:,} judged"
        return str(backtest.get_status_display())

    @admin.display(description="outcome")
    def outcome(self, backtest: Backtest) -> str:
        result = backtest.result or {}
        if "gained" not in result:
            return str(result.get("error", ""))
        return (
            f"{result['gained']['count']:,} more, {result['lost']['count']:,} fewer, {result['both']['count']:,} as now"
        )

    @admin.display(description="result")
    def result_shown(self, backtest: Backtest) -> SafeString:
        return pretty(backtest.result)
