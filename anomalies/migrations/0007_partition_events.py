"""Events by UTC day: a query reads only the days of its window, and old days are dropped whole.

Not reversible: an id may have come with several times, which the table of before refuses.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.apps import apps as installed_apps
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

# Indexes and sequence give up their names to those of the new table. No foreign keys: PostgreSQL would lock the tables
# of batches and sources for each new day, and check both for each row; the one transaction that writes an event writes
# its batch and its source as well. An identity column of a partitioned table needs PostgreSQL 17: hence a sequence.
PARTITION = """
ALTER TABLE anomalies_event RENAME TO anomalies_event_whole;
ALTER TABLE anomalies_event_whole ALTER id DROP IDENTITY;
ALTER INDEX anomalies_event_pkey RENAME TO anomalies_event_whole_pkey;
DROP INDEX event_agent_time, event_principal_time, event_ip_time;
ALTER TABLE anomalies_event_whole DROP CONSTRAINT event_external_id_unique;

CREATE TABLE anomalies_event (
    LIKE anomalies_event_whole INCLUDING CONSTRAINTS,
    PRIMARY KEY (id, time),
    CONSTRAINT event_external_id_unique UNIQUE (source_id, external_id, time)
) PARTITION BY RANGE (time);
CREATE SEQUENCE anomalies_event_id_seq AS bigint OWNED BY anomalies_event.id;
ALTER TABLE anomalies_event ALTER id SET DEFAULT nextval('anomalies_event_id_seq');
CREATE INDEX event_agent_time ON anomalies_event (agent_id, time);
CREATE INDEX event_principal_time ON anomalies_event (principal_id, time);
CREATE INDEX event_ip_time ON anomalies_event (ip, time);
CREATE INDEX event_batch ON anomalies_event (batch_id);
CREATE TABLE anomalies_event_default PARTITION OF anomalies_event DEFAULT;

DO $$
DECLARE day date;
BEGIN
    FOR day IN
        SELECT DISTINCT (time AT TIME ZONE 'UTC')::date FROM anomalies_event_whole
        WHERE time >= now() - interval '400 days' AND time < now() + interval '2 days'
    LOOP
        EXECUTE format(
            'CREATE TABLE %I PARTITION OF anomalies_event FOR VALUES FROM (%L) TO (%L)',
            'anomalies_event_' || to_char(day, 'YYYYMMDD'),
            day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    END LOOP;
END
$$;
INSERT INTO anomalies_event SELECT * FROM anomalies_event_whole;
SELECT setval('anomalies_event_id_seq', (SELECT coalesce(max(id), 0) + 1 FROM anomalies_event_whole), false);
DROP TABLE anomalies_event_whole;
"""

UNCOUNTED_TIMES = """
UPDATE anomalies_batch b SET first_time = e.first_time, last_time = e.last_time
FROM (SELECT batch_id, min(time) AS first_time, max(time) AS last_time FROM anomalies_event GROUP BY batch_id) AS e
WHERE e.batch_id = b.id AND b.counted_at IS NULL
"""


def let_all_roles_see_it(apps, schema_editor):
    create_permissions(installed_apps.get_app_config("anomalies"), verbosity=0, using=schema_editor.connection.alias)
    permission = apps.get_model("auth", "Permission").objects.get(
        content_type__app_label="anomalies", codename="view_retention"
    )
    for group in apps.get_model("auth", "Group").objects.filter(name__in=["viewer", "reviewer", "admin"]):
        group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [
        ("anomalies", "0006_topics_of_anomalies"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(PARTITION)],
            state_operations=[
                migrations.RemoveConstraint(model_name="event", name="event_external_id_unique"),
                migrations.AlterField(
                    model_name="event",
                    name="batch",
                    field=models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="anomalies.batch",
                    ),
                ),
                migrations.AlterField(
                    model_name="event",
                    name="source",
                    field=models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="anomalies.source",
                    ),
                ),
                migrations.AddConstraint(
                    model_name="event",
                    constraint=models.UniqueConstraint(
                        fields=("source", "external_id", "time"), name="event_external_id_unique"
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="batch",
            name="first_time",
            field=models.DateTimeField(blank=True, help_text="Time of its earliest event", null=True),
        ),
        migrations.AddField(
            model_name="batch",
            name="last_time",
            field=models.DateTimeField(blank=True, help_text="Time of its latest event", null=True),
        ),
        migrations.AddField(
            model_name="batch",
            name="lags",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.PositiveIntegerField(),
                blank=True,
                help_text="How many of its events were how late, by class; empty: it tells nothing of its source's delay",
                null=True,
                size=None,
            ),
        ),
        migrations.RunSQL(UNCOUNTED_TIMES),
        migrations.AddField(
            model_name="series",
            name="lag_seconds",
            field=models.FloatField(
                db_default=0,
                default=0,
                help_text="Of the slowest source by which its lately counted events came",
            ),
        ),
        migrations.CreateModel(
            name="SourceLag",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField(help_text="When they were received")),
                (
                    "counts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveBigIntegerField(),
                        help_text="By class, see services/lags.py",
                        size=None,
                    ),
                ),
                (
                    "source",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lags",
                        to="anomalies.source",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("source", "day"), name="sourcelag_unique")],
            },
        ),
        migrations.CreateModel(
            name="Retention",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("ran_at", models.DateTimeField()),
                (
                    "events_before",
                    models.DateTimeField(blank=True, help_text="Older events are gone; empty: all are kept", null=True),
                ),
                ("days_dropped", models.PositiveIntegerField(default=0)),
                (
                    "days_in_use",
                    models.PositiveIntegerField(
                        default=0, help_text="To be dropped, but somebody was reading: next time"
                    ),
                ),
                ("events_dropped", models.PositiveBigIntegerField(default=0)),
                (
                    "minutes_before",
                    models.DateTimeField(blank=True, help_text="Older counts by the minute are gone", null=True),
                ),
                ("minute_blocks_dropped", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["events_before"], name="retention_events_before")],
            },
        ),
        migrations.RunPython(let_all_roles_see_it, migrations.RunPython.noop),
    ]
