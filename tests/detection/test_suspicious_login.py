"""detection/detectors/suspicious_login."""

import dataclasses
import random
from collections.abc import Iterable
from ipaddress import ip_network

import numpy as np
import pytest

from anomalies.detection.detectors.suspicious_login import Config, detect
from anomalies.detection.finding import HIGH, LOW, MEDIUM, Finding
from anomalies.detection.history import DAY, HOUR, History, Login, Origin, Past
from tests.detection import build

DAYS = 29
TODAY = build.START + (DAYS - 1) * DAY
PLACES = {
    "Madrid": ("ES", (40.4168, -3.7038)),
    "Toledo": ("ES", (39.8628, -4.0273)),  # 68 km from Madrid
    "Barcelona": ("ES", (41.3874, 2.1686)),  # 505 km
    "New York": ("US", (40.7128, -74.006)),  # 5,768 km
    "Hanoi": ("VN", (21.0278, 105.8342)),
}


def _login(
    hour: float,
    city: str = "Madrid",
    *,
    day: int = DAYS - 1,
    ip: str = "",
    device: str = "Firefox",
    succeeded: bool = True,
    located: bool = True,
) -> Login:
    country, place = PLACES[city]
    ip = ip or f"192.0.{list(PLACES).index(city)}.1"
    network = str(ip_network(f"{ip}/{48 if ':' in ip else 24}", strict=False).network_address)
    where = place if located else None
    return Login(build.START + day * DAY + hour * HOUR, succeeded, ip, network, country, city, where, device)


def _usual(days: Iterable[int] = range(DAYS - 1)) -> list[Login]:
    """Two logins a day at the office in Madrid."""
    return [_login(hour, day=day) for day in days for hour in (8, 13)]


def _visited(city: str, *days: int) -> list[Login]:
    """The same, but on some days in another city."""
    return [*_usual(set(range(DAYS - 1)) - set(days)), *[_login(12, city, day=day) for day in days]]


