"""What a channel's kind declares is kept by name, whatever kind it is."""

from django.db import migrations, models

GATHER = """
UPDATE anomalies_channel SET
    settings = jsonb_build_object(
        'method', method, 'url', url, 'auth', auth, 'token_url', token_url, 'client_id', client_id, 'scope', scope,
        'template', template, 'timeout_seconds', timeout_seconds, 'validators', validators
    ),
    secrets_encrypted = jsonb_strip_nulls(jsonb_build_object(
        'headers', nullif(headers_encrypted, ''), 'secret', nullif(secret_encrypted, ''),
        'signing_secret', nullif(signing_secret_encrypted, '')
    )),
    target = coalesce(substring(url from '^https?://([^/:?#]+)'), '')
"""
PART = """
UPDATE anomalies_channel SET
    method = coalesce(settings->>'method', 'POST'), url = coalesce(settings->>'url', ''),
    auth = coalesce(settings->>'auth', 'none'), token_url = coalesce(settings->>'token_url', ''),
    client_id = coalesce(settings->>'client_id', ''), scope = coalesce(settings->>'scope', ''),
    template = coalesce(settings->>'template', ''), validators = coalesce(settings->>'validators', ''),
    timeout_seconds = coalesce((settings->>'timeout_seconds')::int, 10),
    headers_encrypted = coalesce(secrets_encrypted->>'headers', ''),
    secret_encrypted = coalesce(secrets_encrypted->>'secret', ''),
    signing_secret_encrypted = coalesce(secrets_encrypted->>'signing_secret', '')
"""
GATHERED = (
    "method", "url", "headers_encrypted", "auth", "token_url", "client_id", "scope", "secret_encrypted",
    "signing_secret_encrypted", "template", "timeout_seconds", "validators",
)


def only_webhooks(apps, schema_editor):
    """What others have set up has no place in the columns of before."""
    if apps.get_model("anomalies", "Channel").objects.exclude(kind="webhook").exists():
        raise RuntimeError("There are channels that are no webhooks: delete their rows first.")


class Migration(migrations.Migration):

    dependencies = [
        ("anomalies", "0034_more_of_keys"),
    ]

    operations = [
        migrations.AddField(
            model_name="channel",
            name="settings",
            field=models.JSONField(default=dict, help_text="By name, as its kind declares them; secrets are not among them"),
        ),
        migrations.AddField(
            model_name="channel",
            name="secrets_encrypted",
            field=models.JSONField(default=dict, editable=False, help_text="By name; shown to nobody again"),
        ),
        migrations.AddField(
            model_name="channel",
            name="target",
            field=models.CharField(blank=True, default="", help_text="In short", max_length=500, verbose_name="goes to"),
        ),
        migrations.RunSQL(GATHER, PART),
        migrations.RunPython(migrations.RunPython.noop, only_webhooks),
        migrations.RemoveConstraint(model_name="channel", name="channel_timeout_bounded"),
        *(migrations.RemoveField(model_name="channel", name=name) for name in GATHERED),
    ]
