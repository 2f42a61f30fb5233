"""detection/detectors/access_automation."""

import pytest

from anomalies.detection.detectors.access_automation import DETECTOR, Config
from anomalies.detection.finding import HIGH, LOW, MEDIUM, Finding
from anomalies.detection.request import AccessRequest, Unit
from tests.detection import build
from tests.detection.requests import DAY, HOUR, ORDERS, TODAY, every, found, request

TABLES = [Unit("postgres-eu", f"table-{n}", "database", "read") for n in range(40)]
IRREGULAR = (0, 1, 9, 11, 40, 41, 59)  # minutes


def _at(*minutes: float, unit: Unit = ORDERS) -> list[AccessRequest]:
    return [request(str(n), TODAY + minute / 1440, unit) for n, minute in enumerate(minutes)]


def _bot(
    days: int, *, a_day: int = 6, hour: float = 2.0, unit: Unit = ORDERS, last: float = TODAY
) -> list[AccessRequest]:
    """A service account that asks so often each night, ten minutes apart."""
    return [
        one for day in range(days) for one in every(10, a_day, unit, day=last - day + hour / 24, start=1000 * (day + 1))
    ]


@pytest.mark.parametrize(
    ("minutes", "raised"),
    [
        (IRREGULAR[:5], True),
        (IRREGULAR[:4], False),
        ((0, 15, 30, 45, 59.9), True),
        ((0, 15, 30, 45, 60.1), False),
        ((0, 16, 32, 48, 64, 80, 96), False),
        ((0, 0, 0, 0, 0), True),
    ],
)
def test_five_similar_requests_within_an_hour(minutes: tuple[float, ...], raised: bool) -> None:
    assert bool(found(DETECTOR, *_at(*minutes))) == raised


@pytest.mark.parametrize(
    ("units", "raised"),
    [
        (TABLES[:5], True),  # the permission in common
        ([Unit("postgres-eu", "orders", "database", f"p{n}") for n in range(5)], True),  # the resource in common
        ([Unit("postgres-eu", f"t{n}", "database", f"p{n}") for n in range(5)], False),
        ([Unit(f"postgres-{n}", "orders", "database", "read") for n in range(5)], False),
        ([Unit("postgres-eu", "orders", f"type-{n}", "read") for n in range(5)], False),
        ([Unit("postgres-eu", f"t{n}", "database", f"p{n % 2}") for n in range(8)], False),
    ],
)
def test_similar_is_one_integration_and_type_with_a_resource_or_permission_in_common(
    units: list[Unit], raised: bool
) -> None:
    assert bool(found(DETECTOR, *every(5, len(units), *units))) == raised


def _signs(some: list[AccessRequest]) -> tuple[int, list[str]]:
    [one] = found(DETECTOR, *some)
    return one.severity, one.evidence["signs"]


def test_regularity_repetition_and_number_raise_it() -> None:
    assert _signs(_at(*IRREGULAR)) == (LOW, ["for the same each time"])
    assert _signs(every(10, 5)) == (MEDIUM, ["at regular intervals of 10 minutes", "for the same each time"])
    assert _signs(every(10, 6, *TABLES)) == (MEDIUM, ["at regular intervals of 10 minutes", "for 6 resources in turn"])
    assert _signs(every(2, 20))[0] == HIGH
    severity, signs = _signs(every(12, 5 * 18))
    assert (severity, signs[-1]) == (HIGH, "in 18 hours of a day")


def test_scores_rise_with_the_signs() -> None:
    scores = [found(DETECTOR, *some)[0].score for some in (_at(*IRREGULAR), every(10, 5), every(2, 20))]
    assert scores == sorted(set(scores))


def test_a_run_goes_on_while_it_is_dense_and_ends_with_an_hour_of_quiet() -> None:
    first, second = every(10, 12), every(10, 12, day=TODAY + 4 / 24, start=50)
    some = found(DETECTOR, *first, *second)
    assert [(one.start, one.end) for one in some] == [
        (first[0].time, first[-1].time + 1),
        (second[0].time, second[-1].time + 1),
    ]
    assert some[0].raised_at == first[4].time
    assert some[0].evidence["observed"] == 6


def test_what_is_asked_of_several_systems_is_several() -> None:
    other = Unit("aws", "logs", "bucket", "read")
    some = found(DETECTOR, *every(10, 6), *every(10, 6, other, start=50))
    assert [one.topic for one in some] == ["aws/bucket", "postgres-eu/database"]
    assert [one.integration for one in some] == ["aws", "postgres-eu"]


def test_it_says_how_many_and_how_regular() -> None:
    [one] = found(DETECTOR, *every(10, 6))
    assert one.description == "6 similar requests in 1 hour to postgres-eu database, at regular intervals"
    assert one.evidence["why"] == (
        "ana made 6 similar requests to postgres-eu database within 1 hour, at regular intervals of 10 minutes and for "
        "the same each time. From 5 in 1 hour on they count as made by code; in the 14 days before there were none. "
        "The gaps deviate by 0 % of their mean."
    )
    assert (one.evidence["request_id"], one.evidence["gap_cv"]) == ("req_0", pytest.approx(0, abs=1e-6))
    assert one.evidence["p"] < 1e-9


def _changes(*some: AccessRequest) -> list[Finding]:
    return found(DETECTOR, *some)


def test_a_service_account_regular_for_14_days_is_its_own_pattern() -> None:
    assert not _changes(*_bot(16))
    assert not _changes(*_bot(16, a_day=8)[:8], *_bot(16)[6:])  # a few more than usual
    assert _changes(*_bot(12))


def test_a_service_account_may_rest_at_weekends() -> None:
    workdays = [one for one in _bot(20) if int((one.time - build.START) // DAY) % 7 < 5]
    assert workdays[0].time >= build.START + TODAY * DAY  # a Tuesday
    assert not _changes(*workdays)


def test_a_change_of_a_service_account_is_the_anomaly() -> None:
    [more] = _changes(*every(3, 18, day=TODAY + 2 / 24), *_bot(15, last=TODAY - 1))
    assert (more.evidence["usual"], more.evidence["observed"], more.evidence["upper"]) == (6, 18, 9)
    assert "On most of the 14 days before, this account made 6 in 1 hour." in more.evidence["why"]
    [other] = _changes(*_bot(16), *every(10, 6, Unit("postgres-eu", "ledger", "database", "write"), start=1))
    assert other.evidence["usual"] == 0


def test_one_busy_day_makes_no_pattern() -> None:
    assert _changes(*every(10, 6), *every(10, 6, day=TODAY - 1, start=50), *every(10, 6, day=TODAY - 20, start=90))


def test_a_bot_without_rest_becomes_its_own_pattern_after_14_days() -> None:
    some = every(10, 6 * 24 * 29, day=0.5)
    [one] = found(DETECTOR, *some, judge_days=30)
    assert one.start == some[0].time
    assert 13 * DAY <= one.end - one.start <= 14 * DAY + HOUR
    assert not found(DETECTOR, *some)


def test_what_is_found_does_not_depend_on_from_when_is_judged() -> None:
    some = [*every(10, 40, day=TODAY - 0.1), *_at(*IRREGULAR, unit=TABLES[0])]
    late, early = found(DETECTOR, *some, judge_days=1), found(DETECTOR, *some, judge_days=5)
    assert late
    assert late == [one for one in early if one in late]


def test_the_number_and_the_window_are_set() -> None:
    assert found(DETECTOR, *_at(0, 1, 9), config=Config(min_requests=3))
    assert not found(DETECTOR, *_at(0, 3, 6, 9, 12), config=Config(window_minutes=10))
