"""services/suppressions: what reviewers are not asked about, and when they are all the same."""

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomalies.models import Anomaly, Change, Grant, OutboxMessage, ResponsePolicy, Scan, Suppression
from anomalies.services import access, reviews, scans, suppressions
from anomalies.services.actor import Actor
from anomalies.services.suppressions import Conditions, SuppressionError
from tests import make
from tests.services.days import MONDAY, SPIKE_SEEN, burst, record, run, store, usual

pytestmark = [pytest.mark.django_db, pytest.mark.once]

ANA = Actor(name="ana")
START = MONDAY + timedelta(hours=3)
SSHD = {"agent_id": "sshd", "ip": "192.0.2.9", "action": "ssh.login", "principal_id": "root"}


def _suppression(conditions: Conditions, *, at: datetime = MONDAY, **fields: Any) -> Suppression:
    fields = {"reason": "The auditors' scan", "owner": "ana", "expires_at": None, **fields}
    return suppressions.create(conditions=conditions, by=ANA, at=at, **fields)


def _spike() -> Anomaly:
    store([*usual(20), *burst(MONDAY + timedelta(days=20, hours=10), 300)])
    run(SPIKE_SEEN)
    return Anomaly.objects.get(type="rate_spike")


def _guessing() -> Anomaly:
    """Thirty failures from one address: medium, and high once a login succeeds."""
    store(burst(START, 30, seconds=5, status="failure", **SSHD))
    run(START + timedelta(minutes=4))
    return Anomaly.objects.get(kind="address", type="high_failure_rate")


def _success(anomaly: Anomaly) -> list[tuple[str, str]]:
    store([record(START + timedelta(minutes=5), 5000, **SSHD)])
    run(START + timedelta(minutes=6))
    anomaly.refresh_from_db()
    assert anomaly.severity == 3
    return [(entry.action, entry.note) for entry in anomaly.review_entries.order_by("id")]


def test_what_meets_the_conditions_is_kept_said_and_not_up_for_review() -> None:
    suppression = _suppression(Conditions(type="rate_spike", agent_id="ag_billing"))
    spike = _spike()
    assert spike.suppression == suppression
    assert (spike.status, spike.state) == ("open", "open")
    assert spike not in Anomaly.objects.needs_review()
    assert [(entry.action, entry.note) for entry in spike.review_entries.order_by("id")] == [
        ("detected", "high"),
        ("suppressed", f"The auditors' scan ({suppression.public_id}, ana)"),
    ]
    assert not OutboxMessage.objects.filter(anomaly=spike).exists()
    assert suppressions.hits(suppression) == suppressions.Hits(1, SPIKE_SEEN)


def test_nobody_is_told_of_what_becomes_of_it_but_of_what_people_do() -> None:
    _suppression(Conditions(agent_id="ag_billing"))
    spike = _spike()
    run(SPIKE_SEEN + timedelta(hours=3))
    spike.refresh_from_db()
    assert spike.state == "closed"
    reviews.acknowledge(spike, by=ANA, at=SPIKE_SEEN)
    assert [message.type for message in OutboxMessage.objects.filter(anomaly=spike)] == ["anomaly.acknowledged"]


@pytest.mark.parametrize(
    "conditions",
    [
        Conditions(type="high_failure_rate", agent_id="ag_billing"),
        Conditions(agent_id="ag_other"),
        Conditions(agent_id="ag_billing", principal_id="user_1"),
        Conditions(agent_id="ag_billing", resource="s3://backups"),
        Conditions(agent_id="ag_billing", integration="aws"),
        Conditions(agent_id="ag_billing", network="192.0.2.0/24"),
        Conditions(agent_id="ag_billing", highest_severity=2),
    ],
)
def test_one_condition_that_is_not_met_is_enough(conditions: Conditions) -> None:
    _suppression(conditions)
    assert _spike().suppression is None


def test_the_first_that_is_in_force_is_the_reason() -> None:
    ended = _suppression(Conditions(type="rate_spike"))
    suppressions.end(ended, by=ANA, at=MONDAY + timedelta(days=1))
    _suppression(Conditions(type="rate_spike"), expires_at=SPIKE_SEEN)
    _suppression(Conditions(type="rate_spike"), at=SPIKE_SEEN + timedelta(minutes=1))
    first = _suppression(Conditions(type="rate_spike"), expires_at=SPIKE_SEEN + timedelta(minutes=1))
    _suppression(Conditions(type="rate_spike"))
    assert _spike().suppression == first


