"""What the examples of the documents tell of, as rows."""

import hashlib
from datetime import timedelta

from django.test import Client
from django.utils import timezone

from anomalies.api.anodot_v2.access_token import EXAMPLE as KEY
from anomalies.api.anodot_v2.group import EXAMPLE as GROUP
from anomalies.api.cloudlock_v2.threat import EXAMPLE as THREAT
from anomalies.api.grantex_v1.agents import EXAMPLE as AGENT
from anomalies.api.grantex_v1.alerts import EXAMPLE as ALERT
from anomalies.api.grantex_v1.anomalies import EXAMPLE as ANOMALY
from anomalies.api.grantex_v1.audit import EXAMPLE as ENTRY
from anomalies.api.grantex_v1.channels import MADE as MADE_CHANNEL
from anomalies.api.grantex_v1.channels import NEW as CHANNEL
from anomalies.api.grantex_v1.grants import EXAMPLE as GRANT
from anomalies.api.grantex_v1.grants import OTHER_AGENT
from anomalies.api.grantex_v1.rules import NEW as RULE
from anomalies.api.grantex_v1.tokens import AUTHORIZED
from anomalies.models import ApiKey, AuditEntry, Authorization, Channel
from tests import make

ENCRYPTION_KEY = "documents"  # with which the codes and tokens of the examples are signed


def build() -> None:
    """One row for each id that an example names."""
    agent = make.agent(AGENT["agentId"], name=AGENT["name"], scopes=AGENT["scopes"])
    user = make.principal("lee@example.com")
    make.anomaly(public_id=ANOMALY["id"], agent=agent, platforms=["office365"], countries=["IN"])
    make.anomaly(public_id=ALERT["alertId"], agent=agent)
    make.anomaly(id=THREAT["id"], agent=agent, principal=user, principal_ids=[user.public_id], ip="198.51.100.7")
    make.interval(
        make.metric(make.anomaly(public_id=GROUP["id"], agent=agent), entity="ag_billing", action="token.issue")
    )
    ApiKey.objects.create(name="of the example", sha256=hashlib.sha256(KEY.encode()).hexdigest(), scopes=["read"])
    AuditEntry.objects.create(
        public_id=ENTRY["entryId"],
        developer_id="ci",
        agent_id=agent.public_id,
        agent_did=ENTRY["agentDid"],
        grant_id=ENTRY["grantId"],
        principal_id=ENTRY["principalId"],
        action=ENTRY["action"],
        metadata=ENTRY["metadata"],
        status=ENTRY["status"],
        timestamp=make.NOW,
        hash=ENTRY["hash"],
    )
    make.agent(OTHER_AGENT)
    now = timezone.now()
    Authorization.objects.create(
        public_id=AUTHORIZED["authRequestId"],
        agent=agent,
        principal=make.principal(),
        scopes=GRANT["scopes"],
        life_seconds=86400,
        created_at=now,
        created_by="ci",
        expires_at=now + timedelta(minutes=10),
        grant=make.grant(
            GRANT["grantId"],
            agent.public_id,
            principal=make.principal(),
            scopes=GRANT["scopes"],
            expires_at=now + timedelta(days=1),
            issued_by="ci",
        ),
    )
    calling = Client(headers={"authorization": f"Bearer {make.api_key(name='world')}"})
    assert calling.post("/v1/anomaly/channels", CHANNEL, content_type="application/json").status_code == 201
    Channel.objects.update(public_id=MADE_CHANNEL["id"])
    assert calling.post("/v1/anomaly/rules", RULE, content_type="application/json").status_code == 201
