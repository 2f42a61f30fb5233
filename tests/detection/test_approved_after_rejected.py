"""detection/detectors/approved_after_rejected."""

import pytest

from anomalies.detection.detectors.approved_after_rejected import DETECTOR, Config
from anomalies.detection.finding import HIGH, LOW, MEDIUM, Finding
from anomalies.detection.request import Unit
from tests.detection.requests import ORDERS, TODAY, decided, found, request

WRITE = Unit("postgres-eu", "orders", "database", "write")
LEDGER = Unit("postgres-eu", "ledger", "database", "read")


def _found(
    *units: Unit,
    days_before: float = 10,
    by: str = "Ben Keller",
    by_person: bool = True,
    manual: bool = True,
    **more: object,
) -> list[Finding]:
    """What is found if orders/read was rejected and these units are approved today."""
    rejected = request("1", TODAY - days_before - 1, decisions=(
        decided(TODAY - days_before, approved=False, by_person=manual),
    ))  # fmt: skip
    approved = request("2", TODAY - 1, *units, decisions=(decided(TODAY, approved=True, by=by, by_person=by_person),))
    return found(DETECTOR, rejected, approved, **more)


@pytest.mark.parametrize(
    ("unit", "similar"),
    [
        (ORDERS, True),
        (WRITE, True),  # the resource in common
        (LEDGER, True),  # the permission in common
        (Unit("postgres-eu", "ledger", "database", "R-e ad"), True),
        (Unit("postgres-eu", "ledger", "database", "write"), False),
        (Unit("postgres-us", "orders", "database", "read"), False),
        (Unit("postgres-eu", "orders", "table", "read"), False),
        (Unit("postgres-eu", "orders", "database", "write", resource_id="r2"), False),
        (Unit("postgres-eu", "", "database", ""), False),
    ],
)
def test_similar_is_one_integration_and_type_with_a_resource_or_permission_in_common(unit: Unit, similar: bool) -> None:
    assert bool(_found(unit)) == similar


@pytest.mark.parametrize(("days", "counts"), [(0.5, True), (89.9, True), (90.1, False), (200, False)])
def test_a_rejection_counts_for_90_days(days: float, counts: bool) -> None:
    assert bool(_found(days_before=days)) == counts


def test_an_automatic_rejection_does_not_count() -> None:
    assert not _found(manual=False)


def test_an_approval_before_the_rejection_is_none_after_it() -> None:
    assert not _found(days_before=-0.01)


@pytest.mark.parametrize(
    ("by", "by_person", "days", "severity"),
    [
        ("Ben Keller", True, 10, MEDIUM),
        ("Olga Novak", True, 10, LOW),
        ("", False, 10, MEDIUM),
        ("Ben Keller", True, 0.5, HIGH),
        ("Olga Novak", True, 0.5, MEDIUM),
    ],
)
def test_who_approved_and_how_soon_make_the_severity(by: str, by_person: bool, days: float, severity: int) -> None:
    assert [one.severity for one in _found(by=by, by_person=by_person, days_before=days)] == [severity]


def test_several_rejections_raise_it() -> None:
    rejections = tuple(decided(TODAY - 20 + day, approved=False) for day in range(3))
    approved = request("2", TODAY, decisions=(decided(TODAY + 0.1, approved=True, by="Ben Keller"),))
    [one] = found(DETECTOR, request("1", TODAY - 21, decisions=rejections), approved)
    assert (one.severity, one.evidence["rejections"]) == (HIGH, 3)


def test_one_request_may_be_both() -> None:
    decisions = (decided(TODAY - 2, approved=False), decided(TODAY, approved=True), decided(TODAY + 0.1, approved=True))
    [one] = found(DETECTOR, request("1", TODAY - 3, decisions=decisions))
    assert one.evidence["request_ids"] == ["req_1"]
    assert "rejected the same request" in one.evidence["why"]


def test_it_names_both_requests_and_approvers() -> None:
    [one] = _found(WRITE)
    assert one.start == one.raised_at == one.evidence["approved_at"]
    assert (one.evidence["request_id"], one.evidence["rejected_request_id"]) == ("req_2", "req_1")
    assert (one.evidence["approved_by"], one.evidence["rejected_by"]) == ("Ben Keller", "Olga Novak")
    assert one.description == "AR-2: write on orders approved, rejected 10 days before"
    assert one.evidence["why"].startswith(
        "AR-2 of ana was approved by Ben Keller. 10 days before, Olga Novak had rejected a similar one, AR-1, for "
        "write on orders."
    )
    assert (one.integration, one.resource, one.topic) == ("postgres-eu", "orders", "req_2")


def test_the_first_approval_is_told_once() -> None:
    rejected = request("1", TODAY - 30, decisions=(decided(TODAY - 29, approved=False),))
    twice = (decided(TODAY - 5, approved=True), decided(TODAY, approved=True))
    assert not found(DETECTOR, rejected, request("2", TODAY - 6, decisions=twice))


def test_the_span_is_set() -> None:
    assert not _found(days_before=10, config=Config(within_days=9))
    assert _found(days_before=120, config=Config(within_days=180))
