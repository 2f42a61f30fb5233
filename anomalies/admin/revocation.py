"""What people changed, and access that was taken back: what integrations were asked and what they answered."""

from django.contrib import admin
from django.utils.safestring import SafeString

from anomalies.admin.base import InnerAdmin, ReadOnlyAdmin, pretty
from anomalies.models import Change, Revocation, RevocationAttempt, RevocationCall


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor", "action", "subject_type", "subject_id", "subject_name")
    list_filter = ("subject_type",)
    search_fields = ("subject_id__exact", "actor__exact")
    search_help_text = "The whole id of what was changed, or who changed it"
    ordering = ("-at", "-id")
    sortable_by = ()
    exclude = ("changes",)
    readonly_fields = ("changes_shown",)

    @admin.display(description="before and after")
    def changes_shown(self, change: Change) -> SafeString:
        return pretty(change.changes)


@admin.register(Revocation)
class RevocationAdmin(InnerAdmin):
    list_display = ("public_id", "grant", "state", "begun_at", "begun_by", "concluded_at", "error")
    list_filter = ("state",)
    search_fields = ("public_id__exact", "grant__public_id__exact", "begun_by__exact")
    ordering = ("-id",)


@admin.register(RevocationCall)
class RevocationCallAdmin(InnerAdmin):
    list_display = ("public_id", "revocation", "integration", "state", "attempts", "due_at", "error")
    list_filter = ("state",)
    search_fields = ("public_id__exact", "integration__exact")
    ordering = ("-id",)


@admin.register(RevocationAttempt)
class RevocationAttemptAdmin(InnerAdmin):
    list_display = ("at", "call", "outcome")
    search_fields = ("call__public_id__exact",)
    ordering = ("-id",)
