"""Minutes, series by action, several metrics an anomaly, access requests, rules, overrides, suppressions, backtests."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

# Buckets hold finer slots from here on: everything is counted anew, by the next scan.
COUNT_ANEW = """
TRUNCATE anomalies_series CASCADE;
UPDATE anomalies_batch SET counted_at = NULL;
"""

METRICS = """
INSERT INTO anomalies_metric (anomaly_id, name, what, kind, entity, action, score, evidence)
SELECT id, 'what=' || what || '.' || kind || '=' || entity, what, kind, entity, '', score, evidence
FROM (
    SELECT *, CASE type WHEN 'high_failure_rate' THEN 'failures' WHEN 'new_principal' THEN 'new_principals'
        WHEN 'off_hours_activity' THEN 'off_hours_slots' ELSE 'requests' END AS what
    FROM anomalies_anomaly
) AS a;
UPDATE anomalies_interval i SET metric_id = m.id FROM anomalies_metric m WHERE m.anomaly_id = i.anomaly_id;
SET CONSTRAINTS ALL IMMEDIATE;
"""


class Migration(migrations.Migration):
    dependencies = [("anomalies", "0002_functions_and_groups")]

    operations = [
        migrations.DeleteModel("BucketBlock"),
        migrations.RunSQL(COUNT_ANEW, migrations.RunSQL.noop),
        migrations.CreateModel(
            name="BucketBlock",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "series",
                        "resolution_seconds",
                        "start",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("resolution_seconds", models.PositiveIntegerField()),
                ("start", models.DateTimeField()),
                (
                    "counts",
                    django.contrib.postgres.fields.ArrayField(base_field=models.PositiveIntegerField(), size=None),
                ),
                (
                    "series",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="blocks",
                        to="anomalies.series",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Metric",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(help_text="Such as what=requests.agent=ag_1.action=token.issue", max_length=500),
                ),
                ("what", models.CharField(help_text="What is counted", max_length=50)),
                ("kind", models.CharField(max_length=20)),
                ("entity", models.CharField(max_length=200)),
                ("action", models.CharField(blank=True, default="", max_length=200)),
                ("score", models.FloatField()),
                ("evidence", models.JSONField(help_text="Its most surprising bucket")),
                (
                    "anomaly",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="metrics", to="anomalies.anomaly"
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("anomaly", "name"), name="metric_unique")],
            },
        ),
        migrations.AddField(
            "interval",
            "metric",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="intervals",
                to="anomalies.metric",
            ),
        ),
        migrations.RunSQL(METRICS, migrations.RunSQL.noop),
        migrations.RemoveConstraint("interval", "interval_start_unique"),
        migrations.RemoveField("interval", "anomaly"),
        migrations.AlterField(
            "interval",
            "metric",
            models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="intervals", to="anomalies.metric"
            ),
        ),
    ]
