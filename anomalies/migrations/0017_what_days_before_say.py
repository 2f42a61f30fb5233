import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("anomalies", "0016_sources_of_series"),
    ]

    operations = [
        migrations.CreateModel(
            name="Outlook",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "series", "name", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "series",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="outlooks",
                        to="anomalies.series",
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="Of what is kept, and of the parameters that it is made by", max_length=32
                    ),
                ),
                ("day", models.DateField(db_index=True)),
                (
                    "calendar",
                    models.BigIntegerField(
                        help_text="Hash of the time zone, holidays and working hours that it is made by"
                    ),
                ),
                ("content", models.BinaryField()),
            ],
        ),
    ]
