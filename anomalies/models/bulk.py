"""One decision about many anomalies, over a set that is fixed before it is taken."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from anomalies.models.public_id import new_bulk_review_id


class BulkReview(models.Model):
    """The set as it was shown, what is to be done to it, and what became of each anomaly.

    Those that changed have a review entry that names the bulk review; `refused` says why the others did not.
    """

    public_id = models.CharField("bulk review", max_length=40, unique=True, default=new_bulk_review_id, editable=False)
    action = models.CharField(max_length=20)
    arguments = models.JSONField(default=dict, blank=True, help_text="Of the action: verdict, assignee, until")
    note = models.TextField(blank=True, default="")
    query = models.TextField(blank=True, default="", help_text="The filters by which the set was made; empty: picked")
    anomaly_ids = ArrayField(models.BigIntegerField(), help_text="The exact set")
    refused = models.JSONField(default=dict, blank=True, help_text="By anomaly: why it was left as it was")
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="bulk_reviews")
    done_at = models.DateTimeField(null=True, blank=True, help_text="Empty: shown, and not confirmed yet")
    undone_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.public_id
