"""Access requests, rules, overrides, suppressions, backtests; how an anomaly deviates and what it belongs to."""

import anomalies.models.public_id
import django.db.models.deletion
import django.db.models.functions.datetime
import functools
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("anomalies", "0003_more_of_detection"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="AccessFlow",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(max_length=200, unique=True, verbose_name="access flow")),
                ("name", models.CharField(blank=True, default="", max_length=200)),
                ("description", models.TextField(blank=True, default="")),
                ("active", models.BooleanField(default=True)),
                (
                    "grant_duration_seconds",
                    models.PositiveIntegerField(blank=True, help_text="Empty: without end", null=True),
                ),
                ("requestors", models.JSONField(blank=True, default=list)),
                (
                    "targets",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Integration, resource type, permissions and resources of each",
                    ),
                ),
                ("approver_policy", models.JSONField(blank=True, default=dict)),
                ("timeframe", models.JSONField(blank=True, default=dict)),
                ("justification_required", models.BooleanField(default=False)),
                ("requester_cannot_approve_self", models.BooleanField(default=False)),
                ("mfa_required", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("updated_by", models.CharField(blank=True, default="", max_length=200)),
            ],
        ),
        migrations.CreateModel(
            name="AccessRequest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(max_length=200, unique=True, verbose_name="access request")),
                ("friendly_id", models.CharField(blank=True, default="", max_length=200)),
                ("grantee", models.JSONField(blank=True, default=dict)),
                ("justification", models.TextField(blank=True, default="")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("active", "Active"),
                            ("rejected", "Rejected"),
                            ("revoking", "Revoking"),
                            ("revoked", "Revoked"),
                            ("expired", "Expired"),
                            ("failed", "Failed"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("requested_at", models.DateTimeField()),
                ("approved_at", models.DateTimeField(blank=True, null=True)),
                ("rejected_at", models.DateTimeField(blank=True, null=True)),
                ("rejected_by_person", models.BooleanField(default=False)),
                (
                    "ended_at",
                    models.DateTimeField(blank=True, help_text="Rejected, revoked, expired or failed", null=True),
                ),
                ("duration_seconds", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "units",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text="Integration, resource, its type and tags, and permission of each",
                    ),
                ),
                ("approvals", models.JSONField(blank=True, default=list)),
                ("history", models.JSONField(blank=True, default=list)),
                ("updated_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Backtest",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "public_id",
                    models.CharField(
                        default=functools.partial(anomalies.models.public_id.new_public_id, *("btst",), **{}),
                        editable=False,
                        max_length=40,
                        unique=True,
                        verbose_name="backtest",
                    ),
                ),
                ("type", models.CharField(max_length=50)),
                ("enabled", models.BooleanField(default=True)),
                ("parameters", models.JSONField(blank=True, default=dict)),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField()),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                ("done", models.PositiveIntegerField(default=0, help_text="Entities judged so far")),
                ("total", models.PositiveIntegerField(default=0)),
                ("result", models.JSONField(blank=True, null=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("created_by", models.CharField(max_length=200)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="DetectorOverride",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("type", models.CharField(max_length=50)),
                ("enabled", models.BooleanField(default=True)),
                (
                    "parameters",
                    models.JSONField(blank=True, default=dict, help_text="Only those that differ from the settings"),
                ),
                ("reason", models.TextField(blank=True, default="")),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("updated_by", models.CharField(blank=True, default="", max_length=200)),
            ],
        ),
        migrations.CreateModel(
            name="Rule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "public_id",
                    models.CharField(
                        default=functools.partial(anomalies.models.public_id.new_public_id, *("rule",), **{}),
                        max_length=200,
                        unique=True,
                        verbose_name="rule",
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("description", models.TextField(blank=True, default="")),
                ("severity", models.PositiveSmallIntegerField(default=2)),
                ("agents", models.JSONField(blank=True, default=list, help_text="Ids of agents; empty: all of them")),
                (
                    "scopes",
                    models.JSONField(blank=True, default=list, help_text="Permissions or actions; empty: all of them"),
                ),
                ("window_seconds", models.PositiveIntegerField()),
                (
                    "threshold",
                    models.PositiveIntegerField(help_text="Events within the window from which it is an anomaly"),
                ),
                ("channels", models.JSONField(blank=True, default=list, help_text="Ids of the channels that are told")),
                ("enabled", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("created_by", models.CharField(blank=True, default="", max_length=200)),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("updated_by", models.CharField(blank=True, default="", max_length=200)),
                ("deleted_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Suppression",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "public_id",
                    models.CharField(
                        default=functools.partial(anomalies.models.public_id.new_public_id, *("supp",), **{}),
                        editable=False,
                        max_length=40,
                        unique=True,
                        verbose_name="suppression",
                    ),
                ),
                ("reason", models.TextField()),
                ("owner", models.CharField(max_length=200)),
                ("type", models.CharField(blank=True, default="", help_text="Empty: each type", max_length=50)),
                ("agent_id", models.CharField(blank=True, default="", max_length=200)),
                ("principal_id", models.CharField(blank=True, default="", max_length=200)),
                (
                    "network",
                    models.CharField(
                        blank=True, default="", help_text="An address or a network in CIDR form", max_length=50
                    ),
                ),
                ("resource", models.CharField(blank=True, default="", max_length=1000)),
                ("integration", models.CharField(blank=True, default="", max_length=200)),
                (
                    "highest_severity",
                    models.PositiveSmallIntegerField(default=3, help_text="Worse ones are raised all the same"),
                ),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("ended_at", models.DateTimeField(blank=True, help_text="When somebody ended it", null=True)),
                ("ended_by", models.CharField(blank=True, default="", max_length=200)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="anomaly",
            name="anomaly_closed_has_end",
        ),
        migrations.RemoveConstraint(
            model_name="series",
            name="series_unique",
        ),
        migrations.AddField(
            model_name="anomaly",
            name="deviation",
            field=models.CharField(
                blank=True,
                choices=[("transient", "Transient"), ("pattern_change", "pattern change")],
                db_default="",
                default="",
                help_text="Of a series that is counted",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="anomaly",
            name="merged_into",
            field=models.ForeignKey(
                blank=True,
                help_text="The same cause",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="merged",
                to="anomalies.anomaly",
            ),
        ),
        migrations.AddField(
            model_name="anomaly",
            name="resolution_seconds",
            field=models.PositiveIntegerField(default=3600, help_text="At which it deviates most"),
        ),
        migrations.AddField(
            model_name="interval",
            name="deviation",
            field=models.CharField(
                choices=[("transient", "Transient"), ("pattern_change", "pattern change")],
                default="transient",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="interval",
            name="lower",
            field=models.FloatField(default=0, help_text="Lower edge of the expected band at the peak"),
        ),
        migrations.AddField(
            model_name="interval",
            name="sum_deltas",
            field=models.FloatField(default=0, help_text="Sum of the distances from the band, of all its buckets"),
        ),
        migrations.AddField(
            model_name="interval",
            name="up",
            field=models.BooleanField(default=True, help_text="Above the band, not below it"),
        ),
        migrations.AddField(
            model_name="series",
            name="action",
            field=models.CharField(
                blank=True, db_default="", default="", help_text="Empty: all of them", max_length=200
            ),
        ),
        migrations.AddField(
            model_name="source",
            name="lag_seconds",
            field=models.FloatField(
                db_default=0, default=0, help_text="By how much 99 % of its lately received events were late at most"
            ),
        ),
        migrations.AddField(
            model_name="source",
            name="late_events",
            field=models.PositiveBigIntegerField(
                db_default=0, default=0, help_text="Counted, but too late for their buckets to be judged again"
            ),
        ),
        migrations.AlterField(
            model_name="anomaly",
            name="state",
            field=models.CharField(
                choices=[("open", "Open"), ("closed", "Closed"), ("withdrawn", "Withdrawn")],
                default="open",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="interval",
            name="state",
            field=models.CharField(
                choices=[("open", "Open"), ("closed", "Closed"), ("withdrawn", "Withdrawn")],
                default="open",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="reviewentry",
            name="action",
            field=models.CharField(
                choices=[
                    ("detected", "Detected"),
                    ("extended", "Extended"),
                    ("escalated", "Escalated"),
                    ("closed", "Closed"),
                    ("acknowledged", "Acknowledged"),
                    ("undone", "Undone"),
                    ("noted", "Noted"),
                    ("reopened", "Reopened"),
                    ("merged", "Merged"),
                    ("parted", "Parted"),
                    ("withdrawn", "Withdrawn"),
                    ("suppressed", "Suppressed"),
                ],
                max_length=20,
            ),
        ),
        migrations.AddConstraint(
            model_name="interval",
            constraint=models.UniqueConstraint(
                fields=("metric", "resolution_seconds", "started_at"), name="interval_start_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="series",
            constraint=models.UniqueConstraint(fields=("kind", "entity", "action", "metric"), name="series_unique"),
        ),
        migrations.AddConstraint(
            model_name="series",
            constraint=models.CheckConstraint(
                condition=models.Q(("action", ""), ("kind", "agent"), _connector="OR"), name="series_action_of_agent"
            ),
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="flow",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="requests",
                to="anomalies.accessflow",
                to_field="public_id",
            ),
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="requester",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="access_requests",
                to="anomalies.principal",
                to_field="public_id",
            ),
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="source",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="anomalies.source"
            ),
        ),
        migrations.AddField(
            model_name="backtest",
            name="agent",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="anomalies.agent",
                to_field="public_id",
            ),
        ),
        migrations.AddField(
            model_name="detectoroverride",
            name="agent",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="detector_overrides",
                to="anomalies.agent",
                to_field="public_id",
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(("severity__in", [1, 2, 3])), name="rule_severity_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(condition=models.Q(("threshold__gt", 0)), name="rule_threshold_positive"),
        ),
        migrations.AddConstraint(
            model_name="rule",
            constraint=models.CheckConstraint(
                condition=models.Q(("window_seconds__gt", 0)), name="rule_window_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="suppression",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="suppression_has_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="suppression",
            constraint=models.CheckConstraint(
                condition=models.Q(("highest_severity__in", [1, 2, 3])), name="suppression_severity_known"
            ),
        ),
        migrations.AddField(
            model_name="anomaly",
            name="suppression",
            field=models.ForeignKey(
                blank=True,
                help_text="Why nobody is asked",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="anomalies",
                to="anomalies.suppression",
            ),
        ),
        migrations.AddIndex(
            model_name="anomaly",
            index=models.Index(fields=["updated_at"], name="anomaly_updated_at"),
        ),
        migrations.AddConstraint(
            model_name="anomaly",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", True), ("state", "open")),
                    models.Q(("ended_at__isnull", False), ("state__in", ["closed", "withdrawn"])),
                    _connector="OR",
                ),
                name="anomaly_closed_has_end",
            ),
        ),
        migrations.AddIndex(
            model_name="accessrequest",
            index=models.Index(fields=["requester", "requested_at"], name="accessrequest_requester"),
        ),
        migrations.AddIndex(
            model_name="accessrequest",
            index=models.Index(fields=["-requested_at", "-id"], name="accessrequest_newest"),
        ),
        migrations.AddConstraint(
            model_name="backtest",
            constraint=models.CheckConstraint(
                condition=models.Q(("until__gt", models.F("since"))), name="backtest_ends_after_start"
            ),
        ),
        migrations.AddConstraint(
            model_name="detectoroverride",
            constraint=models.UniqueConstraint(fields=("type", "agent"), name="detectoroverride_unique"),
        ),
        migrations.RunSQL(
            "UPDATE anomalies_anomaly SET resolution_seconds = (evidence->>'resolution_seconds')::integer "
            "WHERE evidence ? 'resolution_seconds'",
            migrations.RunSQL.noop,
        ),
    ]
