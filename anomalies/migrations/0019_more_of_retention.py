"""What retention drops beside events and minutes, and which days it keeps back."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("anomalies", "0018_search_grants_by_scope")]

    operations = [
        migrations.AddField(
            "retention",
            "five_minutes_before",
            models.DateTimeField(
                blank=True, help_text="Older counts by 5 minutes are gone; empty: all are kept", null=True
            ),
        ),
        migrations.AddField(
            "retention", "five_minute_blocks_dropped", models.PositiveBigIntegerField(db_default=0, default=0)
        ),
        migrations.AddField(
            "retention",
            "sightings_before",
            models.DateTimeField(
                blank=True,
                help_text="Older sightings are gone, but for the first of each user and country",
                null=True,
            ),
        ),
        migrations.AddField("retention", "sightings_dropped", models.PositiveBigIntegerField(db_default=0, default=0)),
        migrations.AddField(
            "retention",
            "scans_before",
            models.DateTimeField(
                blank=True, help_text="Older scans are gone, but for those that anomalies name", null=True
            ),
        ),
        migrations.AddField("retention", "scans_dropped", models.PositiveBigIntegerField(db_default=0, default=0)),
        migrations.AddField(
            "retention",
            "kept_back",
            models.JSONField(
                blank=True, default=list, help_text="Days whose events were to be dropped, and why they were not"
            ),
        ),
    ]
