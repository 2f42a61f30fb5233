"""What tells anomalies of one type and entity apart; since when a rule is in force, and its name its own."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("anomalies", "0005_scan_shares"),
    ]

    operations = [
        migrations.AddField(
            model_name="anomaly",
            name="topic",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="What tells anomalies of one type and entity apart",
                max_length=200,
            ),
        ),
        migrations.AddField(
            model_name="rule",
            name="in_force_since",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(), help_text="Windows that end before are not judged"
            ),
        ),
        migrations.AlterField(
            model_name="rule",
            name="scopes",
            field=models.JSONField(
                blank=True, default=list, help_text="Permissions, actions or scopes of grants; empty: all"
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.UniqueConstraint(
                condition=models.Q(("deleted_at__isnull", True)), fields=("name",), name="rule_name_unique"
            ),
        ),
    ]
