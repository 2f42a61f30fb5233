"""What reviewers decide, keep at hand and do to many anomalies at once."""

import anomalies.models.public_id
import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import functools
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0023_anomalies_of_the_past'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Bookmark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='BulkReview',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(default=functools.partial(anomalies.models.public_id.new_public_id, *('bulk',), **{}), editable=False, max_length=40, unique=True, verbose_name='bulk review')),
                ('action', models.CharField(max_length=20)),
                ('arguments', models.JSONField(blank=True, default=dict, help_text='Of the action: verdict, assignee, until')),
                ('note', models.TextField(blank=True, default='')),
                ('query', models.TextField(blank=True, default='', help_text='The filters by which the set was made; empty: picked')),
                ('anomaly_ids', django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), help_text='The exact set', size=None)),
                ('refused', models.JSONField(blank=True, default=dict, help_text='By anomaly: why it was left as it was')),
                ('created_at', models.DateTimeField()),
                ('done_at', models.DateTimeField(blank=True, help_text='Empty: shown, and not confirmed yet', null=True)),
                ('undone_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('seen_at', models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name='SavedView',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(default=functools.partial(anomalies.models.public_id.new_public_id, *('view',), **{}), editable=False, max_length=40, unique=True, verbose_name='view')),
                ('name', models.CharField(max_length=60)),
                ('query', models.TextField(blank=True, default='')),
                ('shared', models.BooleanField(default=False, help_text='Everybody who may see anomalies sees it')),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.AddField(
            model_name='anomaly',
            name='reason',
            field=models.TextField(blank=True, db_default='', default='', help_text='Why it was resolved so'),
        ),
        migrations.AddField(
            model_name='anomaly',
            name='resolved_by',
            field=models.CharField(blank=True, db_default='', default='', max_length=200),
        ),
        migrations.AddField(
            model_name='anomaly',
            name='snoozed_until',
            field=models.DateTimeField(blank=True, help_text='Nobody is asked until then; emptied when it comes back', null=True),
        ),
        migrations.AddField(
            model_name='anomaly',
            name='title',
            field=models.CharField(blank=True, db_default='', default='', help_text='What a reviewer calls it; empty: described', max_length=200),
        ),
        migrations.AddField(
            model_name='reviewentry',
            name='changes',
            field=models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict, help_text='By field: before and after'),
        ),
        migrations.AlterField(
            model_name='reviewentry',
            name='action',
            field=models.CharField(choices=[('detected', 'Detected'), ('extended', 'Extended'), ('escalated', 'Escalated'), ('closed', 'Closed'), ('acknowledged', 'Acknowledged'), ('undone', 'Undone'), ('noted', 'Noted'), ('reopened', 'Reopened'), ('merged', 'Merged'), ('parted', 'Parted'), ('withdrawn', 'Withdrawn'), ('suppressed', 'Suppressed'), ('resolved', 'Resolved'), ('snoozed', 'Snoozed'), ('woken', 'Woken'), ('assigned', 'Assigned'), ('renamed', 'Renamed')], max_length=20),
        ),
        migrations.AddIndex(
            model_name='anomaly',
            index=models.Index(condition=models.Q(('snoozed_until__isnull', False)), fields=['snoozed_until'], name='anomaly_snoozed_until'),
        ),
        migrations.AddConstraint(
            model_name='anomaly',
            constraint=models.CheckConstraint(condition=models.Q(('status', 'open'), ('snoozed_until__isnull', True), _connector='OR'), name='anomaly_snoozed_when_open'),
        ),
        migrations.AddField(
            model_name='bookmark',
            name='anomaly',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='bookmarks', to='anomalies.anomaly'),
        ),
        migrations.AddField(
            model_name='bookmark',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='bookmarks', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='bulkreview',
            name='created_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='bulk_reviews', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='reviewentry',
            name='bulk',
            field=models.ForeignKey(blank=True, help_text='That it was part of', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='anomalies.bulkreview'),
        ),
        migrations.AddField(
            model_name='notice',
            name='entry',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notices', to='anomalies.reviewentry'),
        ),
        migrations.AddField(
            model_name='notice',
            name='user',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notices', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='savedview',
            name='owner',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='saved_views', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='bookmark',
            constraint=models.UniqueConstraint(fields=('user', 'anomaly'), name='bookmark_unique'),
        ),
        migrations.AddIndex(
            model_name='notice',
            index=models.Index(condition=models.Q(('seen_at', None)), fields=['user', 'id'], name='notice_unseen'),
        ),
        migrations.AddConstraint(
            model_name='notice',
            constraint=models.UniqueConstraint(fields=('user', 'entry'), name='notice_unique'),
        ),
        migrations.AddConstraint(
            model_name='savedview',
            constraint=models.UniqueConstraint(fields=('owner', 'name'), name='savedview_name_unique'),
        ),
    ]
