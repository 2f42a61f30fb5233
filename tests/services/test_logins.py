"""services/logins: what detection knows of logins, and what it finds, however they come."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomalies.ingest.record import EventRecord
from anomalies.models import Anomaly
from anomalies.services import counts, logins, scans
from tests.services.days import MONDAY, forget, record, run, store

pytestmark = pytest.mark.django_db

MADRID = {"country": "ES", "city": "Madrid", "latitude": 40.4168, "longitude": -3.7038, "ip": "192.0.2.1"}
HANOI = {"country": "VN", "city": "Hanoi", "latitude": 21.0278, "longitude": 105.8342, "ip": "198.51.100.1"}
TODAY = MONDAY + timedelta(days=20)
NOON = TODAY + timedelta(hours=12)


def _login(time: datetime, number: int = 0, **fields: object) -> EventRecord:
    values = {"principal_id": "ana", "action": "user.login", "user_agent": "Firefox/130.0", **MADRID, **fields}
    return record(time, number, **values)


def _usual(days: int = 20, principal: str = "ana") -> list[EventRecord]:
    return [
        _login(MONDAY + timedelta(days=day, hours=hour), principal_id=principal, agent_id=f"okta:{principal}")
        for day in range(days)
        for hour in (8, 13)
    ]


def _abroad(time: datetime, **fields: object) -> EventRecord:
    return _login(time, **{**HANOI, "user_agent": "curl/8.9", **fields})


def _kept() -> list[tuple[object, ...]]:
    return list(
        Anomaly.objects.filter(type="suspicious_login", merged_into=None)
        .exclude(state=Anomaly.State.WITHDRAWN)
        .order_by("started_at", "entity")
        .values_list("entity", "severity", "description", "started_at", "active_until", "evidence")
    )


def _facts(judge_from: datetime = TODAY, until: datetime = NOON) -> tuple[object, ...]:
    while counts.count_some().batches:
        pass
    return logins.facts({"ana": judge_from, "ben": judge_from}, until=until)


def test_logins_begin_an_hour_before_they_are_judged_with_the_stay_before() -> None:
    times = [TODAY - timedelta(hours=hours) for hours in (40, 30, 25, 22, 0.5)] + [TODAY + timedelta(hours=1)]
    store([_login(time, number, **(HANOI if number == 0 else MADRID)) for number, time in enumerate(times)])
    some, pasts = _facts()
    # Elsewhere, the first and the last of the stay, and then all.
    wanted = [times[number].timestamp() for number in (0, 1, 3, 4, 5)]
    assert [login.time for login in some["ana"]] == wanted  # type: ignore[index]
    assert (some["ana"][1].network, some["ana"][1].device) == ("192.0.2.0", "Firefox")  # type: ignore[index]
    assert pasts["ana"].countries == {"VN": times[0].timestamp(), "ES": times[1].timestamp()}  # type: ignore[index]


def test_who_did_not_log_in_is_not_read() -> None:
    store([*_usual(), record(NOON - timedelta(hours=1), principal_id="ana", action="file.read")])
    assert _facts() == ({}, {})


def test_a_new_country_is_known_to_be_common_by_what_is_settled() -> None:
    others = [
        _abroad(time, principal_id=name)
        for name, time in (("ben", TODAY - timedelta(days=4)), ("cai", TODAY - timedelta(hours=40)))
    ]
    store([*_usual(), *others, _abroad(TODAY + timedelta(hours=2))])
    _, pasts = _facts()
    assert list(pasts["ana"].common.values()) == [0.5]  # type: ignore[index]  ben's of ana and ben; cai is too new


def test_travel_to_a_new_country_is_raised_with_who_where_and_from_which_address() -> None:
    store([*_usual(), _login(NOON), _abroad(NOON + timedelta(minutes=20))])
    run(NOON + timedelta(minutes=21))
    anomaly = Anomaly.objects.get(type="suspicious_login")
    assert (anomaly.principal_id, anomaly.get_severity_display()) == ("ana", "high")
    assert anomaly.evidence["entity"] == "location"
    assert anomaly.evidence["places"] == ["Madrid, ES", "Hanoi, VN"]
    assert anomaly.started_at == NOON + timedelta(minutes=20)


def test_a_login_in_between_that_comes_late_is_judged_with_what_follows() -> None:
    """Two places seven hours apart are two flights, until a login in between shows that they are not."""
    known = [_login(MONDAY + timedelta(days=day, hours=8), **HANOI) for day in (5, 6)]
    usual = [login for login in _usual() if (login.time - MONDAY).days not in (5, 6)]
    store([*usual, *known, _login(NOON - timedelta(hours=14)), _login(NOON, **HANOI)])
    run(NOON + timedelta(minutes=1))
    assert _kept() == []
    store([_login(NOON - timedelta(hours=1))])
    run(NOON + timedelta(hours=40))
    assert [kept[3] for kept in _kept()] == [NOON]


def test_a_late_login_from_the_same_country_explains_a_new_one() -> None:
    store([*_usual(), _abroad(NOON, latitude=None, longitude=None)])
    run(NOON + timedelta(minutes=1))
    assert len(_kept()) == 1
    store([_abroad(NOON - timedelta(hours=30), latitude=None, longitude=None)])
    run(NOON + timedelta(minutes=2))
    assert [kept[3] for kept in _kept()] == [NOON - timedelta(hours=30)]


@pytest.mark.once
def test_replay_finds_what_scans_each_few_hours_find() -> None:
    records = _eventful()
    for hour in range(0, 24 * 23, 3):
        start = MONDAY + timedelta(hours=hour)
        if some := [one for one in records if start <= one.time < start + timedelta(hours=3)]:
            store(some)
            run(start + timedelta(hours=3))
    run(MONDAY + timedelta(days=23))
    live = _kept()
    forget("anomaly")
    scans.replay(now=MONDAY + timedelta(days=23))
    assert _kept() == live
    assert len(live) >= 3


def _eventful() -> list[EventRecord]:
    """Three weeks, and then travel, many addresses and failures, of two users."""
    day = timedelta(days=1)
    return [
        *_usual(),
        *_usual(22, "ben"),
        _login(NOON),
        _abroad(NOON + timedelta(minutes=20)),
        _login(NOON + timedelta(minutes=30)),
        _abroad(NOON + timedelta(hours=3)),
        *[_login(NOON + day + timedelta(minutes=2 * n), n, ip=f"203.0.{n}.5", principal_id="ben") for n in range(12)],
        *[_login(NOON + day + timedelta(minutes=n), n, status="failure") for n in range(9)],
        _abroad(NOON + day + timedelta(minutes=12), principal_id="ben"),
    ]


@pytest.mark.once
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_any_order_batching_duplication_and_delay_give_the_same_anomalies(seed: int) -> None:
    rng = random.Random(seed)
    records = _eventful()
    kept = []
    for disorder in (False, True):
        forget("event", "batch", "sighting", "series", "anomaly")
        for arrival, some in _arrivals(records, rng) if disorder else [(TODAY, records)]:
            store(some)
            run(arrival)
        run(TODAY + timedelta(days=4))
        kept.append(_kept())
    assert kept[0] == kept[1]
    assert len(kept[0]) >= 3


def _arrivals(records: Sequence[EventRecord], rng: random.Random) -> list[tuple[datetime, list[EventRecord]]]:
    """The history at once, then each event up to 47 hours late, some of them twice, by hours of arrival."""
    by_hour: dict[int, list[EventRecord]] = {}
    for one in records:
        for _ in range(rng.choice((1, 1, 2))):
            delay = rng.choice((0, rng.uniform(0, 3600), rng.uniform(0, 47 * 3600)))
            hours = ((one.time - TODAY).total_seconds() + delay) // 3600 + 1
            by_hour.setdefault(max(0, int(hours)), []).append(one)
    return [(TODAY + timedelta(hours=hour), some) for hour, some in sorted(by_hour.items())]
