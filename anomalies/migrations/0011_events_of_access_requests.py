"""The events of an access request by its id; durations of any length."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("anomalies", "0010_who_may_do_what"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("request_id", ""), _negated=True), fields=["request_id"], name="event_request"
            ),
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="known_at",
            field=models.DateTimeField(
                default=django.utils.timezone.now, help_text="Time of the first event that tells of it"
            ),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name="accessrequest",
            name="duration_seconds",
            field=models.PositiveBigIntegerField(blank=True, null=True),
        ),
    ]
