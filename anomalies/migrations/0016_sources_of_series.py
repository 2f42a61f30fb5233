"""Which sources a series' events came by, and for how long they were waited for when it was judged."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("anomalies", "0015_grants_of_access_requests"),
    ]

    operations = [
        migrations.AddField(
            model_name="series",
            name="source_ids",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(),
                db_default=models.Value([]),
                default=list,
                help_text="Sources by which its events came",
                size=None,
            ),
        ),
        migrations.AlterField(
            model_name="series",
            name="lag_seconds",
            field=models.FloatField(
                db_default=0, default=0, help_text="For so long its events were waited for when detection last looked"
            ),
        ),
    ]
