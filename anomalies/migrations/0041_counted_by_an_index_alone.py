"""What is up for review is counted by whose and of which type it is from its index alone."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0040_digests_and_quiet_hours'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='anomaly',
            name='anomaly_to_review',
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(condition=models.Q(('merged_into__isnull', True), ('snoozed_until__isnull', True), ('status', 'open'), ('suppression__isnull', True), models.Q(('state', 'withdrawn'), _negated=True)), fields=['-severity', '-detected_at', '-id'], include=('agent', 'principal', 'type'), name='anomaly_to_review'),
        ),
    ]
