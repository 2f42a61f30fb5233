"""What a source sent in all, which was added up from its batches before."""

from django.db import migrations, models

_ADD_UP = """
UPDATE anomalies_source s
SET accepted_events = b.accepted, duplicate_events = b.duplicate, rejected_records = b.rejected
FROM (
    SELECT source_id, sum(accepted) AS accepted, sum(duplicate) AS duplicate, sum(rejected) AS rejected
    FROM anomalies_batch GROUP BY source_id
) b
WHERE b.source_id = s.id
"""


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0035_kinds_of_channels'),
    ]

    operations = [
        migrations.AddField(
            model_name='source',
            name='accepted_events',
            field=models.PositiveBigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='source',
            name='duplicate_events',
            field=models.PositiveBigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='source',
            name='rejected_records',
            field=models.PositiveBigIntegerField(db_default=0, default=0),
        ),
        migrations.RunSQL(_ADD_UP, migrations.RunSQL.noop),
    ]