def _past(logins: list[Login], common: float) -> Past:
    days: dict[tuple[object, ...], list[Login]] = {}
    for one in logins:
        key = (int(one.time // DAY), one.succeeded, one.ip, one.network, one.country, one.place, one.device)
        days.setdefault(key, []).append(one)
    succeeded = [one for one in logins if one.succeeded]
    countries = {one.country: one.time for one in sorted(succeeded, key=lambda one: -one.time)}
    return Past(
        first_day=min(int(one.time // DAY) for one in succeeded),
        origins=[
            Origin(key[0], min(o.time for o in some), max(o.time for o in some), len(some), *key[1:])  # type: ignore[arg-type]
            for key, some in days.items()
        ],
        countries=countries,
        common={(country, int(time // DAY)): common for country, time in countries.items()},
    )


def _history(logins: list[Login], *, common: float = 0.0, counts: int = 0) -> History:
    hourly = np.zeros((1, 24 * DAYS), dtype=int)
    hourly[0, -24:] = counts
    ordered = sorted(logins, key=lambda one: one.time)
    return dataclasses.replace(
        build.history(hourly, kind="principal", entities=["ana"]),
        logins={"ana": [one for one in ordered if one.time >= TODAY - 23 * HOUR]},
        pasts={"ana": _past(ordered, common)},
    )


def _found(*today: Login, before: list[Login] | None = None, common: float = 0.0, counts: int = 0) -> list[Finding]:
    usual = _usual() if before is None else before
    return detect(_history([*usual, *today], common=common, counts=counts), Config())


def test_a_user_at_work_as_ever_is_not_raised() -> None:
    assert _found(_login(8), _login(13)) == []


def test_madrid_and_new_york_within_an_hour_is_travel() -> None:
    [finding] = _found(_login(9), _login(10, "New York"), before=_visited("New York", 10, 11))
    assert finding.severity == LOW  # from a known device
    assert finding.description == "Login from New York, US, 5,768 km from Madrid, ES, 1 hour later"
    assert finding.evidence["entity"] == "location"
    assert [sign["sign"] for sign in finding.evidence["signs"]] == ["travel"]
    assert finding.evidence["places"] == ["Madrid, ES", "New York, US"]
    assert finding.evidence["observed"] == pytest.approx(5770, abs=5)
    assert finding.start == finding.raised_at == TODAY + 10 * HOUR


def test_travel_to_a_new_country_from_a_new_device_is_high() -> None:
    [finding] = _found(_login(9), _login(9.5, "Hanoi", device="curl"))
    assert finding.severity == HIGH
    assert {sign["sign"] for sign in finding.evidence["signs"]} == {"travel", "new_country"}
    assert finding.evidence["countries"] == ["ES", "VN"]
    assert finding.evidence["addresses"] == ["192.0.0.1", "192.0.4.1"]


@pytest.mark.parametrize(
    ("hours", "city", "raised"),
    [
        (0.0, "Barcelona", True),  # in the same second
        (0.5, "Barcelona", True),  # 1,010 km/h
        (0.6, "Barcelona", False),  # 842 km/h
        (0.0, "Toledo", False),  # too near to be told apart
        (6.0, "New York", True),
        (6.5, "New York", False),  # 888 km/h
    ],
)
def test_travel_begins_above_900_kmh_and_150_km(hours: float, city: str, raised: bool) -> None:
    known = _visited(city, 9, 10)  # so that the country is not new
    found = _found(_login(9), _login(9 + hours, city, device=""), before=known)
    assert bool(found) == raised


def test_travel_needs_successes_with_coordinates() -> None:
    known = _visited("New York", 10)
    assert _found(_login(9), _login(9.5, "New York", succeeded=False), before=known) == []
    assert _found(_login(9), _login(9.5, "New York", located=False), before=known) == []
    assert _found(_login(9, located=False), _login(9.5, "New York"), before=known) == []


def test_vpn_beside_the_office_is_known_from_its_first_day_on() -> None:
    vpn = [login for day in (3, 4) for login in (_login(8.2, "New York", day=day), _login(8.4, day=day))]
    assert _found(_login(8), _login(8.1, "New York"), _login(8.2), before=[*_usual(), *vpn]) == []


def test_a_new_vpn_from_the_usual_device_does_not_page_and_is_told_once_a_day() -> None:
    found = _found(*[_login(8 + n / 2, ("Madrid", "New York")[n % 2]) for n in range(16)])
    assert [finding.severity for finding in found] == [LOW]


def test_mobile_users_change_addresses_all_the_time() -> None:
    rng = random.Random(1)

    def login(hour: float, day: int) -> Login:
        return _login(hour, day=day, ip=f"100.{rng.randrange(64, 128)}.{rng.randrange(256)}.{rng.randrange(256)}")

    before = [login(8 + n, day) for day in range(DAYS - 1) for n in range(8)]
    assert _found(*[login(8 + n / 8, DAYS - 1) for n in range(8)], before=before) == []


@pytest.mark.parametrize("days", [range(DAYS - 7, DAYS - 1), range(0, DAYS - 1, 4)])
def test_newcomers_and_rare_guests_are_not_raised(days: range) -> None:
    storm = [_login(9 + n / 20, "Hanoi", device="curl", ip=f"198.51.{n}.1", succeeded=n % 2 == 0) for n in range(30)]
    assert _found(_login(8.9), *storm, before=_usual(days)) == []


@pytest.mark.parametrize(
    ("device", "common", "severity"),
    [("Firefox", 0.0, LOW), ("", 0.0, LOW), ("curl", 0.0, MEDIUM), ("curl", 0.8, LOW), ("Firefox", 0.8, None)],
)
def test_a_new_country_by_device_and_by_how_many_come_from_there(
    device: str, common: float, severity: int | None
) -> None:
    found = _found(_login(20, "Hanoi", device=device, located=False), common=common)
    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_a_new_country_is_explained() -> None:
    [finding] = _found(_login(20, "Hanoi", device="curl", located=False))
    assert finding.description == "First login from VN"
    assert finding.evidence["why"] == (
        "Signed in from VN for the first time, from a device never seen; of 56 logins in 28 days, 0.88 % at most were "
        "as new."
    )


def test_who_is_in_a_new_country_each_week_is_not_raised_for_one_more() -> None:
    trips = [_login(20, city, day=day) for day, city in ((3, "New York"), (11, "Hanoi"))]
    before = [*_usual(range(0, DAYS - 1, 2)), *trips]
    fifth = dataclasses.replace(_login(22), country="FR", ip="198.51.100.1", network="198.51.100.0", place=None)
    assert _found(fifth, before=before) == []


def test_a_failed_login_from_abroad_is_no_new_country_and_teaches_none() -> None:
    failed = _login(20, "Hanoi", day=20, succeeded=False)
    assert _found(_login(20, "Hanoi", succeeded=False, located=False)) == []
    assert len(_found(_login(20, "Hanoi", device="curl", located=False), before=[*_usual(), failed])) == 1


def test_many_networks_in_an_hour_are_raised_by_address() -> None:
    [finding] = _found(*[_login(9 + n / 20, ip=f"198.51.{n}.7") for n in range(12)])
    assert finding.evidence["entity"] == "ip"
    assert finding.description == "Logins from 12 networks in an hour, 1.1 usual"
    assert finding.severity >= MEDIUM
    assert len(finding.evidence["networks"]) == 12


@pytest.mark.parametrize("ip", ["198.51.100.{}", "2001:db8:1:{}::1"])
def test_addresses_of_one_network_count_once(ip: str) -> None:
    assert _found(*[_login(9 + n / 50, ip=ip.format(n)) for n in range(40)]) == []


def test_failed_logins_beyond_the_users_own_are_raised() -> None:
    [finding] = _found(*[_login(9 + n / 20, succeeded=False) for n in range(9)])
    assert finding.evidence["entity"] == "user"
    assert finding.description == "9 failed logins in an hour, 0.08 a day usual"
    assert finding.start == TODAY + 9 * HOUR


def test_who_fails_often_is_held_against_that() -> None:
    before = [*_usual(), *[_login(9 + n / 10, day=day, succeeded=False) for day in range(DAYS - 1) for n in range(9)]]
    assert _found(*[_login(9 + n / 20, succeeded=False) for n in range(9)], before=before) == []


def test_failures_that_are_most_of_what_is_done_are_left_to_the_failure_rate() -> None:
    failures = [_login(9 + n / 20, succeeded=False) for n in range(9)]
    assert _found(*failures, counts=12) == []
    assert len(_found(*failures, counts=200)) == 1


def test_distinct_signs_of_one_hour_are_one_finding_a_level_higher() -> None:
    abroad = _login(9.6, "Hanoi", located=False)
    failures = [_login(9 + n / 20, succeeded=False) for n in range(8)]
    known = [*_usual(), *[_login(20, day=day, succeeded=False) for day in range(0, DAYS - 1, 2)]]
    [one], [other], [both] = (_found(*logins, before=known) for logins in ([abroad], failures, [*failures, abroad]))
    assert {sign["sign"] for sign in both.evidence["signs"]} == {"new_country", "failures"}
    assert both.severity == max(one.severity, other.severity) + 1


def test_signs_two_hours_apart_are_two() -> None:
    other = dataclasses.replace(_login(11.1, located=False), country="FR", ip="198.51.100.1", network="198.51.100.0")
    assert len(_found(_login(9, "Hanoi", located=False), other)) == 2


def test_the_users_own_return_from_what_was_suspicious_is_not_told_again() -> None:
    abroad = [_login(9.5 + n / 10, "Hanoi", device="curl") for n in range(4)]
    [finding] = _found(_login(9), *abroad, _login(14))
    assert finding.evidence["places"] == ["Madrid, ES", "Hanoi, VN"]


def test_a_return_from_what_nobody_told_is_travel() -> None:
    slowly = [_login(4, "New York", device="curl"), _login(7)]
    [finding] = _found(*slowly, before=_visited("New York", 10))
    assert finding.description == "Login from Madrid, ES, 5,768 km from New York, US, 3 hours later"


def test_what_comes_later_changes_nothing_said_of_before() -> None:
    first = [_login(8), _login(9, "New York", device="curl")]
    later = [_login(15, "New York"), _login(15.5), _login(16, "Hanoi", device="curl")]
    [alone] = _found(*first)
    assert _found(*first, *later)[0] == dataclasses.replace(alone)


def test_yesterdays_are_not_raised_again() -> None:
    yesterday = _login(20, "Hanoi", day=DAYS - 2, device="curl")
    assert _found(_login(19.9), before=[*_usual(), yesterday]) == []


def test_equal_logins_in_any_order_give_equal_findings() -> None:
    logins = [*_usual(), _login(9), *[_login(9.5, city, device="curl") for city in ("Hanoi", "New York")]]
    history = _history(logins)
    shuffled = dataclasses.replace(
        history, pasts={"ana": dataclasses.replace(history.pasts["ana"], origins=history.pasts["ana"].origins[::-1])}
    )
    assert detect(history, Config()) == detect(shuffled, Config())
