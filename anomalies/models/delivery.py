"""What is to be told to whom, and each attempt to tell it."""

from typing import Self

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now

from anomalies.models.anomaly import Anomaly
from anomalies.models.channel import Channel
from anomalies.models.notification import OutboxMessage
from anomalies.models.public_id import new_delivery_id


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def unfinished(self) -> Self:
        return self.filter(status__in=Delivery.UNFINISHED)


class Delivery(models.Model):
    """One message for one channel: the public id is the same in every attempt, so that receivers know it again.

    What has the same `digest` is sent together under that id, and comes to its end together.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        DELIVERED = "delivered"
        FAILED = "failed", "failed, tried again"
        DEAD = "dead", "dead, given up"

    UNFINISHED = (Status.PENDING, Status.FAILED)

    public_id = models.CharField("delivery", max_length=40, unique=True, default=new_delivery_id, editable=False)
    message = models.ForeignKey(OutboxMessage, models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="deliveries")
    anomaly = models.ForeignKey(Anomaly, models.CASCADE, related_name="deliveries")
    digest = models.CharField(max_length=40, blank=True, default="", help_text="Under which it is sent with others")
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    attempts = models.PositiveIntegerField(default=0, help_text="Begun so far")
    next_attempt_at = models.DateTimeField(
        help_text="While one is under way, when the next begins if that one gets lost with its worker"
    )
    give_up_at = models.DateTimeField()
    outcome = models.CharField(max_length=500, blank=True, default="", help_text="Of the last attempt")
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["channel", "message"], name="delivery_once_per_channel"),
            models.CheckConstraint(
                condition=models.Q(status__in=["pending", "delivered", "failed", "dead"]), name="delivery_status_known"
            ),
            models.CheckConstraint(
                condition=models.Q(finished_at__isnull=True) ^ models.Q(status__in=["delivered", "dead"]),
                name="delivery_finished",
            ),
        ]
        indexes = [
            models.Index(
                fields=["channel", "next_attempt_at", "id"],
                condition=models.Q(status__in=["pending", "failed"]),
                name="delivery_due",
            ),
            models.Index(
                fields=["channel", "anomaly", "id"],
                condition=models.Q(status__in=["pending", "failed"]),
                name="delivery_order",
            ),
            models.Index(fields=["digest", "id"], condition=~models.Q(digest=""), name="delivery_of_digest"),
            models.Index(fields=["anomaly", "id"], name="delivery_of_anomaly"),
            models.Index(fields=["channel", "-id"], name="delivery_of_channel"),
            models.Index(fields=["status", "-id"], name="delivery_status"),
            models.Index(
                fields=["finished_at"], condition=models.Q(finished_at__isnull=False), name="delivery_finished_at"
            ),
        ]

    def __str__(self) -> str:
        return self.public_id


class DeliveryAttempt(models.Model):
    """One attempt, with what was sent and what came back; that of a digest is kept with its first delivery."""

    delivery = models.ForeignKey(Delivery, models.CASCADE, related_name="tries")
    at = models.DateTimeField()
    ok = models.BooleanField()
    words = models.CharField(max_length=500)
    outcome = models.JSONField(encoder=DjangoJSONEncoder)

    class Meta:
        indexes = [
            models.Index(fields=["delivery", "id"], name="deliveryattempt_delivery"),
            models.Index(fields=["at"], condition=models.Q(ok=False), name="deliveryattempt_failed"),
        ]

    def __str__(self) -> str:
        return self.words
