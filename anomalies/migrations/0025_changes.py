"""The audit trail of what people change beside anomalies, which every role may read."""

import django.db.models.deletion
from django.apps import apps as installed_apps
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON anomalies_change
    FOR EACH ROW EXECUTE FUNCTION anomalies_append_only();
"""


def grant(apps, schema_editor):
    create_permissions(installed_apps.get_app_config("anomalies"), verbosity=0, using=schema_editor.connection.alias)
    Group = apps.get_model("auth", "Group")
    ours = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="anomalies")
    for name in ("viewer", "reviewer", "admin"):
        for group in Group.objects.filter(name=name):  # none where an admin deleted it
            group.permissions.add(*ours.filter(codename="view_change"))


class Migration(migrations.Migration):

    dependencies = [
        ('anomalies', '0024_reviewing'),
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Change',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('actor', models.CharField(help_text='Name of the user, key or job', max_length=200)),
                ('subject_type', models.CharField(help_text='Such as access_flow, access_request, grant, suppression', max_length=40)),
                ('subject_id', models.CharField(help_text='Its public id, or the name by which settings know it', max_length=200)),
                ('subject_name', models.CharField(blank=True, default='', help_text='What it was called then', max_length=200)),
                ('action', models.CharField(help_text='In the past tense, such as changed, created, revoked', max_length=40)),
                ('changes', models.JSONField(blank=True, default=dict, help_text='By field: before and after')),
                ('note', models.TextField(blank=True, default='')),
                ('user', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='changes', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'indexes': [models.Index(fields=['-at', '-id'], name='change_newest'), models.Index(fields=['subject_type', 'subject_id', 'id'], name='change_subject')],
            },
        ),
        migrations.RunSQL(APPEND_ONLY, "DROP TRIGGER append_only ON anomalies_change"),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
