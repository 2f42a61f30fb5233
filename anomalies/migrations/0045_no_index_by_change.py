"""Every decision about ten thousand wrote into this index, and one call alone read it: it asks by scan now."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0044_messages_with_their_times'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='anomaly',
            name='anomaly_updated_at',
        ),
    ]
