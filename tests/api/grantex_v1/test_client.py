"""The unmodified `grantex` client against a running server."""

from collections.abc import Iterator
from datetime import timedelta
from queue import Queue

import pytest
from django.utils import timezone
from grantex import Grantex, GrantexApiError, GrantexAuthError
from grantex._types import ListAuditParams
from grantex.resources._events import GrantexEvent, StreamOptions

from anomalies.models import Anomaly, ReviewEntry, StreamLease
from anomalies.services import reviews
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


def test_the_event_stream_tells_of_an_acknowledgement(grantex: Grantex) -> None:
    anomaly = make.anomaly()
    _acknowledge(make.anomaly())  # before anybody listens
    events: Queue[GrantexEvent] = Queue()
    subscription = grantex.events.subscribe(events.put, StreamOptions(types=["anomaly.acknowledged"]))
    _listening()
    grantex.anomalies.acknowledge(anomaly.public_id)
    event = events.get(timeout=30)
    assert (event.type, event.data["id"]) == ("anomaly.acknowledged", anomaly.public_id)
    assert event.data["acknowledgedAt"] is not None
    assert event.id.startswith("evt_")
    assert subscription.active
    assert events.empty()


def _listening() -> None:
    """Wait until a stream is open: its position is taken by then."""
    deadline = timezone.now() + timedelta(seconds=30)
    while not StreamLease.objects.exists():
        assert timezone.now() < deadline
