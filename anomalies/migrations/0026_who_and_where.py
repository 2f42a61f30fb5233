"""Who, where and on which platform an anomaly was: read by pages and pollers, without its events."""

import django.contrib.postgres.fields
from django.db import migrations, models

# What those that are known already say themselves; their next description says the rest.
KNOWN = """
UPDATE anomalies_anomaly SET
    platforms = CASE WHEN integration <> '' THEN ARRAY[integration] ELSE '{}' END,
    countries = ARRAY(
        SELECT left(value, 2) FROM jsonb_array_elements_text(
            CASE WHEN jsonb_typeof(evidence->'countries') = 'array' THEN evidence->'countries' ELSE '[]' END
        ) ORDER BY 1
    ),
    principal_ids = CASE WHEN principal_id IS NOT NULL THEN ARRAY[principal_id] ELSE '{}' END,
    principal_count = CASE WHEN principal_id IS NOT NULL THEN 1 ELSE 0 END
"""


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', "0025_changes"),
    ]

    operations = [
        migrations.AddField(
            model_name='anomaly',
            name='countries',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=2), blank=True, db_default=models.Value([]), default=list, help_text='ISO 3166', size=None),
        ),
        migrations.AddField(
            model_name='anomaly',
            name='platforms',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), blank=True, db_default=models.Value([]), default=list, help_text='Integrations of its events; where they name none, the sources that sent them', size=None),
        ),
        migrations.AddField(
            model_name='anomaly',
            name='principal_count',
            field=models.PositiveIntegerField(db_default=0, default=0, help_text='How many users its events have'),
        ),
        migrations.AddField(
            model_name='anomaly',
            name='principal_ids',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=200), blank=True, db_default=models.Value([]), default=list, help_text='Users of its events, those of the most first, 100 at most', size=None),
        ),
        migrations.RunSQL(KNOWN, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(fields=['created_at', 'id'], name='anomaly_created_at'),
        ),
    ]
