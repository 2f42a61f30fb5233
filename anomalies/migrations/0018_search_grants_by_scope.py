"""Grants by their scopes, which custom rules look for."""

import django.contrib.postgres.indexes
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("anomalies", "0017_what_days_before_say")]

    operations = [
        migrations.AddIndex("grant", django.contrib.postgres.indexes.GinIndex(fields=["scopes"], name="grant_scopes")),
    ]
