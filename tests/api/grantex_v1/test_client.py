"""The unmodified `grantex` client against a running server."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from queue import Queue

import pytest
from django.utils import timezone
from grantex import Grantex, GrantexApiError, GrantexAuthError
from grantex._types import ListAuditParams
from grantex.resources._events import GrantexEvent, StreamOptions

from anomalies.ingest.record import EventRecord
from anomalies.models import Anomaly, OutboxMessage, ReviewEntry, StreamLease
from anomalies.services import events, reviews
from anomalies.services.actor import Actor
from tests import make

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


def test_an_id_with_slashes_survives_the_clients_encoding(grantex: Grantex) -> None:
    _log(grantex, agent_id="team/agent one")
    assert grantex.agents.get("team/agent one").id == "team/agent one"


def test_the_response_policy_is_read_and_set(grantex: Grantex) -> None:
    assert grantex.anomalies.get_response_policy() == "alert_only"
    assert grantex.anomalies.set_response_policy("revoke_agent_grants") == "revoke_agent_grants"
    assert grantex.anomalies.get_response_policy() == "revoke_agent_grants"


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
