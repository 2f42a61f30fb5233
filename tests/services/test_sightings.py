"""services/sightings: from where principals log in, whatever the order in which that is heard of."""

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomalies.ingest.record import EventRecord
from anomalies.models import Sighting
from anomalies.services import counts
from tests.services.days import MONDAY, forget, record, run, store

pytestmark = pytest.mark.django_db

MADRID = {"country": "ES", "city": "Madrid", "latitude": 40.4168, "longitude": -3.7038}
ORIGINS = (
    {"ip": "192.0.2.1", **MADRID},
    {"ip": "192.0.2.1", "user_agent": "Firefox/130.0"},
    {"ip": None},
    {"ip": "2001:db8::1", "country": "DE", "status": "failure"},
)


def _login(seconds: float = 0, number: int = 0, **fields: object) -> EventRecord:
    values = {"principal_id": "ana", "action": "user.login", "ip": "192.0.2.1", **fields}
    return record(MONDAY + timedelta(seconds=seconds), number, **values)


def _count() -> None:
    while counts.count_some().batches:
        pass


def test_logins_of_a_day_from_one_origin_are_one_row() -> None:
    store([_login(60 * n, n, **MADRID, user_agent="Firefox/130.0") for n in range(3)])
    _count()
    one = Sighting.objects.get()
    assert (one.principal_id, one.day, one.succeeded, one.ip, one.country) == (
        "ana", date(2026, 10, 5), True, "192.0.2.1", "ES",
    )  # fmt: skip
    assert (one.latitude, one.longitude, one.device, one.logins) == (40.4, -3.7, "Firefox", 3)
    assert (one.first_seen, one.last_seen) == (MONDAY, MONDAY + timedelta(minutes=2))


@pytest.mark.parametrize(
    "other",
    [
        {"ip": "192.0.2.2"}, {"ip": None}, {"country": "DE"}, {"latitude": 1.0, "longitude": 2.0},
        {"user_agent": "Chrome/1"}, {"status": "failure"}, {"principal_id": "ben"}, {"action": "ssh.login"},
        {"seconds": 86400},
    ],
)  # fmt: skip
def test_logins_that_differ_are_two(other: dict[str, object]) -> None:
    store([_login(), _login(**{"number": 1, **other})])  # type: ignore[arg-type]
    _count()
    assert Sighting.objects.count() == 2


def test_a_new_version_of_a_browser_is_no_new_device() -> None:
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/{}.0.0.0 Safari/537.36"
    store([_login(n, n, user_agent=agent.format(120 + n)) for n in range(3)])
    _count()
    assert Sighting.objects.get().device == "Mozilla (Windows NT; Win; x) AppleWebKit Chrome Safari"


def test_a_place_is_told_to_a_tenth_of_a_degree() -> None:
    store([_login(n, n, latitude=40.41 + n / 1000, longitude=-3.70) for n in range(3)])
    _count()
    assert Sighting.objects.count() == 1


def test_what_is_no_login_or_nobodys_is_not_kept() -> None:
    store([_login(action="token.issue"), _login(1, 1, action="user.logout"), _login(2, 2, principal_id=None)])
    _count()
    assert not Sighting.objects.exists()


def test_a_long_user_agent_is_kept_by_its_beginning() -> None:
    store([_login(user_agent="é" * 2000)])
    _count()
    assert Sighting.objects.get().device == "é" * 200


def test_a_crash_while_counting_keeps_nothing_and_the_next_run_all(monkeypatch: pytest.MonkeyPatch) -> None:
    store([_login()])
    with monkeypatch.context() as patched:
        patched.setattr(counts, "_DONE", "SELECT 1 / (%s::int[] IS NULL)::int")
        with pytest.raises(Exception, match="division by zero"):
            counts.count_some()
    assert not Sighting.objects.exists()
    _count()
    assert Sighting.objects.get().logins == 1


@pytest.mark.once
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    told=st.lists(st.tuples(st.integers(0, 3 * 86400), st.integers(0, len(ORIGINS) - 1)), min_size=1, max_size=12),
    data=st.data(),
)
def test_any_order_batching_and_duplication_give_the_same_sightings(
    told: list[tuple[int, int]], data: st.DataObject
) -> None:
    logins = [_login(seconds, number, **ORIGINS[origin]) for number, (seconds, origin) in enumerate(told)]
    kept = []
    for disorder in (False, True):
        forget("event", "batch", "sighting", "series")
        sent = data.draw(st.permutations([*logins, *logins[: len(logins) // 2]])) if disorder else logins
        size = data.draw(st.integers(1, len(sent))) if disorder else len(sent)
        for start in range(0, len(sent), size):
            store(sent[start : start + size])
            if disorder and data.draw(st.booleans()):
                _count()
        _count()
        kept.append(sorted(map(str, Sighting.objects.values_list(*[f.name for f in Sighting._meta.fields[1:]]))))
    assert kept[0] == kept[1]


def test_logins_are_seen_however_their_action_is_counted() -> None:
    store([record(MONDAY, n, action="tenant/42/login", principal_id="ana", ip="192.0.2.1") for n in range(2)])
    run(MONDAY + timedelta(minutes=1))
    assert Sighting.objects.get().logins == 2
