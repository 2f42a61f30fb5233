"""Administrators may change views of the list that others share."""

from django.apps import apps as installed_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations


def grant(apps, schema_editor):
    create_permissions(installed_apps.get_app_config("anomalies"), verbosity=0, using=schema_editor.connection.alias)
    ours = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="anomalies")
    for group in apps.get_model("auth", "Group").objects.filter(name="admin"):  # none where an admin deleted it
        group.permissions.add(*ours.filter(codename__endswith="_savedview"))


class Migration(migrations.Migration):
    dependencies = [("anomalies", "0029_revocations")]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
