from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("anomalies", "0101_grantex_core")]

    operations = [
        migrations.AddField(
            model_name="anomaly",
            name="active_until",
            field=models.DateTimeField(
                help_text="End of its last anomalous bucket so far", default="2000-01-01T00:00Z"
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="scan",
            name="series_late",
            field=models.PositiveIntegerField(
                default=0, help_text="With events older than the horizon: counted, not judged again"
            ),
        ),
    ]
