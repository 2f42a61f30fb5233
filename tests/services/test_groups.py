"""services/histories: by which agents of its group a newcomer is judged."""

from datetime import datetime, timedelta

import pytest

from anomalies.detection.history import History
from anomalies.ingest.record import EventRecord
from anomalies.models import Anomaly, Series
from anomalies.services import counts, histories
from tests import make
from tests.services.days import MONDAY, burst, record, run, store

pytestmark = pytest.mark.django_db

CAME = MONDAY + timedelta(days=10, hours=9)


def _member(agent: str, *, days: int = 10) -> list[EventRecord]:
    """Two events an hour."""
    return [record(MONDAY + timedelta(minutes=30 * n), n, agent_id=agent) for n in range(48 * days)]


def _group(*agents: str) -> None:
    for agent in agents:
        make.agent(agent, group="importers")
        store(_member(agent))


def _history(*agents: str, came: datetime = CAME) -> History:
    counts.count_some()
    windows = [histories.Window(agent, came, came, came + timedelta(hours=1)) for agent in agents]
    return histories.load(Series.Kind.AGENT, windows, until=came + timedelta(hours=2))


@pytest.mark.parametrize(("group", "found"), [("importers", 1), ("", 0), ("exporters", 0)])
def test_a_newcomer_is_held_against_its_own_group(group: str, found: int) -> None:
    _group("ag_1", "ag_2", "ag_3", "ag_4", "ag_5")
    make.agent("ag_new", group=group)
    store(burst(CAME, 200, seconds=15, agent_id="ag_new"))
    run(CAME + timedelta(hours=2))
    assert Anomaly.objects.filter(type="rate_spike", entity="ag_new").count() == found


def test_members_are_read_by_the_hour_from_their_first_event_on() -> None:
    _group("ag_1", "ag_2")
    make.agent("ag_new", group="importers")
    store(burst(CAME, 7, agent_id="ag_new"))
    peers = _history("ag_new").peers["ag_new"]
    by_member = dict(zip(peers.requests.sum(axis=1).tolist(), peers.first_time.tolist(), strict=True))
    assert by_member == {480: MONDAY.timestamp(), 7: CAME.timestamp()}
    assert peers.requests.max() == 7
    assert (peers.group, len(peers.requests)) == ("importers", 3)


def test_whoever_is_judged_with_a_newcomer_does_not_change_its_group() -> None:
    _group("ag_1", "ag_2")
    for agent in ("ag_new", "ag_other"):
        make.agent(agent, group="importers")
        store(burst(CAME, 7, agent_id=agent))
    alone, together = _history("ag_new").peers, _history("ag_other", "ag_new").peers
    assert together["ag_new"] is together["ag_other"]
    assert (alone["ag_new"].requests == together["ag_new"].requests).all()


def test_of_a_large_group_the_same_members_count_whoever_did_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "MOST_PEERS", 1)
    make.agent("ag_2", group="importers")  # first by its hash
    _group("ag_1")
    make.agent("ag_new", group="importers")
    store(burst(CAME, 7, agent_id="ag_new"))
    assert _history("ag_new").peers == {}
    store(_member("ag_2"))
    assert _history("ag_new").peers["ag_new"].requests.sum(axis=1).tolist() == [480]


def test_an_agent_known_for_long_needs_no_group() -> None:
    _group("ag_1", "ag_2")
    window = histories.Window("ag_1", CAME, CAME - timedelta(days=40), CAME)
    counts.count_some()
    assert histories.load(Series.Kind.AGENT, [window], until=CAME).peers == {}
