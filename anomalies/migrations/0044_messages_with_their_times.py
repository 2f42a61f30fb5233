"""Find where the messages since some time begin from an index alone: they are large, and all before were read."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0043_turns_of_messages'),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name='outboxmessage',
            name='outboxmessage_order',
        ),
        migrations.AddIndex(
            model_name='outboxmessage',
            index=models.Index(fields=['transaction', 'id'], include=('created_at',), name='outboxmessage_order'),
        ),
    ]
