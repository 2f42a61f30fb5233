"""The Grantex API: what its published clients send and expect, so that each works here unmodified."""

from anomalies.api.documented import DocumentedAPI
from anomalies.api.errors import CALLS_LIMITED, answered_urls, unknown_path
from anomalies.api.grantex_v1 import agents, alerts, anomalies, audit, channels, grants, metrics, rules, stream, tokens
from anomalies.api.grantex_v1.answers import set_error_answers

__all__ = ["api", "unknown_path", "urls"]

api = DocumentedAPI(
    title="Grantex API",
    version="1",
    description="Anomalies, alerts with their rules and channels, the audit log, agents, grants and the event stream, "
    "as the published Grantex clients call them. Events in bulk go to [their own API](/v1/events/docs). "
    f"{CALLS_LIMITED}",
    urls_namespace="grantex_v1",
    examples={
        "anomaly_id": anomalies.EXAMPLE["id"],
        "alert_id": alerts.EXAMPLE["alertId"],
        "rule_id": rules.MADE["id"],
        "channel_id": channels.MADE["id"],
        "agent_id": agents.EXAMPLE["agentId"],
        "entry_id": audit.EXAMPLE["entryId"],
        "grant_id": grants.EXAMPLE["grantId"],
    },
)
api.add_router("", anomalies.router)
api.add_router("", alerts.router)
api.add_router("", metrics.router)
api.add_router("", rules.router)
api.add_router("", channels.router)
api.add_router("", stream.router)
api.add_router("", audit.router)
api.add_router("", agents.router)
api.add_router("", tokens.router)
api.add_router("", grants.router)
set_error_answers(api)

urls = answered_urls(api)
