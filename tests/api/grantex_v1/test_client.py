"""The unmodified `grantex` client against a running server."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from queue import Queue
from typing import Any

import pytest
from django.utils import timezone
from grantex import (
    AuthorizeParams,
    ExchangeTokenParams,
    Grantex,
    GrantexApiError,
    GrantexAuthError,
    GrantexTokenError,
    ListGrantsParams,
    RateLimit,
    RefreshTokenParams,
    generate_pkce,
)
from grantex._types import ExchangeTokenResponse, ListAuditParams
from grantex.resources._events import GrantexEvent, StreamOptions
from standardwebhooks import Webhook

from anomalies.ingest.record import EventRecord
from anomalies.models import Anomaly, OutboxMessage, ReviewEntry, StreamLease
from anomalies.services import deliveries, events, reviews
from anomalies.services.actor import Actor
from tests import make
from tests.notifications.receiver import Received, Receiver, receiving
from tests.services.channels import SECRET

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def grantex(server: str) -> Iterator[Grantex]:
    with Grantex(api_key=make.api_key(), base_url=server) as client:
        yield client


def _log(grantex: Grantex, **fields: str) -> str:
    entry = grantex.audit.log(
        **{
            "agent_id": "ag_billing",
            "agent_did": "did:grantex:ag_billing",
            "grant_id": "grnt_1",
            "principal_id": "user_1",
            "action": "invoice.read",
            **fields,
        }
    )
    return entry.entry_id


def test_the_documented_example_runs(grantex: Grantex) -> None:
    make.anomaly(detected_at=timezone.now())
    detection = grantex.anomalies.detect()
    assert detection.total == len(detection.anomalies) == 1
    assert (detection.response_mode, detection.auto_revoked_grants) == ("alert_only", 0)
    (anomaly,) = detection.anomalies
    assert (anomaly.type, anomaly.severity, anomaly.agent_id) == ("rate_spike", "high", "ag_billing")
    assert anomaly.metadata["observed"] == 412
    acknowledged = grantex.anomalies.acknowledge(anomaly.id)
    assert acknowledged.acknowledged_at is not None
    assert grantex.anomalies.list().anomalies == (acknowledged,)
    assert grantex.anomalies.list(unacknowledged=True).total == 0
    assert ReviewEntry.objects.get().actor == "ci"


def test_detect_twice_gives_the_same_ids_and_the_acknowledged_stays_so(grantex: Grantex) -> None:
    make.anomaly(detected_at=timezone.now())
    _log(grantex)
    first = grantex.anomalies.detect()
    grantex.anomalies.acknowledge(first.anomalies[0].id)
    second = grantex.anomalies.detect()
    assert [each.id for each in second.anomalies] == [each.id for each in first.anomalies]
    assert second.anomalies[0].acknowledged_at is not None


def _three_weeks_of_ten_an_hour() -> None:
    start = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=21)
    records = [
        EventRecord(
            external_id=f"past-{hour}-{number}",
            time=start + timedelta(hours=hour, minutes=6 * number),
            agent_id="ag_billing",
            principal_id="user_1",
            action="invoice.read",
            status="success",
        )
        for hour in range(21 * 24)
        for number in range(10)
    ]
    events.store(records, source_name="past", format="native", received_at=timezone.now())


def test_a_burst_in_the_audit_log_is_detected_once_and_stays_acknowledged(grantex: Grantex) -> None:
    _three_weeks_of_ten_an_hour()
    assert grantex.anomalies.detect().total == 0
    for _ in range(80):
        _log(grantex)
    first = grantex.anomalies.detect()
    assert [(each.type, each.agent_id) for each in first.anomalies if each.agent_id] != []
    assert "rate_spike" in {each.type for each in first.anomalies}
    for anomaly in first.anomalies:
        grantex.anomalies.acknowledge(anomaly.id)
    second = grantex.anomalies.detect()
    assert [each.id for each in second.anomalies] == [each.id for each in first.anomalies]
    assert all(each.acknowledged_at for each in second.anomalies)
    assert grantex.anomalies.list(unacknowledged=True).total == 0


def test_what_is_logged_is_found_again_and_its_agent_listed(grantex: Grantex) -> None:
    first, second = _log(grantex), _log(grantex, status="failure", action="invoice.pay")
    entries = grantex.audit.list().entries
    assert [entry.entry_id for entry in entries] == [first, second]
    assert entries[1].prev_hash == entries[0].hash
    assert grantex.audit.get(second) == entries[1]
    wanted = ListAuditParams(
        agent_id="ag_billing", action="invoice.pay", since=entries[0].timestamp, page=1, page_size=5
    )
    assert grantex.audit.list(wanted).entries == (entries[1],)
    assert [agent.id for agent in grantex.agents.list().agents] == ["ag_billing"]


def test_agents_are_registered_changed_and_deleted(grantex: Grantex) -> None:
    agent = grantex.agents.register(name="Billing", scopes=["invoices:read"], description="pays")
    assert grantex.agents.get(agent.id) == agent
    assert grantex.agents.update(agent.id, name="Payments").name == "Payments"
    grantex.agents.delete(agent.id)
    with pytest.raises(GrantexApiError) as raised:
        grantex.agents.get(agent.id)
    assert (raised.value.status_code, raised.value.code) == (404, "NOT_FOUND")
    assert raised.value.request_id


def test_an_agent_is_registered_and_changed_with_all_that_the_client_can_say(grantex: Grantex) -> None:
    agent = grantex.agents.register(
        name="Billing", scopes=["a"], description="pays", redirect_uris=["https://app.example/"],
        resource_servers=["https://api.example/"], public_jwk={"kty": "OKP"}, status="active",
    )  # fmt: skip
    changed = grantex.agents.update(
        agent.id, name="Payments", description="", scopes=["b"], redirect_uris=[], resource_servers=[],
        public_jwk={}, status="suspended", status_reason="on leave",
    )  # fmt: skip
    assert (changed.name, changed.description, changed.scopes, changed.status) == ("Payments", "", ("b",), "suspended")
    assert grantex.agents.update(agent.id).name == "Payments"
    assert grantex.agents.list().agents == (grantex.agents.get(agent.id),)


def test_an_id_with_slashes_survives_the_clients_encoding(grantex: Grantex) -> None:
    _log(grantex, agent_id="team/agent one")
    assert grantex.agents.get("team/agent one").id == "team/agent one"


def test_the_response_policy_is_read_and_set(grantex: Grantex) -> None:
    assert grantex.anomalies.get_response_policy() == "alert_only"
    assert grantex.anomalies.set_response_policy("revoke_agent_grants") == "revoke_agent_grants"
    assert grantex.anomalies.get_response_policy() == "revoke_agent_grants"


def test_alerts_rules_and_metrics_work_by_the_clients_own_transport(grantex: Grantex) -> None:
    """The client has no methods for them; it carries their calls as any other, with its retries and errors."""
    calls = grantex._http
    anomaly = make.anomaly(detected_at=timezone.now())
    path = f"/v1/anomaly/alerts/{anomaly.public_id}"
    assert calls.get("/v1/anomaly/alerts?status=open&limit=10")["data"] == [calls.get(path)]
    assert calls.post(f"{path}/acknowledge", {"note": "Looking into it"})["status"] == "acknowledged"
    resolved = calls.post(f"{path}/resolve", {"note": "False positive"})
    assert (resolved["status"], calls.get(path)) == ("resolved", resolved)
    assert calls.get("/v1/anomaly/metrics?window=1h")["byStatus"] == {"open": 0, "acknowledged": 0, "resolved": 1}
    assert grantex.anomalies.list().anomalies[0].acknowledged_at == resolved["acknowledgedAt"]
    rule = {"ruleId": "surge", "name": "Surge", "condition": {"timeWindow": "5m", "threshold": 100}}
    made = calls.post("/v1/anomaly/rules", rule)
    assert calls.get("/v1/anomaly/rules")["rules"][-1] == made
    assert calls.patch("/v1/anomaly/rules/surge", {"enabled": False})["enabled"] is False
    assert calls.patch("/v1/anomaly/rules/off_hours_activity", {"enabled": False})["builtIn"] is True
    assert calls.delete("/v1/anomaly/rules/surge") is None
    with pytest.raises(GrantexApiError, match="window: ") as raised:
        calls.get("/v1/anomaly/metrics?window=99h")
    assert (raised.value.status_code, raised.value.code) == (400, "BAD_REQUEST")


def test_what_a_rule_raises_reaches_the_channel_that_it_names_signed_and_no_other(
    grantex: Grantex, settings: Any, at_its_own_time: None
) -> None:
    settings.ANOMALIES_ALLOW_HTTP_WEBHOOKS = True
    settings.ANOMALIES_ALLOW_PRIVATE_WEBHOOKS = ["127.0.0.0/8"]
    calls = grantex._http
    with receiving() as there, receiving() as elsewhere:
        for name, receiver in (("billing", there), ("others", elsewhere)):
            config = {"url": receiver.url, "secret": SECRET}
            channel = {"type": "webhook", "name": name, "config": config, "severities": ["low", "medium", "high"]}
            made = calls.post("/v1/anomaly/channels", channel)
            assert calls.get("/v1/anomaly/channels")["channels"][0] == made
            assert made["config"] == {"url": receiver.url}
        rule = {
            "ruleId": "billing_agent_write_surge",
            "name": "Billing Agent Write Surge",
            "severity": "high",
            "condition": {
                "agentIds": ["ag_billing"], "scopes": ["invoices:write"], "timeWindow": "10m", "threshold": 20,
            },
            "alertChannels": ["billing"],
        }  # fmt: skip
        calls.post("/v1/anomaly/rules", rule)
        for _ in range(20):
            _log(grantex, action="invoices:write")
        grantex.anomalies.detect()
        (alert,) = (one for one in calls.get("/v1/anomaly/alerts")["data"] if one["ruleId"] == rule["ruleId"])
        assert (alert["severity"], alert["status"], alert["context"]["grantId"]) == ("high", "open", "grnt_1")
        _until(lambda: _told() and bool(_about(there, alert)))
        (received,) = _about(there, alert)
        Webhook(SECRET).verify(received.body, received.headers)
        assert received.json["type"] == "anomaly.detected"
        calls.post(f"/v1/anomaly/alerts/{alert['alertId']}/resolve", {"note": "Known job"})
        _until(lambda: _told() and len(_about(there, alert)) == 2)
        assert _about(there, alert)[1].json["type"] == "anomaly.resolved"
        assert _about(elsewhere, alert) == []
        calls.delete(f"/v1/anomaly/channels/{made['id']}")
        assert [one["name"] for one in calls.get("/v1/anomaly/channels")["channels"]] == ["billing"]


def _told() -> bool:
    deliveries.fan_out(at=timezone.now())
    deliveries.deliver_due(clock=timezone.now, until=timezone.now() + timedelta(hours=1))
    return True


def _about(receiver: Receiver, alert: dict[str, Any]) -> list[Received]:
    return [one for one in receiver.received if one.json["data"]["id"] == alert["alertId"]]


def _issued(grantex: Grantex, *scopes: str) -> ExchangeTokenResponse:
    agent = grantex.agents.register(name="Billing", scopes=[*scopes])
    pkce = generate_pkce()
    asked = grantex.authorize(
        AuthorizeParams(
            agent_id=agent.id, user_id="user_1", scopes=[*scopes], expires_in="8h", state="x" * 32,
            code_challenge=pkce.code_challenge, code_challenge_method=pkce.code_challenge_method,
        )
    )  # fmt: skip
    assert (asked.agent_id, asked.principal_id, asked.scopes) == (agent.id, "user_1", scopes)
    assert (asked.status, asked.expires_in) == ("approved", "8h")
    assert asked.request_id
    assert asked.consent_url
    assert asked.code
    return grantex.tokens.exchange(
        ExchangeTokenParams(code=asked.code, agent_id=agent.id, code_verifier=pkce.code_verifier)
    )


def test_a_grant_is_issued_read_listed_and_revoked_with_what_was_delegated_of_it(grantex: Grantex) -> None:
    issued = _issued(grantex, "invoices:read", "invoices:pay")
    assert issued.scopes == ("invoices:read", "invoices:pay")
    grant = grantex.grants.get(issued.grant_id)
    assert (grant.id, grant.principal_id, grant.developer_id, grant.status) == (
        issued.grant_id, "user_1", "ci", "active",
    )  # fmt: skip
    assert (grant.expires_at, grant.revoked_at) == (issued.expires_at, None)
    mailer = grantex.agents.register(name="Mailer", scopes=[])
    part = grantex.grants.delegate(
        parent_grant_token=issued.grant_token, sub_agent_id=mailer.id, scopes=["invoices:read"], expires_in="1h"
    )
    verified = grantex.grants.verify(part["grantToken"])
    assert (verified.grant_id, verified.parent_grant_id, verified.delegation_depth) == (
        part["grantId"], issued.grant_id, 1,
    )  # fmt: skip
    assert (verified.scopes, verified.agent_did) == (("invoices:read",), mailer.did)
    assert [one.id for one in grantex.grants.list().grants] == [part["grantId"], issued.grant_id]
    wanted = ListGrantsParams(agent_id=mailer.id, principal_id="user_1", status="active", page=1, page_size=5)
    assert [one.id for one in grantex.grants.list(wanted).grants] == [part["grantId"]]

    grantex.grants.revoke(issued.grant_id)
    for grant_id in (issued.grant_id, part["grantId"]):
        revoked = grantex.grants.get(grant_id)
        assert revoked.status == "revoked"
        assert revoked.revoked_at is not None
    assert [one.id for one in grantex.grants.list(ListGrantsParams(status="active")).grants] == []
    with pytest.raises(GrantexTokenError, match="revoked"):
        grantex.grants.verify(part["grantToken"])
    with pytest.raises(GrantexApiError) as raised:
        grantex.grants.revoke(issued.grant_id)
    assert (raised.value.status_code, raised.value.code) == (404, "NOT_FOUND")


def test_tokens_are_verified_and_refreshed(grantex: Grantex) -> None:
    issued = _issued(grantex, "invoices:read")
    told = grantex.tokens.verify(issued.grant_token)
    agent_id = grantex.grants.get(issued.grant_id).agent_id
    assert (told.valid, told.grant_id, told.scopes, told.principal) == (
        True, issued.grant_id, ("invoices:read",), "user_1",
    )  # fmt: skip
    again = grantex.tokens.refresh(RefreshTokenParams(refresh_token=issued.refresh_token, agent_id=agent_id))
    assert (again.grant_id, again.scopes) == (issued.grant_id, issued.scopes)
    assert again.expires_at >= issued.expires_at
    grantex.grants.revoke(issued.grant_id)
    assert not grantex.tokens.verify(issued.grant_token).valid
    with pytest.raises(GrantexApiError, match="its grant is revoked"):
        grantex.tokens.refresh(RefreshTokenParams(refresh_token=issued.refresh_token, agent_id=agent_id))


def test_a_code_sent_again_after_its_answer_was_lost_is_the_same_grant(grantex: Grantex) -> None:
    agent = grantex.agents.register(name="Billing", scopes=[])
    asked = grantex.authorize(AuthorizeParams(agent_id=agent.id, user_id="user_1", scopes=["read"]))
    assert asked.code is not None
    wanted = ExchangeTokenParams(code=asked.code, agent_id=agent.id)
    assert grantex.tokens.exchange(wanted) == grantex.tokens.exchange(wanted)
    assert len(grantex.grants.list().grants) == 1


@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        (lambda grantex: grantex.tokens.revoke("tok_1"), 404, "NOT_FOUND"),
        (lambda grantex: grantex.audit.checkpoint(), 405, "METHOD_NOT_ALLOWED"),
        (lambda grantex: grantex.agents.keys.list("ag_1"), 404, "NOT_FOUND"),
        (lambda grantex: grantex.agents.keys.challenge("ag_1", "thumbprint"), 404, "NOT_FOUND"),
        (lambda grantex: grantex.rotate_key(), 404, "NOT_FOUND"),
    ],
)
def test_what_an_issuer_of_trust_does_is_refused_in_the_clients_own_error(
    grantex: Grantex, call: Callable[[Grantex], object], status: int, code: str
) -> None:
    with pytest.raises(GrantexApiError) as raised:
        call(grantex)
    assert (raised.value.status_code, raised.value.code) == (status, code)
    assert raised.value.request_id


def test_the_client_reads_how_many_calls_are_left(grantex: Grantex, server: str) -> None:
    grantex.agents.list()
    left = grantex.last_rate_limit
    assert left is not None
    assert (left.limit, left.remaining, left.retry_after) == (6000, 5999, None)
    assert 0 < left.reset <= 60
    with Grantex(api_key=make.api_key(name="few", limit=1), base_url=server, max_retries=0) as few:
        few.agents.list()
        with pytest.raises(GrantexApiError, match="may make 1 calls a minute") as raised:
            few.agents.list()
    assert (raised.value.status_code, raised.value.code) == (429, "RATE_LIMIT_EXCEEDED")
    told = raised.value.rate_limit
    assert told == RateLimit(limit=1, remaining=0, reset=told.reset, retry_after=told.reset)


def test_a_wrong_key_raises_the_clients_own_error(server: str) -> None:
    with Grantex(api_key="gx_live_wrong_wrong", base_url=server) as client, pytest.raises(GrantexAuthError) as raised:
        client.anomalies.list()
    assert (raised.value.status_code, raised.value.code) == (401, "UNAUTHORIZED")


def _acknowledge(anomaly: Anomaly) -> None:
    reviews.acknowledge(anomaly, by=Actor(name="ana"), at=timezone.now())


@pytest.mark.alone
def test_the_event_stream_tells_of_an_acknowledgement(grantex: Grantex) -> None:
    anomaly = make.anomaly()
    _acknowledge(make.anomaly())  # before anybody listens
    _until(OutboxMessage.objects.settled().exists)
    heard: Queue[GrantexEvent] = Queue()
    subscription = grantex.events.subscribe(heard.put, StreamOptions(types=["anomaly.acknowledged"]))
    _until(StreamLease.objects.exists)  # its position is taken by then
    grantex.anomalies.acknowledge(anomaly.public_id)
    event = heard.get(timeout=30)
    assert (event.type, event.data["id"]) == ("anomaly.acknowledged", anomaly.public_id)
    assert event.data["acknowledgedAt"] is not None
    assert event.id.startswith("evt_")
    assert subscription.active
    assert heard.empty()


def _until(condition: Callable[[], bool]) -> None:
    deadline = timezone.now() + timedelta(seconds=30)
    while not condition():
        assert timezone.now() < deadline
