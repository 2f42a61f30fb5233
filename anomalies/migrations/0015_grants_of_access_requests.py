"""Grants that access requests gave: of a request instead of an agent, for what, and by which event they ended."""

import hashlib
from datetime import datetime, timedelta

import django.db.models.deletion
from django.db import migrations, models


def gather(apps, schema_editor):
    """Make the grants of the requests that are known, from their histories, as services/grants.py does since."""
    Grant, AccessRequest = apps.get_model("anomalies", "Grant"), apps.get_model("anomalies", "AccessRequest")
    granted = AccessRequest.objects.filter(history__contains=[{"type": "granted"}]).order_by("id")
    grants = []
    for request in granted.iterator(chunk_size=2000):
        grant = None
        for entry in request.history:
            time = datetime.fromisoformat(entry["time"])
            if entry["type"] == "granted":
                if grant is None or grant.status != "active":
                    grant = Grant(
                        public_id=f"grnt_{hashlib.sha256(request.public_id.encode()).hexdigest()[:26]}",
                        request_id=request.public_id,
                        principal_id=request.requester_id,
                        units=request.units,
                        scopes=list(dict.fromkeys(one["permission"] for one in request.units if one["permission"])),
                        issued_at=time,
                    )
                try:
                    grant.expires_at = (
                        time + timedelta(seconds=request.duration_seconds) if request.duration_seconds else None
                    )
                except OverflowError:
                    grant.expires_at = None
            elif grant and grant.status == "active" and entry["type"] == "revoked":
                grant.status, grant.revoked_at = "revoked", time
            elif grant and grant.status == "active" and entry["type"] == "expired":
                grant.status, grant.expires_at = "expired", time
        grants.append(grant)
    Grant.objects.bulk_create(grants, batch_size=2000)


class Migration(migrations.Migration):
    dependencies = [("anomalies", "0014_group_of_agents")]

    operations = [
        migrations.AddField(
            "grant",
            "ended_by_event",
            models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Id of the event that revoked or expired it",
                max_length=200,
            ),
        ),
        migrations.AddField(
            "grant",
            "request",
            models.OneToOneField(
                blank=True,
                help_text="That gave it; empty: known by the events that name it",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="grant",
                to="anomalies.accessrequest",
                to_field="public_id",
            ),
        ),
        migrations.AddField(
            "grant",
            "units",
            models.JSONField(
                blank=True, default=list, help_text="Integration, resource, its type and tags, and permission of each"
            ),
        ),
        migrations.AlterField(
            "grant",
            "agent",
            models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="grants",
                to="anomalies.agent",
                to_field="public_id",
            ),
        ),
        migrations.AlterField(
            "grant",
            "expires_at",
            models.DateTimeField(
                blank=True, help_text="As planned, or when it did; empty: it has no planned end", null=True
            ),
        ),
        migrations.RunPython(gather, migrations.RunPython.noop),
        # Its foreign keys are checked at the end of the transaction, which a change of the table does not wait for.
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE", migrations.RunSQL.noop),
        migrations.AddConstraint(
            "grant",
            models.CheckConstraint(
                condition=models.Q(agent__isnull=False, request__isnull=True)
                | models.Q(agent__isnull=True, request__isnull=False),
                name="grant_of_agent_or_request",
            ),
        ),
    ]
