"""Events and how they came: to look up, in tables of millions of rows."""

import ipaddress

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from anomalies.admin.base import ReadOnlyAdmin
from anomalies.detection.wording import span
from anomalies.models import Agent, Batch, Event, Principal, Retention, Source


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
    list_display = ("name", "format", "watermark", "received_at", "lag", "late_events")
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
        "days_in_use",
        "events_dropped",
        "minutes_before",
        "minute_blocks_dropped",
    )
    ordering = ("-ran_at",)


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
