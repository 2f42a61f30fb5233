"""The roles and what came since they were made: who views sees it, who reviews makes rules and suppressions."""

from django.apps import apps as installed_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

CLOSED = ["view_apikey", "view_auditentry"]  # to all but admins
REVIEWED = ["add_rule", "change_rule", "add_suppression", "change_suppression"]


def grant(apps, schema_editor):
    create_permissions(installed_apps.get_app_config("anomalies"), verbosity=0, using=schema_editor.connection.alias)
    Group = apps.get_model("auth", "Group")
    ours = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="anomalies")
    view = ours.filter(codename__startswith="view_").exclude(codename__in=CLOSED)
    for name, granted in {"viewer": view, "reviewer": view | ours.filter(codename__in=REVIEWED), "admin": ours}.items():
        for group in Group.objects.filter(name=name):  # none where an admin deleted it
            group.permissions.add(*granted)


class Migration(migrations.Migration):
    dependencies = [
        ("anomalies", "0009_who_made_a_suppression"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
