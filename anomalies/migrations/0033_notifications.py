"""Channels, what each is told and each attempt to tell it; every role may look, admins change."""

import anomalies.models.public_id
import django.core.serializers.json
import django.db.models.deletion
import django.db.models.functions.datetime
import functools
from django.apps import apps as installed_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models


def grant(apps, schema_editor):
    create_permissions(installed_apps.get_app_config("anomalies"), verbosity=0, using=schema_editor.connection.alias)
    Group = apps.get_model("auth", "Group")
    names = ("channel", "delivery", "deliveryattempt")
    ours = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="anomalies")
    view = ours.filter(codename__in=[f"view_{name}" for name in names])
    every = ours.filter(content_type__model__in=names)
    for name, granted in {"viewer": view, "reviewer": view, "admin": every}.items():
        for group in Group.objects.filter(name=name):  # none where an admin deleted it
            group.permissions.add(*granted)


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0032_audit_log'),
    ]

    operations = [
        migrations.AddField(
            model_name='retention',
            name='deliveries_before',
            field=models.DateTimeField(blank=True, help_text='Deliveries that came to an end before are gone', null=True),
        ),
        migrations.AddField(
            model_name='retention',
            name='deliveries_dropped',
            field=models.PositiveBigIntegerField(db_default=0, default=0),
        ),
        migrations.CreateModel(
            name='Channel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(default=functools.partial(anomalies.models.public_id.new_public_id, *('chan',), **{}), editable=False, max_length=40, unique=True, verbose_name='channel')),
                ('kind', models.CharField(help_text='As notifications/registry.py calls it', max_length=30)),
                ('name', models.CharField(max_length=100)),
                ('enabled', models.BooleanField(default=True)),
                ('method', models.CharField(default='POST', max_length=6)),
                ('url', models.CharField(blank=True, default='', max_length=2000, verbose_name='URL')),
                ('headers_encrypted', models.TextField(blank=True, default='', editable=False)),
                ('auth', models.CharField(default='none', max_length=10)),
                ('token_url', models.CharField(blank=True, default='', max_length=2000, verbose_name='token URL')),
                ('client_id', models.CharField(blank=True, default='', max_length=500)),
                ('scope', models.CharField(blank=True, default='', max_length=500)),
                ('secret_encrypted', models.TextField(blank=True, default='', editable=False)),
                ('signing_secret_encrypted', models.TextField(blank=True, default='', editable=False)),
                ('template', models.TextField(blank=True, default='', help_text='JSON with placeholders')),
                ('timeout_seconds', models.PositiveSmallIntegerField(default=10)),
                ('validators', models.TextField(blank=True, default='', help_text='One a line: $.status = ok, accepted')),
                ('least_severity', models.PositiveSmallIntegerField(choices=[(1, 'low'), (2, 'medium'), (3, 'high')], default=1)),
                ('filter', models.CharField(blank=True, default='', help_text='As the address of the list says it', max_length=2000)),
                ('message_types', models.JSONField(blank=True, default=list, help_text='Empty: all')),
                ('cursor_transaction', models.BigIntegerField(help_text='Messages up to this one have been looked at')),
                ('cursor_number', models.BigIntegerField()),
                ('failures', models.PositiveIntegerField(default=0, help_text='Attempts in a row to which nobody answered')),
                ('held_until', models.DateTimeField(blank=True, help_text='Not called before, after such failures', null=True)),
                ('tested_at', models.DateTimeField(blank=True, null=True)),
                ('test_outcome', models.JSONField(blank=True, default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('created_by', models.CharField(max_length=200)),
                ('updated_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('updated_by', models.CharField(max_length=200)),
                ('deleted_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(condition=models.Q(('deleted_at__isnull', True)), fields=('name',), name='channel_name_unique'), models.CheckConstraint(condition=models.Q(('least_severity__in', [1, 2, 3])), name='channel_severity_known'), models.CheckConstraint(condition=models.Q(('timeout_seconds__gte', 1), ('timeout_seconds__lte', 60)), name='channel_timeout_bounded'), models.CheckConstraint(condition=models.Q(('deleted_at__isnull', True), ('enabled', False), _connector='OR'), name='channel_deleted_is_off')],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(default=functools.partial(anomalies.models.public_id.new_public_id, *('msg',), **{}), editable=False, max_length=40, unique=True, verbose_name='delivery')),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('delivered', 'Delivered'), ('failed', 'failed, tried again'), ('dead', 'dead, given up')], default='pending', max_length=10)),
                ('attempts', models.PositiveIntegerField(default=0, help_text='Begun so far')),
                ('next_attempt_at', models.DateTimeField(help_text='While one is under way, when the next begins if that one gets lost with its worker')),
                ('give_up_at', models.DateTimeField()),
                ('outcome', models.CharField(blank=True, default='', help_text='Of the last attempt', max_length=500)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('anomaly', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='anomalies.anomaly')),
                ('channel', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='anomalies.channel')),
                ('message', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='anomalies.outboxmessage')),
            ],
            options={
                'verbose_name_plural': 'deliveries',
            },
        ),
        migrations.CreateModel(
            name='DeliveryAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('ok', models.BooleanField()),
                ('words', models.CharField(max_length=500)),
                ('outcome', models.JSONField(encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('delivery', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tries', to='anomalies.delivery')),
            ],
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('status__in', ['pending', 'failed'])), fields=['channel', 'next_attempt_at', 'id'], name='delivery_due'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('status__in', ['pending', 'failed'])), fields=['channel', 'anomaly', 'id'], name='delivery_order'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['anomaly', 'id'], name='delivery_of_anomaly'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['channel', '-id'], name='delivery_of_channel'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(fields=['status', '-id'], name='delivery_status'),
        ),
        migrations.AddIndex(
            model_name='delivery',
            index=models.Index(condition=models.Q(('finished_at__isnull', False)), fields=['finished_at'], name='delivery_finished_at'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.UniqueConstraint(fields=('channel', 'message'), name='delivery_once_per_channel'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(('status__in', ['pending', 'delivered', 'failed', 'dead'])), name='delivery_status_known'),
        ),
        migrations.AddConstraint(
            model_name='delivery',
            constraint=models.CheckConstraint(condition=models.Q(('finished_at__isnull', True), ('status__in', ['delivered', 'dead']), _connector='XOR'), name='delivery_finished'),
        ),
        migrations.AddIndex(
            model_name='deliveryattempt',
            index=models.Index(fields=['delivery', 'id'], name='deliveryattempt_delivery'),
        ),
        migrations.AddIndex(
            model_name='deliveryattempt',
            index=models.Index(condition=models.Q(('ok', False)), fields=['at'], name='deliveryattempt_failed'),
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
