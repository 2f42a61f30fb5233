"""services/agreement: a level more severe where two detectors agree on a principal, whatever the order."""

import itertools
from datetime import timedelta
from typing import Any

import pytest

from anomalies.models import Anomaly, ReviewEntry, Scan, Severity
from anomalies.services import findings
from anomalies.services.timeline import DETECTION
from tests import make
from tests.make import NOW
from tests.services.days import MONDAY, record, run, store
from tests.services.test_logins import NOON, _abroad, _login, _usual

pytestmark = pytest.mark.django_db


def _anomaly(type_: str, minutes: int = 0, **fields: Any) -> Anomaly:
    if fields.setdefault("principal_id", "ana"):
        make.principal(fields["principal_id"])
    start = NOW + timedelta(minutes=minutes)
    times = {"started_at": start, "active_until": start + timedelta(minutes=5)}
    return make.anomaly(**{"type": type_, "severity": Severity.MEDIUM, **times, **fields})


def _agree(*changed: Anomaly) -> Scan:
    scan = make.scan()
    Anomaly.objects.filter(pk__in=[one.pk for one in changed]).update(last_scan=scan)
    findings.agree(scan)
    return scan


def _severities() -> list[int]:
    return list(Anomaly.objects.order_by("id").values_list("severity", flat=True))


@pytest.mark.parametrize("first_changed", [True, False])
def test_two_types_within_an_hour_of_one_principal_are_raised_both(first_changed: bool) -> None:
    both = [_anomaly("new_principal"), _anomaly("suspicious_login", 60)]
    _agree(both[0] if first_changed else both[1])
    assert _severities() == [Severity.HIGH, Severity.HIGH]
    one = Anomaly.objects.get(type="new_principal")
    assert one.evidence["agreement"]["why"] == "raised from medium to high: suspicious_login agrees"
    entry = ReviewEntry.objects.get(anomaly=one)
    assert (entry.action, entry.actor) == ("escalated", DETECTION.name)
    assert entry.note == "severity rose from medium to high: suspicious_login agrees"


@pytest.mark.parametrize(
    "other",
    [
        {"minutes": 66}, {"principal_id": "ben"}, {"type_": "new_principal"}, {"type_": "custom_rule"},
        {"state": "withdrawn", "ended_at": NOW},
    ],
)  # fmt: skip
def test_what_is_later_of_another_of_the_same_type_a_rule_or_withdrawn_does_not_agree(other: dict[str, Any]) -> None:
    one, two = _anomaly("new_principal"), _anomaly(**{"type_": "suspicious_login", **other})
    _agree(one, two)
    assert _severities() == [Severity.MEDIUM, Severity.MEDIUM]


def test_anomalies_of_no_principal_do_not_agree() -> None:
    both = [_anomaly(type_, principal_id=None) for type_ in ("rate_spike", "high_failure_rate")]
    _agree(*both)
    assert _severities() == [Severity.MEDIUM, Severity.MEDIUM]


def test_asking_again_and_a_third_raise_no_second_level() -> None:
    one = _anomaly("new_principal", severity=Severity.LOW)
    others = [_anomaly("suspicious_login", 10), _anomaly("off_hours_activity", 20)]
    for changed in (one, one, *others, one):
        _agree(changed)
    one.refresh_from_db()
    assert one.severity == Severity.MEDIUM
    assert (
        one.evidence["agreement"]["why"] == "raised from low to medium: off_hours_activity and suspicious_login agree"
    )
    assert ReviewEntry.objects.filter(anomaly=one).count() == 1


def test_what_nobody_agrees_with_any_more_falls_back_and_says_so() -> None:
    one, other = _anomaly("new_principal"), _anomaly("suspicious_login", 10)
    _agree(one)
    Anomaly.objects.filter(pk=other.pk).update(state="withdrawn", ended_at=NOW)
    _agree(other)
    one.refresh_from_db()
    assert (one.severity, "agreement" in one.evidence) == (Severity.MEDIUM, False)
    assert ReviewEntry.objects.filter(anomaly=one).latest("id").note.endswith("suspicious_login agrees no longer")


def test_a_decision_about_what_was_milder_is_asked_for_again() -> None:
    one = _anomaly("new_principal", status="acknowledged", acknowledged_at=NOW, acknowledged_by="ana")
    _agree(_anomaly("suspicious_login", 10))
    one.refresh_from_db()
    assert one.status == "open"


def test_the_order_in_which_anomalies_are_raised_makes_no_difference() -> None:
    results = set()
    for order in itertools.permutations([("new_principal", 0), ("suspicious_login", 50), ("off_hours_activity", 110)]):
        principal = "_".join(type_ for type_, _ in order)
        for type_, minutes in order:
            _agree(_anomaly(type_, minutes, principal_id=principal))
        of_principal = Anomaly.objects.filter(principal_id=principal).order_by("type")
        results.add(tuple((one.type, one.severity, str(one.evidence.get("agreement"))) for one in of_principal))
    assert len(results) == 1


def test_judging_anew_neither_lowers_nor_doubles_what_agreement_raised() -> None:
    store([*_usual(), *_settled_agent(), _login(NOON), _abroad(NOON + timedelta(minutes=20), agent_id="ag_settled")])
    run(NOON + timedelta(minutes=21))
    before = list(Anomaly.objects.order_by("id").values("type", "severity", "evidence__agreement__own_severity"))
    assert {one["type"] for one in before} >= {"suspicious_login", "new_principal"}
    entries = ReviewEntry.objects.count()
    store([_login(NOON + timedelta(minutes=22), 7)])
    run(NOON + timedelta(minutes=23))
    after = list(Anomaly.objects.order_by("id").values("type", "severity", "evidence__agreement__own_severity"))
    assert after == before
    assert ReviewEntry.objects.count() == entries


def _settled_agent() -> list[Any]:
    """An agent that does much, for one user alone."""
    return [
        record(MONDAY + timedelta(hours=hour, minutes=7 * n), n, agent_id="ag_settled", principal_id="ben")
        for hour in range(24 * 20)
        for n in range(8)
    ]
