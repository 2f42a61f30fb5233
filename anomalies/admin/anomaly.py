"""Anomalies: looked through, filtered and decided about."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from anomalies.admin.base import ReadOnlyAdmin, SeverityFilter, pretty
from anomalies.admin.bulk import deciding
from anomalies.detection.registry import DETECTORS
from anomalies.detection.wording import number, span
from anomalies.models import Anomaly, Metric, ReviewEntry
from anomalies.models.ordering import SORTED_BY


class TypeFilter(admin.SimpleListFilter):
    """By the registry: asking the table which types there are would read all of it."""

    title = "type"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(detector.type, detector.label) for detector in DETECTORS.values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Anomaly]) -> QuerySet[Anomaly]:
        return queryset.filter(type=self.value()) if self.value() else queryset


def _lines(*texts: str | None) -> SafeString:
    """Return what is known of them, one a line: side by side they would not fit beside the filters."""
    return format_html_join(mark_safe("<br>"), "{}", ((text,) for text in texts if text))


class _ReadOnlyInline:
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class TimelineInline(_ReadOnlyInline, admin.TabularInline):
    model = ReviewEntry
    verbose_name_plural = "timeline"
    fields = ("at", "action", "actor", "from_status", "to_status", "note", "bulk")
    ordering = ("id",)


class MetricInline(_ReadOnlyInline, admin.TabularInline):
    model = Metric
    fields = readonly_fields = ("name", "score", "observed", "expected", "spells")
    ordering = ("-score", "id")

    @admin.display(description="observed")
    def observed(self, metric: Metric) -> str:
        figures = metric.evidence
        return f"{figures['observed']:,} {figures['unit']} in {span(figures['resolution_seconds'])}"

    @admin.display(description="expected")
    def expected(self, metric: Metric) -> str:
        return number(metric.evidence["expected"])

    @admin.display(description="intervals")
    def spells(self, metric: Metric) -> str:
        return "; ".join(
            f"{localize(timezone.localtime(one.started_at))} to {localize(timezone.localtime(one.ended_at))}, "
            f"by {span(one.resolution_seconds)}, peak {number(one.peak)}, {one.state}"
            for one in metric.intervals.order_by("resolution_seconds", "started_at")
        )


@admin.register(Anomaly)
class AnomalyAdmin(ReadOnlyAdmin):
    list_display = (
        "severity_marked",
        "type_label",
        "description",
        "detected",
        "status",
        "who",
        "where",
    )
    list_display_links = ("description",)
    list_filter = (
        SeverityFilter,
        TypeFilter,
        "status",
        "verdict",
        "state",
        ("agent", admin.RelatedOnlyFieldListFilter),
    )
    search_fields = ("public_id", "entity", "description")
    search_help_text = "Id, agent, user or address, or words of the description"
    date_hierarchy = "detected_at"
    ordering = ("-detected_at", "-id")
    actions = (
        deciding("acknowledge", "Acknowledge selected anomalies", "acknowledge"),
        *(
            deciding(f"resolve_{value}", f"Resolve as {label}", "resolve", verdict=value)
            for value, label in Anomaly.Verdict.choices
        ),
        deciding("reopen", "Reopen", "reopen"),
        deciding("assign_to_me", "Assign to me", "assign"),
    )
    inlines = (TimelineInline, MetricInline)
    fieldsets = (
        (None, {"fields": ("public_id", "page", "type_label", "description", "severity", "score")}),
        (
            "About",
            {
                "fields": (
                    "kind",
                    "entity",
                    "agent",
                    "principal",
                    "ip",
                    "integration",
                    "resource",
                    "resource_type",
                )
            },
        ),
        ("Deviation", {"fields": ("state", "started_at", "active_until", "ended_at", "detected_at", "scan")}),
        (
            "Review",
            {
                "fields": (
                    *("status", "verdict", "reason", "title", "assignee", "snoozed_until", "suppression"),
                    *("acknowledged_at", "acknowledged_by", "resolved_at", "resolved_by"),
                )
            },
        ),
        ("Evidence", {"fields": ("why", "evidence_shown", "fingerprint", "updated_at", "created_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Anomaly]:
        """In the list those that stand for themselves; a search for the id of a part finds that, too."""
        anomalies: QuerySet[Anomaly] = super().get_queryset(request)
        match = request.resolver_match
        listed = match is not None and (match.url_name or "").endswith("_changelist")
        return anomalies.filter(merged_into=None) if listed and not request.GET.get(SEARCH_VAR) else anomalies

    @admin.display(description="severity", ordering="severity")
    def severity_marked(self, anomaly: Anomaly) -> SafeString:
        label = anomaly.get_severity_display()
        return format_html('<span class="severity {}"><b>{}</b> {}</span>', label, label[0].upper(), label)

    @admin.display(description="agent, principal", ordering=SORTED_BY["who"])
    def who(self, anomaly: Anomaly) -> SafeString:
        return _lines(anomaly.agent_id, anomaly.principal_id)

    @admin.display(description="where", ordering="ip")
    def where(self, anomaly: Anomaly) -> SafeString:
        return _lines(anomaly.ip, anomaly.integration)

    @admin.display(description="detected (UTC)", ordering="detected_at")
    def detected(self, anomaly: Anomaly) -> str:
        return f"{anomaly.detected_at:%Y-%m-%d %H:%M}"

    @admin.display(description="type", ordering="type")
    def type_label(self, anomaly: Anomaly) -> str:
        detector = DETECTORS.get(anomaly.type)
        return detector.label if detector else anomaly.type

    @admin.display(description="why")
    def why(self, anomaly: Anomaly) -> str:
        return str(anomaly.evidence.get("why", ""))

    @admin.display(description="evidence")
    def evidence_shown(self, anomaly: Anomaly) -> SafeString:
        return pretty(anomaly.evidence)

    @admin.display(description="for review")
    def page(self, anomaly: Anomaly) -> SafeString:
        return format_html('<a href="{}">Open its page</a>', self.view_on_site(anomaly))

    def view_on_site(self, anomaly: Anomaly) -> str:
        return reverse("anomaly_detail", args=[anomaly.public_id])

    def has_review_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("anomalies.review_anomaly")
