"""ingest/simulated: the same organisation, in whatever slices it is looked at."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anomalies.detection.registry import DETECTORS
from anomalies.ingest.access_request import AccessRequestRecord
from anomalies.ingest.fields import event_record
from anomalies.ingest.record import ReadOptions
from anomalies.ingest.simulated import Kind, Organisation, requests
from anomalies.ingest.simulated.cast import Rhythm

NOW = datetime(2026, 11, 20, 12, 7, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def test_the_same_seed_gives_the_same_events_and_another_seed_others() -> None:
    first, same, other = (list(Organisation(seed=seed).events(NOW - DAY, NOW)) for seed in (3, 3, 4))
    assert first == same
    assert not {event.external_id for event in first} & {event.external_id for event in other}


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 6 * 3600), max_size=5), seed=st.integers(0, 5))
def test_any_slicing_of_time_gives_the_same_events(cuts: list[int], seed: int) -> None:
    start = NOW - timedelta(hours=6)
    edges = [start, *(start + timedelta(seconds=cut) for cut in sorted(cuts)), NOW]
    sliced = [
        event
        for first, last in pairwise(edges)
        for event in Organisation(agents=8, seed=seed, finale=NOW).events(first, last)
    ]
    assert sliced == list(Organisation(agents=8, seed=seed, finale=NOW).events(start, NOW))


def test_events_come_by_time_with_ids_of_their_own() -> None:
    events = list(Organisation(finale=NOW).events(NOW - DAY, NOW))
    times = [event.time for event in events]
    assert times == sorted(times)
    assert times[0] >= NOW - DAY
    assert times[-1] < NOW
    assert len({event.external_id for event in events}) == len(events)


def test_a_month_has_between_100_000_and_200_000_events_of_all_agents_few_of_them_refused() -> None:
    organisation = Organisation(seed=1)
    events = list(organisation.events(NOW - 30 * DAY, NOW))
    assert 100_000 < len(events) < 200_000
    assert {event.agent_id for event in events} == {agent.id for agent in organisation.agents} | {requests.AGENT}
    refused = sum(event.status != "success" for event in events) / len(events)
    assert 0.01 < refused < 0.06


def test_all_records_are_such_as_the_native_format_accepts() -> None:
    options = ReadOptions(now=NOW)
    for event in Organisation(finale=NOW).events(NOW - timedelta(hours=8), NOW):
        fields = msgspec.to_builtins(event)
        assert event_record({"id": fields.pop("external_id"), **fields}, options) == event


@pytest.mark.parametrize("seed", range(4))
def test_a_month_has_incidents_of_every_type_and_at_least_two_in_its_last_day(seed: int) -> None:
    organisation = Organisation(seed=seed, finale=NOW)
    incidents = organisation.incidents(NOW - 30 * DAY, NOW)
    assert {incident.type for incident in incidents} == set(DETECTORS) - {"custom_rule"}  # of which people make theirs
    assert {incident.kind for incident in incidents} == set(Kind)
    assert 34 <= len(incidents) <= 48
    assert sum(incident.start >= NOW - DAY for incident in incidents) >= 2


def test_incidents_go_on_after_the_month() -> None:
    assert Organisation(finale=NOW).incidents(NOW + 3 * DAY, NOW + 9 * DAY)


def test_incidents_do_not_depend_on_the_span_that_is_asked_for() -> None:
    organisation = Organisation()
    whole = organisation.incidents(NOW - 30 * DAY, NOW)
    for incident in whole:
        assert incident in organisation.incidents(incident.start, incident.start + timedelta(seconds=1))


def test_a_brute_force_is_many_failures_from_one_address_over_users_with_a_success_at_the_end() -> None:
    organisation = Organisation(finale=NOW)
    incident = next(one for one in organisation.incidents(NOW - DAY, NOW) if one.kind == Kind.BRUTE_FORCE)
    events = [event for event in organisation.events(NOW - DAY, NOW) if event.ip == incident.source_ip]
    assert 21 <= len(events) <= 151
    assert {event.status for event in events[:-1]} == {"failure"}
    assert events[-1].status == "success"
    assert len({event.principal_id for event in events}) > 5
    assert all(incident.start <= event.time < incident.end for event in events)


def test_a_new_principal_is_one_the_agent_never_met() -> None:
    organisation = Organisation(finale=NOW)
    incident = next(one for one in organisation.incidents(NOW - DAY, NOW) if one.kind == Kind.NEW_PRINCIPAL)
    met = [
        event
        for event in organisation.events(NOW - 5 * DAY, NOW)
        if (event.agent_id, event.principal_id) == (incident.agent_id, incident.principal_id)
    ]
    assert met
    assert all(incident.start <= event.time < incident.end for event in met)
    assert {event.ip for event in met} == {incident.source_ip}


def test_off_hours_are_at_two_in_the_morning_where_the_agent_works() -> None:
    organisation = Organisation()
    incidents = [one for one in organisation.incidents(NOW - 60 * DAY, NOW) if one.kind == Kind.OFF_HOURS]
    assert len(incidents) >= 5
    for incident in incidents:
        agent = organisation.agents[incident.agent]
        assert agent.rhythm == Rhythm.OFFICE
        assert incident.start.astimezone(ZoneInfo(agent.place.zone)).hour == 2


def test_an_agent_in_trouble_is_refused_three_times_in_five() -> None:
    organisation = Organisation(finale=NOW)
    incident = next(one for one in organisation.incidents(NOW - 30 * DAY, NOW) if one.kind == Kind.HIGH_FAILURE_RATE)
    statuses = Counter(
        event.status == "success"
        for event in organisation.events(incident.start, incident.end)
        if event.agent_id == incident.agent_id
    )
    assert 0.4 < statuses[False] / statuses.total() < 0.8


@pytest.mark.parametrize("seed", range(4))
def test_a_silence_is_four_hours_of_work_without_an_event_after_two_weeks_with_them(seed: int) -> None:
    organisation = Organisation(seed=seed, finale=NOW)
    silences = [one for one in organisation.incidents(NOW - 16 * DAY, NOW) if one.kind == Kind.SILENCE]
    assert silences
    for silence in silences:
        agent = organisation.agents[silence.agent]
        around = list(organisation.events(silence.start - 4 * HOUR, silence.end))
        mine = [event.time for event in around if event.agent_id == agent.id]
        assert mine
        assert max(mine) < silence.start
        assert silence.end - silence.start == 4 * HOUR
        assert all(organisation.rate(agent, int(silence.start.timestamp() // 3600) + n) > 20 for n in range(4))


@pytest.mark.parametrize(("dispersion", "low", "high"), [(0.0, 0.85, 1.15), (0.5, 3.0, 30.0)])
def test_dispersion_is_how_much_hours_differ_beyond_chance(dispersion: float, low: float, high: float) -> None:
    organisation = Organisation(agents=1, seed=2, dispersion=dispersion)
    ratios = []
    for week in range(300):  # the same hour of the week, so nearly the same mean
        begin = NOW.replace(minute=0) - 7 * week * DAY
        if not organisation.incidents(begin, begin + HOUR):
            events = organisation.events(begin, begin + HOUR)
            count = sum(event.external_id.startswith("sim-2-0-") for event in events)  # of the agent itself
            mean = organisation.rate(organisation.agents[0], int(begin.timestamp() // 3600))
            ratios.append((count - mean) ** 2 / mean)
    assert low < float(np.mean(ratios)) < high


def _requests(organisation: Organisation, kind: Kind) -> list[AccessRequestRecord]:
    incident = next(one for one in organisation.incidents(NOW - DAY, NOW) if one.kind == kind)
    told = [
        event
        for event in [*organisation.before(NOW - DAY, NOW), *organisation.events(incident.start, incident.end)]
        if event.agent_id in (requests.AGENT, requests.FORMER_AGENT) and event.principal_id == incident.principal_id
    ]
    records = [AccessRequestRecord.from_metadata(event.metadata) for event in told]
    return [record for record in records if record is not None and f"-i{incident.number}" in record.id]


@pytest.mark.parametrize(
    ("kind", "known"), [(Kind.RISKY_REQUEST, 1), (Kind.CONTRADICTED, 2), (Kind.RETURN, 2), (Kind.REQUEST_LOOP, 12)]
)
def test_access_requests_go_wrong_within_their_incident(kind: Kind, known: int) -> None:
    assert len({record.id for record in _requests(Organisation(finale=NOW), kind)}) >= known


def test_before_the_month_are_the_few_events_that_returns_rest_on() -> None:
    before = Organisation(finale=NOW).before(NOW - 30 * DAY, NOW)
    assert 4 <= len(before) <= 20
    assert all(event.time < NOW - 90 * DAY for event in before)


def test_users_ask_for_access_on_work_days_and_most_of_it_is_granted() -> None:
    organisation = Organisation()
    events = [one for one in organisation.events(NOW - 10 * DAY, NOW) if one.agent_id == requests.AGENT]
    actions = Counter(event.action.removeprefix("access_request.") for event in events)
    assert actions["created"] > 30
    assert 0 < actions["rejected"] < actions["granted"] <= actions["approved"]


def test_one_zone_for_all_is_kept_by_all() -> None:
    organisation = Organisation(zone="UTC")
    assert {agent.place.zone for agent in organisation.agents} == {"UTC"}
    weekend = list(organisation.events(datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)))
    office = {agent.id for agent in organisation.agents if agent.rhythm == Rhythm.OFFICE}
    assert not office & {event.agent_id for event in weekend if not event.external_id.startswith("sim-1-i")}


def test_volume_scales_the_events() -> None:
    usual, double = (sum(1 for _ in Organisation(volume=volume).events(NOW - DAY, NOW)) for volume in (1.0, 2.0))
    assert 1.7 < double / usual < 2.3


@pytest.mark.parametrize("agents", [1, 2, 45])
def test_small_and_large_organisations_have_incidents_too(agents: int) -> None:
    organisation = Organisation(agents=agents, principals=3, finale=NOW)
    assert len({agent.id for agent in organisation.agents}) == agents
    assert organisation.incidents(NOW - 30 * DAY, NOW)
    assert list(organisation.events(NOW - DAY, NOW))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"agents": 0}, "agents: 1 to 10,000"), ({"principals": 1}, "principals: 2 to"), ({"seed": -1}, "seed: 0 or")],
)
def test_an_impossible_organisation_is_refused(wrong: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Organisation(**wrong)
