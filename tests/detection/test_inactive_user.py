"""detection/detectors/inactive_user."""

import pytest

from anomalies.detection.detectors.inactive_user import DETECTOR, Config
from anomalies.detection.finding import HIGH, LOW, MEDIUM, Finding
from tests.detection import build
from tests.detection.requests import DAY, TODAY, found, request


def _found(*before: float, first_seen: float = -400, active: float | None = None, **more: object) -> list[Finding]:
    """What is found of a request today, with others on those days before."""
    active_at = None if active is None else build.START + active * DAY
    today = request("1", TODAY, active_at=active_at)
    return found(DETECTOR, today, first_seen=first_seen, times=[*before, TODAY], **more)


@pytest.mark.parametrize(
    ("before", "first_seen", "raised"),
    [
        ((TODAY - 91,), -400, True),
        ((TODAY - 90,), -400, True),
        ((TODAY - 89,), -400, False),
        ((TODAY - 1000,), -2000, True),
        ((TODAY - 91, TODAY - 0.01), -400, False),
        ((), TODAY - 91, True),
        ((), TODAY - 89, False),
        ((), TODAY, False),
    ],
)
def test_the_first_request_in_90_days(before: tuple[float, ...], first_seen: float, raised: bool) -> None:
    assert bool(_found(*before, first_seen=first_seen)) == raised


def test_who_was_seen_otherwise_is_low_and_silence_medium() -> None:
    assert [one.severity for one in _found(TODAY - 200, active=TODAY - 2)] == [LOW]
    assert [one.severity for one in _found(TODAY - 200, active=TODAY - 150)] == [MEDIUM]
    assert [one.severity for one in _found(TODAY - 200)] == [MEDIUM]


def test_the_longest_of_the_users_own_gaps_counts_more() -> None:
    [one] = _found(*(TODAY - 200 - 10 * n for n in range(8)))
    assert (one.severity, one.evidence["p"]) == (HIGH, 0.125)
    [usual] = _found(*(TODAY - 91 - 95 * n for n in range(8)), first_seen=-2000)
    assert (usual.severity, usual.evidence["p"]) == (MEDIUM, 1.0)


def test_all_requests_of_the_first_hour_are_one_return() -> None:
    some = [request(str(n), TODAY + n * 0.01) for n in range(6)]
    [one] = found(DETECTOR, *some)
    assert one.evidence["request_ids"] == [f"req_{n}" for n in range(5)]
    assert one.end == some[4].time + 1


def test_requests_of_one_instant_are_one_return() -> None:
    assert len(found(DETECTOR, request("1"), request("2"))) == 1


def test_it_says_since_when() -> None:
    [one] = _found(TODAY - 120, active=TODAY - 3)
    assert one.description == "AR-1: first request in 120 days"
    assert one.evidence["why"] == (
        "ana asked for access for the first time in 120 days; a user counts as inactive from 90 days on. By other "
        "events, ana had been seen 3 days before."
    )
    assert one.evidence["last_request_at"] == build.START + (TODAY - 120) * DAY
    assert (one.evidence["observed"], one.evidence["upper"]) == (120, 90)
    assert not one.open


def test_the_first_request_ever_says_so() -> None:
    [one] = _found(first_seen=TODAY - 100)
    assert one.description == "AR-1: first request ever, the account is known for 100 days"
    assert one.evidence["last_request_at"] is None


def test_the_days_are_set() -> None:
    assert _found(TODAY - 31, config=Config(inactive_days=30))
    assert not _found(TODAY - 100, config=Config(inactive_days=120))


def test_yesterdays_are_not_raised_again() -> None:
    assert not found(DETECTOR, request("1", TODAY - 1.5))
