"""What is to be told to others, written in the transaction that made it true."""

from typing import Self

from django.db import models
from django.db.models.functions import Now

from anomalies.models.anomaly import Anomaly


class CurrentTransaction(models.Func):
    """The transaction that writes the row, as a number."""

    template = "(pg_current_xact_id()::text::bigint)"
    output_field = models.BigIntegerField()


class Turn(models.Func):
    """Which transaction a message of the anomaly with this number goes with: its own, or the anomaly's last if later.

    A transaction that began before others may be the last to decide: what it says comes after what they said.
    """

    template = (
        "greatest(pg_current_xact_id()::text::bigint,"
        " (SELECT max(transaction) FROM anomalies_outboxmessage WHERE anomaly_id = %(expressions)s))"
    )
    output_field = models.BigIntegerField()


class OldestRunningTransaction(models.Func):
    template = "(pg_snapshot_xmin(pg_current_snapshot())::text::bigint)"
    output_field = models.BigIntegerField()


class OutboxQuerySet(models.QuerySet["OutboxMessage"]):
    def settled(self) -> Self:
        """Rows before which no other can still appear: those of transactions older than any still running.

        Ids alone would not do: a transaction that took a lower id may commit later.
        """
        return self.filter(transaction__lt=OldestRunningTransaction()).order_by("transaction", "id")


class OutboxMessage(models.Model):
    type = models.CharField(max_length=50)
    anomaly = models.ForeignKey(Anomaly, models.CASCADE, db_index=False, related_name="outbox_messages")
    payload = models.JSONField()
    transaction = models.BigIntegerField(db_default=CurrentTransaction())
    created_at = models.DateTimeField(db_default=Now())

    objects = OutboxQuerySet.as_manager()

    class Meta:
        indexes = [
            # With their times: where those since some time begin is found without reading the messages themselves.
            models.Index(fields=["transaction", "id"], include=["created_at"], name="outboxmessage_order"),
            # Finds the last message of an anomaly at once; by the order above, all since would be read.
            models.Index(fields=["anomaly", "transaction"], name="outboxmessage_of_anomaly"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.anomaly_id}"
