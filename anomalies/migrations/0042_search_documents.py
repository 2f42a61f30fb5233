"""Decide faster: the words of anomalies in a table of their own, and no index of what few anomalies have.

All is done in one transaction, and meanwhile nobody else reads or writes anomalies. What the words took in each row is
free once that is written again: VACUUM FULL anomalies_anomaly does so for all, when there is time.
"""

import anomalies.models.public_id
import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# `anomaly_words` is of migration 0027; it is inlined, and so twice as fast, where what it is given is at hand. What has
# the same words as before is left alone.
_SAID = """concat_ws(' ', left({0}.description, 500), {0}.title, {0}.public_id, {0}.agent_id, {0}.principal_id, {0}.entity,
    host({0}.ip), left({0}.resource, 500), {0}.integration, {0}.type)"""
_TRIGGER = f"""
CREATE FUNCTION anomalies_keep_words() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    said text := {_SAID.format("NEW")};
BEGIN
    INSERT INTO anomalies_searchdocument AS kept (anomaly_id, words) VALUES (NEW.id, anomaly_words(said))
    ON CONFLICT (anomaly_id) DO UPDATE SET words = EXCLUDED.words WHERE kept.words <> EXCLUDED.words;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_words
AFTER INSERT OR UPDATE OF
    description, title, public_id, agent_id, principal_id, entity, ip, resource, integration, type
ON anomalies_anomaly FOR EACH ROW EXECUTE FUNCTION anomalies_keep_words();
INSERT INTO anomalies_searchdocument (anomaly_id, words)
SELECT id, anomaly_words(said)
FROM (SELECT a.id, {_SAID.format("a")} AS said FROM anomalies_anomaly a OFFSET 0) AS told;
-- See migration 0027.
ALTER TABLE anomalies_searchdocument ALTER COLUMN words SET STATISTICS 300
"""
_NO_TRIGGER = "DROP TRIGGER keep_words ON anomalies_anomaly; DROP FUNCTION anomalies_keep_words()"


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0041_counted_by_an_index_alone'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # At once: a lock that grows later would wait in a ring with whoever read anomalies and is about to change one.
        migrations.RunSQL("LOCK TABLE anomalies_anomaly IN ACCESS EXCLUSIVE MODE", migrations.RunSQL.noop),
        migrations.CreateModel(
            name='SearchDocument',
            fields=[
                ('anomaly', models.OneToOneField(editable=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='document', serialize=False, to='anomalies.anomaly')),
                ('words', django.contrib.postgres.search.SearchVectorField(editable=False, help_text='Of what it is called and described as, its id, type, actors, address and resource')),
            ],
        ),
        migrations.RunSQL(_TRIGGER, _NO_TRIGGER),
        migrations.RemoveIndex(
            model_name='anomaly',
            name='anomaly_words',
        ),
        migrations.RemoveField(
            model_name='anomaly',
            name='words',
        ),
        migrations.AlterField(
            model_name='anomaly',
            name='assignee',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='assigned_anomalies', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AlterField(
            model_name='anomaly',
            name='fingerprint',
            field=models.CharField(editable=False, max_length=64),
        ),
        migrations.AlterField(
            model_name='anomaly',
            name='merged_into',
            field=models.ForeignKey(blank=True, db_index=False, help_text='The same cause', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='merged', to='anomalies.anomaly'),
        ),
        migrations.AlterField(
            model_name='anomaly',
            name='public_id',
            field=models.CharField(default=anomalies.models.public_id.new_anomaly_id, editable=False, max_length=40, verbose_name='id'),
        ),
        migrations.AlterField(
            model_name='anomaly',
            name='suppression',
            field=models.ForeignKey(blank=True, db_index=False, help_text='Why nobody is asked', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='anomalies', to='anomalies.suppression'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(condition=models.Q(('merged_into__isnull', False)), fields=['merged_into'], name='anomaly_merged_into'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(condition=models.Q(('suppression__isnull', False)), fields=['suppression'], name='anomaly_suppression'),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(condition=models.Q(('assignee__isnull', False)), fields=['assignee', '-detected_at', '-id'], name='anomaly_assignee_newest'),
        ),
        migrations.AddConstraint(
            model_name='anomaly',
            constraint=models.UniqueConstraint(fields=('public_id',), name='anomaly_public_id_unique'),
        ),
        migrations.AddConstraint(
            model_name='anomaly',
            constraint=models.UniqueConstraint(fields=('fingerprint',), name='anomaly_fingerprint_unique'),
        ),
        migrations.AddIndex(
            model_name='searchdocument',
            index=django.contrib.postgres.indexes.GinIndex(fields=['words'], name='search_document_words'),
        ),
    ]
