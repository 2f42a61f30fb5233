"""Find the last message of an anomaly at once: each new one is put behind it."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0042_search_documents'),
    ]

    operations = [
        migrations.AlterField(
            model_name='outboxmessage',
            name='anomaly',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='outbox_messages', to='anomalies.anomaly'),
        ),
        migrations.AddIndex(
            model_name='outboxmessage',
            index=models.Index(fields=['anomaly', 'transaction'], name='outboxmessage_of_anomaly'),
        ),
    ]