def test_a_replay_applies_what_was_in_force_then() -> None:
    _suppression(Conditions(type="rate_spike"), at=SPIKE_SEEN + timedelta(days=1))
    store([*usual(20), *burst(MONDAY + timedelta(days=20, hours=10), 300)])
    scans.replay(now=SPIKE_SEEN + timedelta(days=2))
    assert Anomaly.objects.get(type="rate_spike").suppression is None


def test_ending_or_expiry_brings_nothing_back() -> None:
    suppression = _suppression(Conditions(type="rate_spike"), expires_at=SPIKE_SEEN + timedelta(minutes=1))
    spike = _spike()
    suppressions.end(suppression, by=ANA, at=SPIKE_SEEN + timedelta(seconds=30))
    store(burst(SPIKE_SEEN + timedelta(minutes=2), 200))
    run(SPIKE_SEEN + timedelta(minutes=8))
    spike.refresh_from_db()
    assert spike.suppression == suppression


def test_severity_above_the_highest_brings_it_back_and_says_so() -> None:
    suppression = _suppression(Conditions(network="192.0.2.0/24", highest_severity=2))
    anomaly = _guessing()
    assert anomaly.suppression == suppression
    told = _success(anomaly)
    assert told[-1] == (
        "reopened",
        f"no longer suppressed: its severity is above medium ({suppression.public_id})",
    )
    assert anomaly in Anomaly.objects.needs_review()
    assert [message.type for message in OutboxMessage.objects.filter(anomaly=anomaly)] == ["anomaly.detected"]


def test_what_gets_worse_under_a_suppression_in_force_stays_hidden() -> None:
    suppression = _suppression(Conditions(network="192.0.2.9"))
    anomaly = _guessing()
    _success(anomaly)
    assert anomaly.suppression == suppression
    assert not OutboxMessage.objects.filter(anomaly=anomaly).exists()


@pytest.mark.parametrize("how", ["has expired", "was ended"])
def test_what_gets_worse_after_the_suppression_comes_back_and_says_so(how: str) -> None:
    over = START + timedelta(minutes=5)
    suppression = _suppression(Conditions(network="192.0.2.9"), expires_at=over if how == "has expired" else None)
    anomaly = _guessing()
    if how == "was ended":
        suppressions.end(suppression, by=ANA, at=over)
    told = _success(anomaly)
    assert told[-1] == ("reopened", f"no longer suppressed: its severity rose and {suppression.public_id} {how}")
    assert anomaly in Anomaly.objects.needs_review()


def test_what_does_not_meet_the_conditions_any_more_comes_back() -> None:
    suppression = _suppression(Conditions(type="rate_spike", integration="aws"))
    store([*usual(20), *burst(MONDAY + timedelta(days=20, hours=10), 300, integration="aws")])
    run(SPIKE_SEEN)
    spike = Anomaly.objects.get(type="rate_spike")
    Anomaly.objects.filter(pk=spike.pk).update(suppression=suppression, integration="aws")
    store(burst(SPIKE_SEEN + timedelta(minutes=2), 200, integration="gcp"))
    run(SPIKE_SEEN + timedelta(minutes=8))
    spike.refresh_from_db()
    assert spike.suppression is None
    last = spike.review_entries.order_by("id").last()
    assert last is not None
    assert last.note == f"no longer suppressed: it does not meet the conditions of {suppression.public_id} any more"


def test_grants_of_a_suppressed_spike_are_not_revoked() -> None:
    access.set_response_mode(ResponsePolicy.Mode.REVOKE_AGENT_GRANTS, by=ANA, at=MONDAY)
    _suppression(Conditions(type="rate_spike"))
    grant = make.grant()
    _spike()
    assert Grant.objects.get(pk=grant.pk).status == Grant.Status.ACTIVE
    assert Scan.objects.latest("id").grants_revoked == 0


