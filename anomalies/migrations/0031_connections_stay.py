"""A connection stays for what was asked through it: it is switched off, not deleted."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("anomalies", "0030_who_may_change_views"),
    ]

    operations = [
        migrations.AlterField(
            model_name="revocationcall",
            name="connection",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="anomalies.connection"
            ),
        ),
    ]
