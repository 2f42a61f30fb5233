"""By what the columns of the list are sorted."""

import django.contrib.postgres.indexes
import django.db.models.functions.comparison
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0027_words_of_anomalies'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='anomaly',
            name='anomaly_type_newest',
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(models.F('type'), models.F('detected_at'), models.F('id'), name='anomaly_by_type'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(django.db.models.functions.comparison.Coalesce(django.db.models.functions.comparison.NullIf('title', models.Value('')), django.db.models.functions.text.Left('description', 200)), models.F('detected_at'), models.F('id'), name='anomaly_by_what'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(models.Case(models.When(kind='principal', then=django.db.models.functions.comparison.Coalesce('principal_id', 'agent_id', 'entity')), default=django.db.models.functions.comparison.Coalesce('agent_id', 'principal_id', 'entity')), models.F('detected_at'), models.F('id'), name='anomaly_by_who'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(django.db.models.functions.text.Left('resource', 200), models.F('detected_at'), models.F('id'), name='anomaly_by_resource'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(models.F('integration'), models.F('detected_at'), models.F('id'), name='anomaly_by_integration'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(models.F('countries'), models.F('detected_at'), models.F('id'), name='anomaly_by_where'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(models.Case(models.When(models.Q(('status', 'open'), ('state', 'withdrawn')), then=models.Value(5)), models.When(models.Q(('status', 'open'), ('suppression__isnull', False)), then=models.Value(4)), models.When(models.Q(('status', 'open'), ('snoozed_until__isnull', False)), then=models.Value(1)), models.When(models.Q(('status', 'acknowledged')), then=models.Value(2)), models.When(models.Q(('status', 'resolved')), then=models.Value(3)), default=models.Value(0), output_field=models.SmallIntegerField()), models.F('detected_at'), models.F('id'), name='anomaly_by_status'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=django.contrib.postgres.indexes.GinIndex(condition=models.Q(('countries', []), _negated=True), fields=['countries'], name='anomaly_countries'),
        ),
    ]
