"""Whether an anomaly had ended long before it could be seen, and how many of those a scan raised."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("anomalies", "0022_other_actions"),
    ]

    operations = [
        migrations.AddField(
            model_name="anomaly",
            name="of_the_past",
            field=models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                help_text="It had ended long before it could be seen: nobody was told",
            ),
        ),
        migrations.AddField(
            model_name="scan",
            name="anomalies_of_the_past",
            field=models.PositiveIntegerField(
                db_default=0,
                default=0,
                help_text="Of those raised: had ended long before they could be seen, nobody was told",
            ),
        ),
    ]
