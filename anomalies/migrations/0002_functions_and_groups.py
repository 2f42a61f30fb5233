"""What PostgreSQL holds beside the tables, and the three roles."""

from django.apps import apps as installed_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations

# Adds counts into a block in place: only the slots that changed are sent.
BUCKET_ADD = """
CREATE FUNCTION anomalies_bucket_add(counts integer[], slots integer[], amounts bigint[]) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
    FOR i IN 1 .. array_length(slots, 1) LOOP
        counts[slots[i]] := counts[slots[i]] + amounts[i];
    END LOOP;
    RETURN counts;
END
$$;
"""

APPEND_ONLY = """
CREATE FUNCTION anomalies_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON anomalies_reviewentry
    FOR EACH ROW EXECUTE FUNCTION anomalies_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON anomalies_auditentry
    FOR EACH ROW EXECUTE FUNCTION anomalies_append_only();
"""


def create_groups(apps, schema_editor):
    """viewer sees, reviewer decides as well, admin sets up and gives roles as well."""
    for app in ("anomalies", "auth"):
        create_permissions(installed_apps.get_app_config(app), verbosity=0, using=schema_editor.connection.alias)
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    ours = Permission.objects.filter(content_type__app_label="anomalies")
    view = ours.filter(codename__startswith="view_").exclude(codename__in=["view_apikey", "view_auditentry"])
    review = ours.filter(codename="review_anomaly")
    roles = Permission.objects.filter(
        content_type__app_label="auth", codename__in=["view_user", "add_user", "change_user", "view_group"]
    )
    for name, granted in {"viewer": view, "reviewer": view | review, "admin": ours | roles}.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set(granted)


class Migration(migrations.Migration):
    dependencies = [
        ("anomalies", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.RunSQL(BUCKET_ADD, "DROP FUNCTION anomalies_bucket_add(integer[], integer[], bigint[])"),
        migrations.RunSQL(
            APPEND_ONLY,
            "DROP TRIGGER append_only ON anomalies_reviewentry; DROP TRIGGER append_only ON anomalies_auditentry; "
            "DROP FUNCTION anomalies_append_only()",
        ),
        migrations.RunPython(create_groups, migrations.RunPython.noop),
    ]
