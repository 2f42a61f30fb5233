"""Grants that agents are issued here, and pass on in parts."""

import anomalies.models.public_id
import django.db.models.deletion
import functools
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0037_grants_of_anomalies'),
    ]

    operations = [
        migrations.CreateModel(
            name='Authorization',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.CharField(default=functools.partial(anomalies.models.public_id.new_public_id, *('areq',), **{}), max_length=40, unique=True, verbose_name='authorization')),
                ('scopes', models.JSONField(default=list)),
                ('life_seconds', models.PositiveIntegerField(help_text='Of the grant, from when it is fetched')),
                ('code_challenge', models.CharField(blank=True, default='', help_text='SHA-256, as PKCE has it', max_length=128)),
                ('created_at', models.DateTimeField()),
                ('created_by', models.CharField(max_length=200)),
                ('expires_at', models.DateTimeField(help_text='Until when its code is good')),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.AddField(
            model_name='grant',
            name='delegation_depth',
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='grant',
            name='issued_by',
            field=models.CharField(blank=True, db_default='', default='', help_text='Empty: elsewhere, as far as events tell', max_length=200),
        ),
        migrations.AddField(
            model_name='grant',
            name='parent',
            field=models.ForeignKey(blank=True, help_text='Of which it is a part that its agent gave to this one; it ends with it', null=True, on_delete=django.db.models.deletion.PROTECT, related_name='delegated', to='anomalies.grant'),
        ),
        migrations.AddIndex(
            model_name='grant',
            index=models.Index(condition=models.Q(('expires_at__isnull', False), ('request__isnull', True), ('status', 'active')), fields=['expires_at'], name='grant_expires_at'),
        ),
        migrations.AddConstraint(
            model_name='grant',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('delegation_depth', 0), ('parent__isnull', True)), models.Q(('delegation_depth__gt', 0), ('parent__isnull', False)), _connector='OR'), name='grant_delegated_has_depth'),
        ),
        migrations.AddField(
            model_name='authorization',
            name='agent',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='anomalies.agent', to_field='public_id'),
        ),
        migrations.AddField(
            model_name='authorization',
            name='grant',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='authorization', to='anomalies.grant'),
        ),
        migrations.AddField(
            model_name='authorization',
            name='principal',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='anomalies.principal', to_field='public_id'),
        ),
    ]
