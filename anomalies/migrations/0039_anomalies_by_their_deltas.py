"""How far anomalies are outside their bands, and the orders in which they are read as deviations."""

import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.comparison
from django.db import migrations, models


# As services/metrics and services/breaches keep them from now on.
MAIN = """
UPDATE anomalies_interval SET main = false WHERE id IN (
    SELECT id FROM (
        SELECT i.id, i.resolution_seconds = own AS of_own, bool_or(i.resolution_seconds = own) OVER metric AS any_of_own,
               i.resolution_seconds = min(i.resolution_seconds) OVER metric AS finest
        FROM anomalies_interval i
        JOIN anomalies_metric m ON m.id = i.metric_id,
             LATERAL (SELECT (m.evidence ->> 'resolution_seconds')::float8 AS own) AS told
        WINDOW metric AS (PARTITION BY i.metric_id)
    ) AS placed
    WHERE NOT CASE WHEN any_of_own THEN of_own ELSE finest END
)
"""
BREACHES = """
INSERT INTO anomalies_breach (anomaly_id, above, above_percent, below, below_percent)
SELECT m.anomaly_id, max(i.delta) FILTER (WHERE i.up), max(i.delta_percent) FILTER (WHERE i.up),
       max(i.delta) FILTER (WHERE NOT i.up), max(i.delta_percent) FILTER (WHERE NOT i.up)
FROM anomalies_metric m JOIN anomalies_interval i ON i.metric_id = m.id AND i.main
GROUP BY m.anomaly_id
"""


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0038_grants_issued_here'),
    ]

    operations = [
        migrations.CreateModel(
            name='Breach',
            fields=[
                ('anomaly', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, serialize=False, to='anomalies.anomaly')),
                ('above', models.FloatField(null=True)),
                ('above_percent', models.FloatField(null=True)),
                ('below', models.FloatField(null=True)),
                ('below_percent', models.FloatField(null=True)),
                ('delta', models.GeneratedField(db_persist=True, expression=django.db.models.functions.comparison.Greatest('above', 'below'), output_field=models.FloatField())),
                ('delta_percent', models.GeneratedField(db_persist=True, expression=django.db.models.functions.comparison.Greatest('above_percent', 'below_percent'), output_field=models.FloatField())),
            ],
            options={
                'verbose_name_plural': 'breaches',
            },
        ),
        migrations.AddField(
            model_name='interval',
            name='delta',
            field=models.GeneratedField(db_persist=True, expression=models.Case(models.When(then=django.db.models.functions.comparison.Greatest(django.db.models.expressions.CombinedExpression(models.F('peak'), '-', models.F('upper')), models.Value(0.0)), up=True), default=django.db.models.functions.comparison.Greatest(django.db.models.expressions.CombinedExpression(models.F('lower'), '-', models.F('peak')), models.Value(0.0)), output_field=models.FloatField()), help_text='From its peak to its band', output_field=models.FloatField()),
        ),
        migrations.AddField(
            model_name='interval',
            name='delta_percent',
            field=models.GeneratedField(db_persist=True, expression=models.Case(models.When(peak__lte=models.F('upper'), then=models.Value(0.0), up=True), models.When(then=models.Value('Infinity'), up=True, upper=0), models.When(then=django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('peak'), '-', models.F('upper')), '/', models.F('upper')), '*', models.Value(100.0)), up=True), models.When(peak__gte=models.F('lower'), then=models.Value(0.0)), models.When(lower=0, then=models.Value('Infinity')), default=django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('lower'), '-', models.F('peak')), '/', models.F('lower')), '*', models.Value(100.0)), output_field=models.FloatField()), help_text='Of the edge of the band; infinite where that is 0', output_field=models.FloatField()),
        ),
        migrations.AddField(
            model_name='interval',
            name='main',
            field=models.BooleanField(db_default=True, default=True, help_text='At the resolution at which its metric deviates most'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(condition=models.Q(('merged_into__isnull', True), models.Q(('state', 'withdrawn'), _negated=True)), fields=['started_at', 'id'], include=('state', 'ended_at', 'resolution_seconds', 'score'), name='anomaly_started_at'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(condition=models.Q(('merged_into__isnull', True), models.Q(('state', 'withdrawn'), _negated=True)), fields=['ended_at', 'id'], name='anomaly_ended_at'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(condition=models.Q(('merged_into__isnull', True), models.Q(('state', 'withdrawn'), _negated=True)), fields=['score', 'id'], name='anomaly_score'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(models.ExpressionWrapper(django.db.models.expressions.CombinedExpression(models.F('ended_at'), '-', models.F('started_at')), models.DurationField()), models.F('id'), condition=models.Q(('merged_into__isnull', True), models.Q(('state', 'withdrawn'), _negated=True), ('state', 'closed')), name='anomaly_duration'),
        ),
        migrations.AddIndex(
            model_name='breach',
            index=models.Index(fields=['delta', 'anomaly'], name='breach_delta'),
        ),
        migrations.AddIndex(
            model_name='breach',
            index=models.Index(fields=['delta_percent', 'anomaly'], name='breach_delta_percent'),
        ),
        migrations.RunSQL(MAIN, migrations.RunSQL.noop),
        migrations.RunSQL(BREACHES, migrations.RunSQL.noop),
    ]
