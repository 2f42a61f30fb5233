"""How access is taken back: the webhooks of integrations, what they are asked, and what they answer."""

import anomalies.models.public_id
import django.core.serializers.json
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions.datetime
import functools
from django.apps import apps as installed_apps
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations, models


CLOSED = ["view_connection"]  # to all but admins: it says how to call another system
VIEWED = ["view_revocation", "view_revocationcall", "view_revocationattempt"]


def grant(apps, schema_editor):
    create_permissions(installed_apps.get_app_config("anomalies"), verbosity=0, using=schema_editor.connection.alias)
    Group = apps.get_model("auth", "Group")
    ours = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="anomalies")
    viewed = ours.filter(codename__in=VIEWED)
    for name, granted in {"viewer": viewed, "reviewer": viewed, "admin": ours}.items():
        for group in Group.objects.filter(name=name):  # none where an admin deleted it
            group.permissions.add(*granted)
    # Where all is made at once, an earlier migration gave them all that there is to see.
    for group in Group.objects.filter(name__in=["viewer", "reviewer"]):
        group.permissions.remove(*ours.filter(codename__in=CLOSED))


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0028_sort_columns_of_the_list'),
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Connection',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('integration', models.CharField(blank=True, help_text="As events and requests spell it. Empty: access that names no integration, such as agents' grants", max_length=200, unique=True)),
                ('url', models.CharField(help_text='Begins with https://', max_length=2000, verbose_name='URL')),
                ('method', models.CharField(choices=[('POST', 'Post'), ('PUT', 'Put'), ('PATCH', 'Patch'), ('DELETE', 'Delete')], default='POST', max_length=6)),
                ('headers', models.JSONField(blank=True, default=dict, help_text='By name; a secret has a field of its own')),
                ('secret_encrypted', models.TextField(blank=True, default='', editable=False)),
                ('timeout_seconds', models.PositiveSmallIntegerField(default=10)),
                ('enabled', models.BooleanField(default=True)),
                ('tested_at', models.DateTimeField(blank=True, null=True)),
                ('test_exchange', models.JSONField(blank=True, default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('updated_by', models.CharField(blank=True, default='', max_length=200)),
            ],
            options={
                'verbose_name': 'integration connection',
                'constraints': [models.CheckConstraint(condition=models.Q(('method__in', ['POST', 'PUT', 'PATCH', 'DELETE'])), name='connection_method_known'), models.CheckConstraint(condition=models.Q(('timeout_seconds__gte', 1), ('timeout_seconds__lte', 60)), name='connection_timeout_bounded')],
            },
        ),
        migrations.CreateModel(
            name='Revocation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(default=functools.partial(anomalies.models.public_id.new_public_id, *('rvoc',), **{}), editable=False, max_length=40, unique=True, verbose_name='revocation')),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('done', 'Done'), ('refused', 'Refused'), ('superseded', 'Superseded')], default='pending', max_length=10)),
                ('begun_at', models.DateTimeField()),
                ('begun_by', models.CharField(max_length=200)),
                ('concluded_at', models.DateTimeField(blank=True, null=True)),
                ('error', models.TextField(blank=True, default='', help_text='Why the access stands again')),
                ('anomaly', models.ForeignKey(blank=True, help_text='From which it was revoked', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='anomalies.anomaly')),
                ('grant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='revocations', to='anomalies.grant')),
                ('user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.CreateModel(
            name='RevocationCall',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(default=functools.partial(anomalies.models.public_id.new_public_id, *('rvcl',), **{}), editable=False, max_length=40, unique=True, verbose_name='call')),
                ('integration', models.CharField(blank=True, max_length=200)),
                ('body', models.JSONField()),
                ('state', models.CharField(choices=[('pending', 'Pending'), ('answered', 'Answered'), ('refused', 'Refused'), ('dropped', 'Dropped')], default='pending', max_length=10)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('due_at', models.DateTimeField(help_text='Of the next attempt; while one is under way, of the one if it gets lost')),
                ('error', models.TextField(blank=True, default='')),
                ('connection', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='anomalies.connection')),
                ('revocation', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='calls', to='anomalies.revocation')),
            ],
        ),
        migrations.CreateModel(
            name='RevocationAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('outcome', models.CharField(max_length=500)),
                ('exchange', models.JSONField()),
                ('call', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tries', to='anomalies.revocationcall')),
            ],
        ),
        migrations.AddConstraint(
            model_name='revocation',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'pending')), fields=('grant',), name='revocation_pending_unique'),
        ),
        migrations.AddConstraint(
            model_name='revocation',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['pending', 'done', 'refused', 'superseded'])), name='revocation_state_known'),
        ),
        migrations.AddConstraint(
            model_name='revocation',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('concluded_at__isnull', True), ('state', 'pending')), models.Q(models.Q(('state', 'pending'), _negated=True), ('concluded_at__isnull', False)), _connector='OR'), name='revocation_concluded_has_time'),
        ),
        migrations.AddIndex(
            model_name='revocationcall',
            index=models.Index(condition=models.Q(('state', 'pending')), fields=['due_at'], name='revocationcall_due'),
        ),
        migrations.AddConstraint(
            model_name='revocationcall',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['pending', 'answered', 'refused', 'dropped'])), name='revocationcall_state_known'),
        ),
        migrations.AddIndex(
            model_name='revocationattempt',
            index=models.Index(fields=['call', 'id'], name='revocationattempt_call'),
        ),
        migrations.AddField(
            model_name='accessrequest',
            name='custom_fields',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.AddIndex(
            model_name='accessrequest',
            index=models.Index(fields=['status', '-requested_at', '-id'], name='accessrequest_status_newest'),
        ),
        migrations.AddIndex(
            model_name='accessrequest',
            index=models.Index(fields=['flow', '-requested_at', '-id'], name='accessrequest_flow_newest'),
        ),
        migrations.AddIndex(
            model_name='accessrequest',
            index=django.contrib.postgres.indexes.GinIndex(fields=['units'], name='accessrequest_units', opclasses=['jsonb_path_ops']),
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
