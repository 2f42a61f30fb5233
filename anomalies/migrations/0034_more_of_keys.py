"""Keys that are rotated, administer, and may make so many calls a minute."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("anomalies", "0033_notifications")]

    operations = [
        migrations.AlterField(
            model_name="apikey",
            name="name",
            field=models.CharField(max_length=100),
        ),
        migrations.AlterField(
            model_name="apikey",
            name="scopes",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[("ingest", "Ingest"), ("read", "Read"), ("review", "Review"), ("admin", "Admin")],
                    max_length=20,
                ),
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="requests_per_minute",
            field=models.PositiveIntegerField(
                blank=True, help_text="Calls a minute. Empty: as many as the settings say; 0: without limit", null=True
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="replaced_at",
            field=models.DateTimeField(
                blank=True,
                editable=False,
                help_text="Since when another has its name; it may be valid for longer",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="replaces",
            field=models.OneToOneField(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="replacement",
                to="anomalies.apikey",
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.UniqueConstraint(
                condition=models.Q(("replaced_at__isnull", True)), fields=("name",), name="apikey_name_unique"
            ),
        ),
        migrations.RemoveConstraint(model_name="apikey", name="apikey_scopes_known"),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(("scopes__contained_by", ["ingest", "read", "review", "admin"])),
                name="apikey_scopes_known",
            ),
        ),
        migrations.CreateModel(
            name="ApiKeyUse",
            fields=[
                (
                    "api_key",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="anomalies.apikey",
                    ),
                ),
                ("since", models.DateTimeField()),
                ("calls", models.PositiveIntegerField()),
            ],
            options={"default_permissions": ()},
        ),
        migrations.RunSQL("ALTER TABLE anomalies_apikeyuse SET UNLOGGED", migrations.RunSQL.noop),
    ]
