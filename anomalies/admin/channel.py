"""Channels and what they were told: to look at. Their own pages change them, test them and send again."""

from django.contrib import admin
from django.utils.safestring import SafeString

from anomalies.admin.base import InnerAdmin, pretty
from anomalies.models import Channel, Delivery, DeliveryAttempt


@admin.register(Channel)
class ChannelAdmin(InnerAdmin):
    list_display = ("name", "kind", "enabled", "target", "updated_at", "updated_by", "deleted_at")
    list_filter = ("enabled", "kind")
    ordering = ("name", "id")


@admin.register(Delivery)
class DeliveryAdmin(InnerAdmin):
    list_display = ("public_id", "channel", "message", "anomaly", "status", "attempts", "created_at", "finished_at")
    list_select_related = ("channel", "message", "anomaly")
    list_filter = ("status",)
    search_fields = ("public_id__exact", "anomaly__public_id__exact")
    search_help_text = "The whole id of a delivery or an anomaly"
    ordering = ("-id",)
    sortable_by = ()


@admin.register(DeliveryAttempt)
class DeliveryAttemptAdmin(InnerAdmin):
    list_display = ("at", "delivery", "ok", "words")
    list_select_related = ("delivery",)
    ordering = ("-id",)
    sortable_by = ()
    fields = ("delivery", "at", "ok", "words", "outcome_shown")

    @admin.display(description="outcome")
    def outcome_shown(self, attempt: DeliveryAttempt) -> SafeString:
        return pretty(attempt.outcome)
