"""What else an address did is looked up beside each anomaly that has one."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("anomalies", "0019_more_of_retention"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="anomaly",
            index=models.Index(
                condition=models.Q(("ip__isnull", False)), fields=["ip", "started_at"], name="anomaly_address"
            ),
        ),
    ]
