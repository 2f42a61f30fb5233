"""Events and how they came: to look up, in tables of millions of rows."""

import ipaddress

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from anomalies.admin.base import ReadOnlyAdmin
from anomalies.detection.wording import span
from anomalies.models import Agent, Batch, Event, Principal, Retention, Source
from anomalies.services import retention


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """No filter and no order but those that an index answers."""

    list_display = ("external_id", "time", "agent_id", "principal_id", "action", "status", "ip", "resource")
    sortable_by = ()
    search_fields = ("agent_id",)  # shows the box; `get_search_results` says what it finds
    search_help_text = "The whole id of an agent, a user or an event, or a whole address"

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Newest stored first; of what was searched for, newest first: as the indexes are ordered."""
        return ("-time", "-id") if request.GET.get(SEARCH_VAR) else ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Event], search_term: str
    ) -> tuple[QuerySet[Event], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        found = Q()
        if Agent.objects.filter(public_id=term).exists():
            found |= Q(agent_id=term)
        if Principal.objects.filter(public_id=term).exists():
            found |= Q(principal_id=term)
        if address := _address(term):
            found |= Q(ip=address)
        # By id with all sources: that is what the unique index answers.
        by_id = Q(source_id__in=list(Source.objects.values_list("pk", flat=True)), external_id=term)
        return queryset.filter(found or by_id), False


@admin.register(Source)
class SourceAdmin(ReadOnlyAdmin):
    list_display = (
        *("name", "format", "watermark", "received_at", "lag"),
        *("accepted_events", "duplicate_events", "rejected_records", "late_events"),
    )
    ordering = ("name",)

    @admin.display(description="lag", ordering="lag_seconds")
    def lag(self, source: Source) -> str:
        return f"up to {span(source.lag_seconds)}" if source.lag_seconds else "none known"


@admin.register(Retention)
class RetentionAdmin(ReadOnlyAdmin):
    list_display = (
        "ran_at",
        "events_before",
        "days_dropped",
        "events_dropped",
        "days_kept_back",
        "minute_blocks_dropped",
        "five_minute_blocks_dropped",
        "sightings_dropped",
        "scans_dropped",
    )
    ordering = ("-ran_at",)
    fieldsets = (
        (None, {"fields": ("ran_at",)}),
        ("Events", {"fields": ("events_before", "days_dropped", "events_dropped", "days_in_use", "kept_back_shown")}),
        (
            "Counts",
            {
                "fields": (
                    "minutes_before",
                    "minute_blocks_dropped",
                    "five_minutes_before",
                    "five_minute_blocks_dropped",
                )
            },
        ),
        (
            "Other",
            {
                "fields": (
                    *("sightings_before", "sightings_dropped", "scans_before", "scans_dropped"),
                    *("deliveries_before", "deliveries_dropped"),
                )
            },
        ),
    )

    @admin.display(description="days kept back")
    def days_kept_back(self, run: Retention) -> int:
        return sum(one["days"] for one in run.kept_back)

    @admin.display(description="kept back")
    def kept_back_shown(self, run: Retention) -> SafeString | str:
        """Which days were to be dropped, and why they were not."""
        listed = format_html_join("", "<li>{}.</li>", ((retention.said(one),) for one in run.kept_back))
        return format_html("<ul>{}</ul>", listed) if run.kept_back else "none"


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = ("id", "source", "received_at", "accepted", "duplicate", "rejected", "counted_at")
    list_select_related = ("source",)
    list_filter = (("source", admin.RelatedFieldListFilter),)
    ordering = ("-id",)


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
