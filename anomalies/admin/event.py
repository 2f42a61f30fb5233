"""Events and how they came: to look up, in tables of millions of rows."""

import ipaddress

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from anomalies.admin.base import ReadOnlyAdmin
from anomalies.models import Batch, Event, Source


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """Newest stored first. No filter and no order but those that an index answers."""

    list_display = ("external_id", "time", "agent_id", "principal_id", "action", "status", "ip", "resource")
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("agent_id",)  # shows the box; `get_search_results` says what it finds
    search_help_text = "The whole id of an agent, a user or an event, or a whole address"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Event], search_term: str
    ) -> tuple[QuerySet[Event], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        # By id with all sources: that is what the unique index answers.
        sources = list(Source.objects.values_list("pk", flat=True))
        found = Q(agent_id=term) | Q(principal_id=term) | Q(source_id__in=sources, external_id=term)
        if address := _address(term):
            found |= Q(ip=address)
        return queryset.filter(found), False


@admin.register(Source)
class SourceAdmin(ReadOnlyAdmin):
    list_display = ("name", "format", "watermark", "received_at")
    ordering = ("name",)


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
