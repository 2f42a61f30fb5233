"""Access requests and the flows that govern them, as their events tell of them."""

from django.contrib import admin
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from anomalies.admin.base import ReadOnlyAdmin, in_words, linked
from anomalies.detection.wording import span
from anomalies.models import AccessFlow, AccessRequest
from anomalies.services import access_requests


@admin.register(AccessRequest)
class AccessRequestAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "requester_id", "asked_for", "flow", "status", "requested_at", "ended_at")
    list_select_related = ("flow",)
    list_filter = ("status", "rejected_by_person", ("source", admin.RelatedFieldListFilter))
    search_fields = ("public_id__exact", "friendly_id__exact", "requester__public_id__exact", "flow__public_id__exact")
    search_help_text = "The whole id of a request, a user or an access flow"
    ordering = ("-requested_at", "-id")
    sortable_by = ()
    fieldsets = (
        (None, {"fields": ("public_id", "friendly_id", "status", "requester", "grantee_shown", "justification")}),
        ("Asked for", {"fields": ("units_shown", "duration", "flow_shown")}),
        (
            "What became of it",
            {
                "fields": (
                    "requested_at",
                    "approved_at",
                    "rejected_at",
                    "rejected_by_person",
                    "grant_shown",
                    "ended_at",
                )
            },
        ),
        ("History", {"fields": ("timeline", "approvals_shown", "source", "known_at", "updated_at")}),
    )

    @admin.display(description="asked for")
    def asked_for(self, request: AccessRequest) -> str:
        return access_requests.asked_for(request)

    @admin.display(description="access flow")
    def flow_shown(self, request: AccessRequest) -> SafeString | str:
        return linked(request.flow)

    @admin.display(description="grant")
    def grant_shown(self, request: AccessRequest) -> SafeString | str:
        return linked(getattr(request, "grant", None))

    @admin.display(description="history")
    def timeline(self, request: AccessRequest) -> SafeString:
        """What happened when, and who did it, oldest first."""
        return format_html(
            "<ol>{}</ol>",
            format_html_join(
                "",
                "<li>{}: {}{}{}</li>",
                (
                    (
                        localize(timezone.localtime(entry.at)),
                        entry.type,
                        f" by {entry.actor}" if entry.actor else "",
                        f" ({entry.note})" if entry.note else "",
                    )
                    for entry in access_requests.history_of(request)
                ),
            ),
        )

    @admin.display(description="grantee")
    def grantee_shown(self, request: AccessRequest) -> SafeString:
        return in_words(request.grantee)

    @admin.display(description="units")
    def units_shown(self, request: AccessRequest) -> SafeString:
        return in_words(request.units)

    @admin.display(description="approvals")
    def approvals_shown(self, request: AccessRequest) -> SafeString:
        return in_words(request.approvals)

    @admin.display(description="duration")
    def duration(self, request: AccessRequest) -> str:
        return "without end" if request.duration_seconds is None else span(request.duration_seconds)


@admin.register(AccessFlow)
class AccessFlowAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "name", "active", "grant_duration_seconds", "updated_at", "updated_by")
    list_filter = ("active",)
    search_fields = ("public_id__exact", "name")
    search_help_text = "The whole id of an access flow, or a part of its name"
    ordering = ("public_id",)
    fields = (
        "public_id",
        "name",
        "description",
        "active",
        "grant_duration_seconds",
        "requestors_shown",
        "targets_shown",
        "approvers_shown",
        "timeframe_shown",
        "justification_required",
        "requester_cannot_approve_self",
        "mfa_required",
        "created_at",
        "updated_at",
        "updated_by",
    )

    @admin.display(description="requestors")
    def requestors_shown(self, flow: AccessFlow) -> SafeString:
        return in_words(flow.requestors)

    @admin.display(description="targets")
    def targets_shown(self, flow: AccessFlow) -> SafeString:
        return in_words(flow.targets)

    @admin.display(description="approver policy")
    def approvers_shown(self, flow: AccessFlow) -> SafeString:
        return in_words(flow.approver_policy)

    @admin.display(description="timeframe")
    def timeframe_shown(self, flow: AccessFlow) -> SafeString:
        return in_words(flow.timeframe)
