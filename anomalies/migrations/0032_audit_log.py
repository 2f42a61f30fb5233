"""Who may read the audit log, and how it is read newest first."""

from django.apps import apps as installed_apps
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations, models


def grant(apps, schema_editor):
    create_permissions(installed_apps.get_app_config("anomalies"), verbosity=0, using=schema_editor.connection.alias)
    Group = apps.get_model("auth", "Group")
    read = apps.get_model("auth", "Permission").objects.filter(
        content_type__app_label="anomalies", codename="read_audit_log"
    )
    for group in Group.objects.filter(name__in=["reviewer", "admin"]):  # none where an admin deleted it
        group.permissions.add(*read)


class Migration(migrations.Migration):
    dependencies = [
        ("anomalies", "0031_connections_stay"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="change",
            options={"permissions": [("read_audit_log", "Can read the audit log")]},
        ),
        migrations.AddIndex(
            model_name="reviewentry",
            index=models.Index(
                condition=models.Q(("actor", "detection"), _negated=True),
                fields=["-at", "-id"],
                name="reviewentry_newest",
            ),
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
