"""What the system writes about itself: read only."""

from django.contrib import admin
from django.utils.safestring import SafeString

from anomalies.admin.base import InnerAdmin, ReadOnlyAdmin, pretty
from anomalies.models import (
    AuditEntry,
    OutboxMessage,
    ReviewEntry,
    Scan,
    Series,
    Sighting,
    SourceLag,
    StreamLease,
)

# Bucket blocks have a key of three columns, which the admin site does not know: their series stand for them.


@admin.register(Scan)
class ScanAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "trigger",
        "now",
        "finished_at",
        "events_counted",
        "series_judged",
        "series_failed",
        "anomalies_raised",
        "of_the_past",
    )
    list_filter = ("trigger",)
    ordering = ("-started_at",)

    @admin.display(description="of the past", ordering="anomalies_of_the_past")
    def of_the_past(self, scan: Scan) -> int:
        return scan.anomalies_of_the_past


@admin.register(Series)
class SeriesAdmin(InnerAdmin):
    list_display = ("__str__", "first_time", "last_time", "judged_until", "dirty_from")
    list_filter = ("kind", "metric")
    search_fields = ("entity__startswith",)
    ordering = ("kind", "entity", "metric")
    sortable_by = ()


@admin.register(Sighting)
class SightingAdmin(InnerAdmin):
    list_display = ("day", "principal_id", "action", "succeeded", "ip", "country", "device", "logins", "last_seen")
    search_fields = ("principal__exact",)
    search_help_text = "The whole id of a user"
    ordering = ("-id",)
    sortable_by = ()


@admin.register(SourceLag)
class SourceLagAdmin(InnerAdmin):
    list_display = ("day", "source", "counts")
    list_select_related = ("source",)
    list_filter = (("source", admin.RelatedFieldListFilter),)
    ordering = ("-day", "source")


@admin.register(ReviewEntry)
class ReviewEntryAdmin(InnerAdmin):
    list_display = ("at", "action", "anomaly", "actor", "from_status", "to_status", "note")
    list_select_related = ("anomaly",)
    list_filter = ("action",)
    search_fields = ("anomaly__public_id__exact", "actor__exact")
    ordering = ("-id",)


@admin.register(OutboxMessage)
class OutboxMessageAdmin(InnerAdmin):
    list_display = ("id", "type", "anomaly", "created_at")
    list_select_related = ("anomaly",)
    ordering = ("-id",)
    fields = ("type", "anomaly", "payload_shown", "transaction", "created_at")

    @admin.display(description="payload")
    def payload_shown(self, message: OutboxMessage) -> SafeString:
        return pretty(message.payload)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "timestamp", "agent_id", "principal_id", "action", "status")
    search_fields = ("public_id__exact", "agent_id__exact", "principal_id__exact")
    search_help_text = "The whole id of an entry, an agent or a user"
    ordering = ("-id",)
    sortable_by = ()


@admin.register(StreamLease)
class StreamLeaseAdmin(InnerAdmin):
    list_display = ("api_key", "renewed_at")
    list_select_related = ("api_key",)
    ordering = ("-renewed_at",)
