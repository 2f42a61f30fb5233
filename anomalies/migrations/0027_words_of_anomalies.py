"""Find anomalies by their words, and list them by any filter without reading all of them.

Words are a column that PostgreSQL fills by itself: adding it writes the table anew.
"""

import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
import django.db.models.functions.comparison
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models

# See models/words.py. Both lists of signs are as long as the blanks that replace them.
_FUNCTION = r"""
CREATE FUNCTION anomaly_words(said text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT array_to_tsvector(array_remove(string_to_array(lower(
    translate(said, E'\n\t\r', '   ')
    || ' ' || translate(said, E'!"#$%&''()*+,/:;<=>?@[\\]^`{|}~\n\t\r', repeat(' ', 32))
    || ' ' || translate(said, E'!"#$%&''()*+,/:;<=>?@[\\]^`{|}~\n\t\r_.-', repeat(' ', 35))
), ' '), ''))
$$
"""

# A word that the statistics do not know is taken for half as frequent as the rarest that they know: with few of them
# that is often enough to walk a million rows for a word that none has.
_STATISTICS = """
ALTER TABLE anomalies_anomaly ALTER COLUMN words SET STATISTICS 300;
-- Which values come together: a database has no mailboxes.
CREATE STATISTICS anomaly_kinds (mcv) ON type, integration, resource_type FROM anomalies_anomaly;
ALTER STATISTICS anomaly_kinds SET STATISTICS 300
"""


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0026_who_and_where'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL(_FUNCTION, "DROP FUNCTION anomaly_words(text)"),
        migrations.AddField(
            model_name='anomaly',
            name='words',
            field=models.GeneratedField(db_persist=True, expression=models.Func(django.db.models.functions.text.Left('description', 500), 'title', 'public_id', django.db.models.functions.comparison.Coalesce('agent_id', models.Value('')), django.db.models.functions.comparison.Coalesce('principal_id', models.Value('')), 'entity', django.db.models.functions.text.Left('resource', 500), 'integration', 'type', arg_joiner=" || ' ' || ", function='anomaly_words'), output_field=django.contrib.postgres.search.SearchVectorField()),
        ),
        migrations.AlterField(
            model_name='anomaly',
            name='agent',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='anomalies', to='anomalies.agent', to_field='public_id'),
        ),
        migrations.AlterField(
            model_name='anomaly',
            name='principal',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='anomalies', to='anomalies.principal', to_field='public_id'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(fields=['principal', '-detected_at', '-id'], name='anomaly_principal_newest'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(fields=['resource_type', '-detected_at', '-id'], name='anomaly_resource_type_newest'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(condition=models.Q(('merged_into__isnull', True), ('snoozed_until__isnull', True), ('status', 'open'), ('suppression__isnull', True), models.Q(('state', 'withdrawn'), _negated=True)), fields=['-severity', '-detected_at', '-id'], name='anomaly_to_review'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=django.contrib.postgres.indexes.GinIndex(fields=['words'], name='anomaly_words'),
        ),
        migrations.RunSQL(
            _STATISTICS, "DROP STATISTICS anomaly_kinds; ALTER TABLE anomalies_anomaly ALTER COLUMN words SET STATISTICS -1"
        ),
    ]
