"""From where principals log in: what detection reads of logins that were."""

from django.db import models

from anomalies.models.access import Principal


class Sighting(models.Model):
    """Logins of a principal on one UTC day that came from one address, place and device, and ended alike.

    Added to as batches are counted: sums, earliest and latest times, so that the order of events makes no difference.
    """

    principal = models.ForeignKey(
        Principal, models.CASCADE, to_field="public_id", db_constraint=False, db_index=False, related_name="+"
    )
    day = models.DateField()
    action = models.CharField(max_length=200)
    succeeded = models.BooleanField()
    ip = models.GenericIPAddressField("address", null=True)
    country = models.CharField(max_length=2)
    latitude = models.FloatField(null=True, help_text="To a tenth of a degree, 11 km")
    longitude = models.FloatField(null=True)
    device = models.CharField(max_length=200, help_text="The user agent without its versions")
    logins = models.PositiveIntegerField()
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "principal", "day", "action", "succeeded", "ip", "country", "latitude", "longitude", "device",
                ],
                nulls_distinct=False,
                name="sighting_unique",
            ),
            models.CheckConstraint(condition=models.Q(logins__gt=0), name="sighting_has_logins"),
        ]  # fmt: skip
        indexes = [
            models.Index(
                fields=["principal", "country", "first_seen"],
                condition=models.Q(succeeded=True),
                name="sighting_country",
            ),
            models.Index(
                fields=["day", "country", "principal"],
                condition=models.Q(succeeded=True),
                name="sighting_of_day",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.principal_id} from {self.ip} on {self.day}"
