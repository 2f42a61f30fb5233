"""What one reviewer keeps at hand: views of the list, bookmarks, and what they were told."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from anomalies.models.anomaly import Anomaly
from anomalies.models.public_id import new_view_id
from anomalies.models.review import ReviewEntry


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def seen_by(self, user: models.Model) -> Self:
        """Their own and those that others share."""
        return self.filter(models.Q(owner=user) | models.Q(shared=True))


class SavedView(models.Model):
    """Filters and order of the list under a name. `query` is what the address says of them."""

    public_id = models.CharField("view", max_length=40, unique=True, default=new_view_id, editable=False)
    name = models.CharField(max_length=60)
    query = models.TextField(blank=True, default="")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="saved_views")
    shared = models.BooleanField(default=False, help_text="Everybody who may see anomalies sees it")
    created_at = models.DateTimeField(db_default=Now())

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="savedview_name_unique")]

    def __str__(self) -> str:
        return self.name


class Bookmark(models.Model):
    """That one reviewer marked an anomaly for themselves."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="bookmarks")
    anomaly = models.ForeignKey(Anomaly, models.CASCADE, related_name="bookmarks")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "anomaly"], name="bookmark_unique")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.anomaly_id}"


class Notice(models.Model):
    """That one person is to be told of a review entry, such as an assignment to them."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notices")
    entry = models.ForeignKey(ReviewEntry, models.CASCADE, related_name="notices")
    created_at = models.DateTimeField(db_default=Now())
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "entry"], name="notice_unique")]
        indexes = [models.Index(fields=["user", "id"], condition=models.Q(seen_at=None), name="notice_unseen")]

    def __str__(self) -> str:
        return f"{self.user_id} {self.entry_id}"