@pytest.mark.parametrize(
    ("field", "conditions", "fields", "sentence"),
    [
        ("conditions", Conditions(), {}, "each anomaly would be hidden"),
        ("conditions", Conditions(highest_severity=1), {}, "each anomaly would be hidden"),
        ("network", Conditions(network="192.0.2.0/33"), {}, "such as 192.0.2.0/24"),
        ("network", Conditions(network="192.0.2.1/24"), {}, "has host bits set"),
        ("type", Conditions(type="no_type"), {}, "there is no type 'no_type'"),
        ("highest_severity", Conditions(type="rate_spike", highest_severity=4), {}, "4 is none of 1, 2, 3"),
        ("agent_id", Conditions(agent_id="a" * 201), {}, "201 characters, at most 200"),
        ("resource", Conditions(resource="a\x00"), {}, "it is no text"),
        ("reason", Conditions(type="rate_spike"), {"reason": " "}, "1 to 10,000 characters"),
        ("owner", Conditions(type="rate_spike"), {"owner": ""}, "1 to 200 characters"),
        ("expires_at", Conditions(type="rate_spike"), {"expires_at": MONDAY}, "2026-10-05 00:00 UTC is past"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_kept(
    field: str, conditions: Conditions, fields: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SuppressionError, match=sentence) as error:
        _suppression(conditions, **fields)
    assert error.value.field == field
    assert not Suppression.objects.exists()


def test_it_is_ended_once() -> None:
    suppression = _suppression(Conditions(type="rate_spike"))
    suppressions.end(suppression, by=ANA, at=SPIKE_SEEN)
    assert (suppression.ended_at, suppression.ended_by) == (SPIKE_SEEN, "ana")
    with pytest.raises(suppressions.AlreadyEndedError, match="was ended already by ana"):
        suppressions.end(suppression, by=Actor(name="zoe"), at=SPIKE_SEEN)


def test_a_preview_counts_what_it_would_have_hidden_by_type_and_verdict() -> None:
    for _ in range(21):
        make.anomaly()
    resolved = {"status": "resolved", "resolved_at": make.NOW}
    threat = make.anomaly(**resolved, verdict="true_positive", detected_at=make.NOW - timedelta(days=29))
    make.anomaly(type="high_failure_rate", **resolved, verdict="benign")
    make.anomaly(detected_at=make.NOW - timedelta(days=31))
    make.anomaly(agent=make.agent("ag_other"))
    make.anomaly(merged_into=threat)
    seen = suppressions.preview(Conditions(agent_id="ag_billing"), at=make.NOW)
    assert (seen.days, seen.total, len(seen.newest)) == (30, 23, 20)
    assert seen.counts == [
        ("rate_spike", "open", 21),
        ("high_failure_rate", "benign", 1),
        ("rate_spike", "true_positive", 1),
    ]


def test_a_preview_of_nothing_is_an_error() -> None:
    with pytest.raises(SuppressionError, match="conditions: "):
        suppressions.preview(Conditions(), at=make.NOW)


ADDRESSES = [None, "192.0.2.0", "192.0.2.7", "192.0.2.255", "192.0.3.0", "2001:db8::7", "::"]
NETWORKS = ["", "192.0.2.7", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0", "192.0.2.0/31"]
CONDITIONS = st.builds(
    Conditions,
    type=st.sampled_from(["", "rate_spike", "off_hours_activity"]),
    agent_id=st.sampled_from(["", "ag_billing", "ag_other"]),
    network=st.sampled_from(NETWORKS),
    resource=st.sampled_from(["", "s3://backups"]),
    highest_severity=st.integers(1, 3),
).filter(lambda conditions: any(asdict(replace(conditions, highest_severity=0)).values()))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    conditions=CONDITIONS,
    ip=st.sampled_from(ADDRESSES),
    severity=st.integers(1, 3),
    resource=st.sampled_from(["", "s3://backups", "s3://other"]),
)
def test_a_preview_shows_exactly_what_would_be_suppressed(
    conditions: Conditions, ip: str | None, severity: int, resource: str
) -> None:
    anomaly = make.anomaly(ip=ip, severity=severity, resource=resource)
    suppression = _suppression(conditions)
    previewed = anomaly in suppressions.preview(conditions, at=make.NOW).newest
    suppressed = suppressions.in_force_for(anomaly, at=make.NOW) is not None
    assert previewed == suppressed == suppressions.meets(anomaly, conditions)
    suppression.delete()
    anomaly.delete()


def test_who_made_and_who_ended_one_is_recorded() -> None:
    made = suppressions.create(
        reason="Nightly sync.",
        owner="ana",
        conditions=Conditions(type="rate_spike"),
        expires_at=None,
        by=Actor("ana"),
        at=make.NOW,
    )
    suppressions.end(made, by=Actor("tom"), at=make.NOW)
    told = [
        (one.actor, one.action, one.note) for one in Change.objects.filter(subject_id=made.public_id).order_by("id")
    ]
    assert told == [("ana", "created", "Nightly sync."), ("tom", "ended", "Nightly sync.")]
