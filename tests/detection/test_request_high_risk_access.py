"""detection/detectors/request_high_risk_access."""

import pytest

from anomalies.detection.detectors.request_high_risk_access import DETECTOR, Config
from anomalies.detection.finding import HIGH, LOW, MEDIUM
from anomalies.detection.request import Unit
from tests.detection.requests import ORDERS, TODAY, decided, found, history, request


def _unit(resource: str, permission: str, *tags: str) -> Unit:
    return Unit("aws", resource, "bucket", permission, tags)


@pytest.mark.parametrize(
    ("resource", "permission", "tags", "severity"),
    [
        ("prod-exports", "bucket admin", (), HIGH),
        ("PROD_exports", "Owner", (), HIGH),
        ("eu-production", "ADMINISTRATOR", (), HIGH),
        ("customers", "Full Access", (), HIGH),
        ("customers", "full_access", (), HIGH),
        ("customers", "FULL-ACCESS", (), HIGH),
        ("customers", "s3fullaccess", (), HIGH),
        ("orders", "admin", ("class=PII",), HIGH),
        ("orders", "admin", ("env", "phi"), HIGH),
        ("c u-s_tomer", "admin", (), HIGH),
        ("graphics", "admin", (), MEDIUM),
        ("reproductions", "owner", (), MEDIUM),
        ("graphics", "admin", ("prod",), HIGH),
        ("orders", "admin", (), None),
        ("customers", "read", (), None),
        ("staging", "accessfull", ("dev",), None),
        ("", "admin", (), None),
        ("prod", "", (), None),
    ],
)
def test_a_sensitive_resource_and_an_elevated_permission(
    resource: str, permission: str, tags: tuple[str, ...], severity: int | None
) -> None:
    assert [one.severity for one in found(DETECTOR, request("1", TODAY, _unit(resource, permission, *tags)))] == (
        [severity] if severity else []
    )


def test_both_must_be_of_one_unit() -> None:
    assert not found(DETECTOR, request("1", TODAY, _unit("prod-logs", "read"), _unit("sandbox", "admin")))


def test_it_says_which_words_of_which_request() -> None:
    [one] = found(DETECTOR, request("1", TODAY, ORDERS, _unit("prod-logs", "bucket:admin")))
    assert (one.entity, one.principal_id, one.topic) == ("ana", "ana", "req_1")
    assert (one.integration, one.resource, one.resource_type) == ("aws", "prod-logs", "bucket")
    assert (one.evidence["request_id"], one.evidence["access_flow"]) == ("req_1", "flow_1")
    assert one.evidence["words"] == [{"sensitive": "prod", "where": "resource prod-logs", "elevated": "admin"}]
    assert one.description == "AR-1: bucket:admin on prod-logs, elevated access to a sensitive resource"
    assert (
        "The resource prod-logs contains “prod” and the permission “bucket:admin” contains “admin”."
        in (one.evidence["why"])
    )


def test_each_request_is_one_finding_whatever_it_overlaps() -> None:
    risky = _unit("prod-logs", "admin")
    some = found(DETECTOR, request("1", TODAY, risky, _unit("customers", "owner")), request("2", TODAY, risky))
    assert [one.topic for one in some] == ["req_1", "req_2"]
    assert some[0].evidence["observed"] == 2


def test_who_was_granted_the_same_before_counts_a_level_less() -> None:
    risky = _unit("prod-logs", "admin")
    today = request("9", TODAY, risky)
    earlier = request("1", TODAY - 9, risky, decisions=(decided(TODAY - 8, approved=True),))
    assert [one.severity for one in found(DETECTOR, earlier, today)] == [MEDIUM]
    rejected = request("1", TODAY - 9, risky, decisions=(decided(TODAY - 8, approved=False),))
    assert [one.severity for one in found(DETECTOR, rejected, today)] == [HIGH]
    later = request("1", TODAY - 9, risky, decisions=(decided(TODAY + 0.5, approved=True),))
    assert [one.severity for one in found(DETECTOR, later, today)] == [HIGH]
    other = request("1", TODAY - 9, _unit("customers", "admin"), decisions=(decided(TODAY - 8, approved=True),))
    [one] = found(DETECTOR, other, today)
    assert (one.severity, one.evidence["asked_before"]) == (HIGH, 1)


def test_a_habit_of_what_is_only_within_a_longer_word_is_low() -> None:
    vague = _unit("graphics", "admin")
    earlier = request("1", TODAY - 9, vague, decisions=(decided(TODAY - 8, approved=True),))
    assert [one.severity for one in found(DETECTOR, earlier, request("2", TODAY, vague))] == [LOW]


def test_words_are_set() -> None:
    config = Config(sensitive_words=("ledger",), elevated_words=("write",))
    assert found(DETECTOR, request("1", TODAY, _unit("Led-ger", "re_write")), config=config)
    assert not found(DETECTOR, request("1", TODAY, _unit("prod", "admin")), config=config)


def test_yesterdays_are_not_raised_again_and_what_is_heard_of_late_is() -> None:
    risky = _unit("prod-logs", "admin")
    yesterday = request("1", TODAY - 1, risky)
    assert not found(DETECTOR, yesterday)
    heard = request("1", TODAY - 1, risky, known_at=yesterday.time + 86400.0 + 60)
    [one] = found(DETECTOR, heard)
    assert (one.start, one.raised_at, one.end) == (heard.time, heard.known_at, heard.known_at + 1)
    too_late = request("1", TODAY - 3, risky, known_at=history([]).judge_from[0] + 60)
    assert not found(DETECTOR, too_late)
