"""Of which detector's finding a metric is, and how severe that is: an anomaly is as severe as its parts are."""

from django.db import migrations, models

# Of what was told by another anomaly without having been one, the severity is known once it is judged again.
KNOWN = """
UPDATE anomalies_metric m SET
    type = CASE
        WHEN m.what = 'failures' THEN 'high_failure_rate'
        WHEN m.what = 'requests' AND a.type <> 'rate_drop' THEN 'rate_spike'
        ELSE a.type END,
    severity = CASE
        WHEN (m.kind, m.entity) = (a.kind, a.entity) THEN a.severity
        ELSE coalesce((
            SELECT max(p.severity) FROM anomalies_anomaly p
            WHERE p.merged_into_id = a.id AND p.kind = m.kind AND p.entity = m.entity), 1) END
FROM anomalies_anomaly a WHERE a.id = m.anomaly_id
"""


class Migration(migrations.Migration):
    dependencies = [
        ("anomalies", "0020_addresses_of_anomalies"),
    ]

    operations = [
        migrations.AddField(
            model_name="metric",
            name="type",
            field=models.CharField(
                default="", help_text="Of the finding that it belongs to: not always the anomaly's", max_length=50
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="metric",
            name="severity",
            field=models.PositiveSmallIntegerField(
                choices=[(1, "low"), (2, "medium"), (3, "high")],
                default=1,
                help_text="Of the finding that it belongs to",
            ),
            preserve_default=False,
        ),
        migrations.RunSQL(KNOWN, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name="metric",
            constraint=models.CheckConstraint(
                condition=models.Q(("severity__in", [1, 2, 3])), name="metric_severity_known"
            ),
        ),
    ]
