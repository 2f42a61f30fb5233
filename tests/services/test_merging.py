"""services/merging: one cause, one anomaly, whichever of its series was seen first."""

from datetime import timedelta
from typing import Any

import pytest

from anomalies.detection.finding import Finding
from anomalies.detection.finding import Metric as FoundMetric
from anomalies.ingest.record import EventRecord
from anomalies.models import Anomaly, Metric, OutboxMessage, Severity
from anomalies.services import findings, merging, metrics, reviews
from anomalies.services.actor import Actor
from tests import make
from tests.make import NOW
from tests.services.access_requests import told, unit
from tests.services.days import MONDAY, burst, record, run, store, usual

pytestmark = [pytest.mark.django_db, pytest.mark.once]

HOUR = timedelta(hours=1)
START = MONDAY + timedelta(days=20, hours=10)


def _of_eve() -> list[EventRecord]:
    return burst(START, 300, principal_id="eve")


def _spikes() -> list[tuple[str, str]]:
    return list(Anomaly.objects.standing().filter(type="rate_spike").values_list("kind", "entity"))


def test_an_agents_and_its_users_spike_of_one_cause_are_one_anomaly_with_several_metrics() -> None:
    always = [record(MONDAY + timedelta(minutes=5 * n), n, principal_id="eve") for n in range(20 * 288)]
    store([*always, *_of_eve()])
    scan = run(START + timedelta(minutes=6))
    assert _spikes() == [("agent", "ag_billing")]
    assert scan.findings_told_by_others == 1
    names = Metric.objects.filter(anomaly__type="rate_spike").values_list("name", flat=True)
    assert {"what=requests.agent=ag_billing", "what=requests.principal=eve"} <= set(names)
    assert all(metric.intervals.exists() for metric in Metric.objects.all())


def test_what_was_raised_before_its_cause_is_merged_into_it() -> None:
    always = [record(MONDAY + timedelta(minutes=5 * n), n, principal_id="eve") for n in range(20 * 288)]
    store([*always, *_of_eve()])
    run(START + timedelta(minutes=6))
    of_agent = Anomaly.objects.get(type="rate_spike")
    early = make.anomaly(
        kind="principal", entity="eve", started_at=of_agent.started_at, active_until=START + timedelta(minutes=1)
    )
    store(burst(START + timedelta(seconds=30), 5, principal_id="eve", ip="192.0.2.1"))
    assert run(START + timedelta(minutes=7)).anomalies_merged == 1
    early.refresh_from_db()
    assert early.merged_into == of_agent
    assert _spikes() == [("agent", "ag_billing")]
    again = run(START + timedelta(minutes=8))
    assert (again.anomalies_merged, again.anomalies_raised) == (0, 0)


@pytest.fixture
def merged() -> Anomaly:
    """Decided about, and merged afterwards."""
    of_user = make.anomaly(kind="principal", entity="eve")
    reviews.acknowledge(of_user, by=Actor(name="ana"), at=START)
    merging.merge(of_user, into=make.anomaly(), scan=make.scan())
    of_user.refresh_from_db()
    return of_user


def test_a_merged_anomaly_keeps_its_decision_and_says_where_it_went(merged: Anomaly) -> None:
    assert (merged.status, merged.acknowledged_by, merged.state) == ("acknowledged", "ana", "closed")
    assert merged.merged_into is not None
    assert merged.review_entries.filter(action="merged", note__contains=merged.merged_into.public_id).exists()
    notes = merged.merged_into.review_entries.filter(action="merged").values_list("note", flat=True)
    assert list(notes) == [f"{merged.public_id} (eve, acknowledged before): the same cause"]
    assert merged not in Anomaly.objects.standing()


def test_what_was_merged_into_something_merged_leads_to_the_last(merged: Anomaly) -> None:
    whole = make.anomaly()
    assert merged.merged_into is not None
    merging.merge(merged.merged_into, into=whole, scan=make.scan())
    assert Anomaly.objects.called(merged.public_id) == whole


def test_one_that_is_parted_stands_for_itself_again(merged: Anomaly) -> None:
    merging.part(merged, open_=False, scan=make.scan())
    assert merged in Anomaly.objects.standing()
    assert merged.review_entries.filter(action="parted").exists()


@pytest.mark.parametrize("state", ["open", "closed"])
def test_one_that_is_parted_is_open_if_it_deviates_still_and_announced_once(state: str) -> None:
    """No event says that the agent is its cause."""
    of_user, whole, scan = _of_user(state=state), make.anomaly(), make.scan(finished_at=None)
    merging.merge(of_user, into=whole, scan=scan)
    for _ in range(2):
        merging.reconcile(scan)
    of_user.refresh_from_db()
    assert (of_user.state, of_user.ended_at is None) == (state, state == "open")
    assert Anomaly.objects.called(of_user.public_id) == of_user
    assert [metric.anomaly for metric in Metric.objects.all()] == [of_user]
    announced = OutboxMessage.objects.filter(anomaly=of_user).order_by("id").values_list("type", flat=True)
    assert list(announced) == ["anomaly.merged", "anomaly.parted"]


def test_what_was_merged_into_one_that_is_parted_goes_with_it() -> None:
    piece, of_user, later = _of_user(), _of_user(), _of_user(started_at=NOW + HOUR, active_until=NOW + 2 * HOUR)
    whole, scan = make.anomaly(), make.scan(finished_at=None)
    merging.merge(piece, into=of_user, scan=scan)
    for one in (of_user, later):
        merging.merge(one, into=whole, scan=scan)
    merging.part(Anomaly.objects.get(pk=of_user.pk), open_=False, scan=scan)
    assert Anomaly.objects.called(piece.public_id) == of_user
    assert Anomaly.objects.called(later.public_id) == whole


def test_what_a_cause_explains_goes_with_it_when_it_is_parted() -> None:
    """Here the user is part of what its agent does, which has nothing to do with the address any more."""
    of_user = _of_user()
    for n in range(5):
        make.event(time=NOW - timedelta(minutes=n + 1), principal_id="eve")
    of_agent = make.anomaly(told_by=["address"], started_at=of_user.started_at)
    of_address, scan = make.anomaly(kind="address", entity="192.0.2.1"), make.scan(finished_at=None)
    merging.merge(of_user, into=of_agent, scan=scan)
    merging.merge(of_agent, into=of_address, scan=scan)
    merging.reconcile(scan)
    of_user.refresh_from_db()
    assert Anomaly.objects.called(of_agent.public_id) == of_agent
    assert of_user.merged_into == of_agent


def test_of_pieces_of_one_series_the_metrics_of_the_whole_alone_remain() -> None:
    piece, whole = make.anomaly(), make.anomaly()
    make.metric(piece, action="token.issue")
    make.metric(piece, kind="address", entity="192.0.2.1")
    make.metric(whole)
    merging.merge(piece, into=whole, scan=make.scan())
    names = {"what=requests.agent=ag_billing", "what=requests.address=192.0.2.1"}
    assert set(Metric.objects.filter(anomaly=whole).values_list("name", flat=True)) == names
    assert not Metric.objects.filter(anomaly=piece).exists()


def _of_user(state: str = "open", severity: Severity = Severity.HIGH, **fields: Any) -> Anomaly:
    """Of a user whose agent may be the cause, with its metric."""
    make.principal("eve")
    of_user = make.anomaly(
        kind="principal", entity="eve", principal_id="eve", told_by=["agent"], severity=severity, **fields
    )
    make.interval(make.metric(of_user), state=state)
    return of_user


def _merge(anomaly: Anomaly, into: Anomaly) -> None:
    scan = make.scan()
    merging.merge(anomaly, into=into, scan=scan)
    findings.agree(scan)
    into.refresh_from_db()


def _part(anomaly: Anomaly, whole: Anomaly) -> None:
    scan = make.scan()
    anomaly.refresh_from_db()
    metrics.move(whole, anomaly, of=anomaly)
    merging.part(anomaly, open_=False, scan=scan)
    findings.agree(scan)
    whole.refresh_from_db()


def test_a_whole_is_as_severe_as_its_most_severe_part_until_that_is_parted() -> None:
    whole, severe = make.anomaly(severity=Severity.LOW), _of_user()
    mild = make.anomaly(kind="address", entity="192.0.2.1", severity=Severity.MEDIUM)
    make.metric(mild)
    for part in (mild, severe):
        _merge(part, whole)
    assert whole.severity == Severity.HIGH
    assert whole.evidence["part"]["why"] == ("raised from low to high: requests of principal eve are of high severity")
    _part(severe, whole)
    assert whole.severity == Severity.MEDIUM
    _part(mild, whole)
    assert (whole.severity, "part" in whole.evidence) == (Severity.LOW, False)
    notes = whole.review_entries.filter(note__startswith="severity").order_by("id").values_list("note", flat=True)
    assert list(notes) == [
        "severity rose from low to medium: requests of address 192.0.2.1 are of medium severity",
        "severity rose from medium to high: requests of principal eve are of high severity",
        "severity fell from high to medium: requests of address 192.0.2.1 are of medium severity",
        "severity fell from medium to low: no part of it is as severe any more",
    ]


def test_a_decision_about_a_whole_is_asked_for_again_when_a_more_severe_part_comes_to_it() -> None:
    whole = make.anomaly(severity=Severity.LOW)
    reviews.acknowledge(whole, by=Actor(name="ana"), at=NOW)
    _merge(_of_user(severity=Severity.LOW), whole)
    assert whole.status == "acknowledged"
    _merge(_of_user(severity=Severity.MEDIUM), whole)
    assert whole.status == "open"
    assert whole.review_entries.filter(action="reopened", note__contains="principal eve").exists()
    assert OutboxMessage.objects.filter(anomaly=whole, type="anomaly.updated").count() == 1


def test_who_agrees_raises_an_anomaly_and_not_what_its_parts_made_of_it() -> None:
    whole = make.anomaly(severity=Severity.LOW, principal=make.principal("eve"))
    _merge(_of_user(severity=Severity.MEDIUM), whole)
    other = make.anomaly(type="new_principal", principal=make.principal("eve"))
    for state, expected in (("closed", {"agreement"}), ("withdrawn", {"part"})):
        scan = make.scan()
        Anomaly.objects.filter(pk=other.pk).update(last_scan=scan, state=state, ended_at=NOW)
        findings.agree(scan)
        whole.refresh_from_db()
        assert whole.severity == Severity.MEDIUM
        assert whole.evidence.keys() & {"agreement", "part"} == expected


def test_what_is_told_by_its_cause_at_once_makes_that_as_severe_as_what_is_merged_later() -> None:
    merged, told = make.anomaly(severity=Severity.LOW), make.anomaly(severity=Severity.LOW)
    _merge(_of_user(), merged)
    found = Finding(
        "rate_spike", "principal", "eve", 0.0, 1.0, open=False, raised_at=0.0, score=0.9, severity=Severity.HIGH,
        description="", evidence=make.EVIDENCE,
        metrics=(FoundMetric("requests", "principal", "eve", (), 0.9, make.EVIDENCE),),
    )  # fmt: skip
    for told_now, expected in (([(found, told)], Severity.HIGH), ([], Severity.LOW)):
        scan = make.scan()
        metrics.attach(told_now, kind="principal", judged_from={"eve": NOW - HOUR}, scan=scan)
        findings.agree(scan)
        told.refresh_from_db()
        assert told.severity == expected
        if told_now:
            assert told.evidence["part"] == merged.evidence["part"]


def test_what_events_that_come_late_explain_is_withdrawn_and_comes_back_if_they_do_not() -> None:
    store([*usual(20, per_hour=40), *burst(START, 30, status="blocked")])
    run(START + timedelta(minutes=10))
    refused = Anomaly.objects.get(type="high_failure_rate", kind="agent")
    store(burst(START, 2000, seconds=0.1, ip="192.0.2.2"))
    scan = run(START + timedelta(minutes=20))
    refused.refresh_from_db()
    assert (refused.state, scan.anomalies_withdrawn) == ("withdrawn", 1)
    assert refused.review_entries.get(action="withdrawn").note == "events that came late explain it"
    store(burst(START, 2000, seconds=0.1, status="blocked", ip="192.0.2.1"))
    run(START + timedelta(minutes=30))
    again = Anomaly.objects.get(pk=refused.pk)
    assert again.state != "withdrawn"


def test_an_attack_by_one_address_is_one_anomaly_whatever_series_it_shows_in() -> None:
    users = [f"user_{number}" for number in range(30)]
    quiet = [
        record(
            MONDAY + timedelta(minutes=20 * n), n, agent_id="ag_sso", principal_id=users[n % 30], ip=f"10.0.0.{n % 30}"
        )
        for n in range(20 * 72)
    ]
    attack = [
        record(START + timedelta(seconds=n), 5000 + n, agent_id="ag_sso", principal_id=users[n % 30], ip="203.0.113.7",
               action="user.login", status="failure")
        for n in range(150)
    ]  # fmt: skip
    store([*quiet, *attack])
    run(START + timedelta(minutes=10))
    [anomaly] = Anomaly.objects.standing().filter(type__in=["rate_spike", "high_failure_rate"])
    assert (anomaly.kind, anomaly.entity) == ("address", "203.0.113.7")
    names = set(Metric.objects.filter(anomaly=anomaly).values_list("name", flat=True))
    assert {"what=failures.address=203.0.113.7", "what=requests.agent=ag_sso", "what=failures.agent=ag_sso"} <= names
    entries = anomaly.review_entries.count()
    run(START + timedelta(minutes=11))
    assert Anomaly.objects.standing().filter(type__in=["rate_spike", "high_failure_rate"]).get() == anomaly
    assert anomaly.review_entries.exclude(action="closed").count() <= entries


QUIET_USERS = [f"user_{number}" for number in range(30)]


def _quiet(agent: str = "ag_sso") -> list[EventRecord]:
    """Three weeks of a login page: a user every 20 minutes, each from a place of its own."""
    return [
        record(
            MONDAY + timedelta(minutes=20 * n),
            n,
            agent_id=agent,
            principal_id=QUIET_USERS[n % 30],
            ip=f"10.0.0.{n % 30}",
        )
        for n in range(20 * 72)
    ]


def _guesses(ip: str, users: list[str], count: int = 25, *, start: int = 0, success: bool = False) -> list[EventRecord]:
    """A failed login each 12 seconds from an address, for one user after the other; a success at the end."""
    at = [START + timedelta(seconds=start + 12 * n) for n in range(count + success)]
    return [
        record(time, 7000 + n, agent_id="ag_sso", principal_id=users[n % len(users)], ip=ip, action="user.login",
               status="failure" if n < count else "success")
        for n, time in enumerate(at)
    ]  # fmt: skip


def _failing() -> list[tuple[str, str]]:
    standing = (
        Anomaly.objects.standing().exclude(state="withdrawn").filter(type__in=["high_failure_rate", "rate_spike"])
    )
    return sorted(standing.values_list("kind", "entity"))


def _metrics(of: Anomaly) -> set[str]:
    return set(Metric.objects.filter(anomaly=of, what="failures").values_list("name", flat=True))


def test_addresses_that_guess_at_one_user_together_are_the_users_anomaly() -> None:
    addresses = [f"203.0.113.{n}" for n in range(5)]
    attack = [event for n, ip in enumerate(addresses) for event in _guesses(ip, ["root"], start=2 * n)]
    store([*_quiet(), *attack])
    run(START + timedelta(minutes=20))
    assert _failing() == [("principal", "root")]
    whole = Anomaly.objects.standing().get(type="high_failure_rate")
    assert _metrics(whole) >= {f"what=failures.address={ip}" for ip in addresses} | {"what=failures.agent=ag_sso"}
    entries = whole.review_entries.exclude(action="closed").count()
    run(START + timedelta(minutes=21))
    assert _failing() == [("principal", "root")]
    assert whole.review_entries.exclude(action="closed").count() == entries


def test_addresses_that_guess_at_many_users_of_an_agent_together_are_the_agents_anomaly() -> None:
    addresses = [f"203.0.113.{n}" for n in range(5)]
    attack = [event for n, ip in enumerate(addresses) for event in _guesses(ip, QUIET_USERS[:3], start=2 * n)]
    store([*_quiet(), *attack])
    run(START + timedelta(minutes=20))
    assert _failing() == [("agent", "ag_sso")]
    whole = Anomaly.objects.standing().get(type="high_failure_rate")
    assert _metrics(whole) >= {f"what=failures.address={ip}" for ip in addresses}


def test_whichever_of_them_was_seen_first() -> None:
    addresses = [f"203.0.113.{n}" for n in range(5)]
    attack = [event for n, ip in enumerate(addresses) for event in _guesses(ip, ["root"], start=200 * n)]
    store(_quiet())
    run(START)
    attack.sort(key=lambda event: event.time)
    for first in range(0, len(attack), 25):
        store(attack[first : first + 25])
        run(attack[min(first + 25, len(attack)) - 1].time + timedelta(seconds=30))
    run(START + timedelta(minutes=40))
    assert _failing() == [("principal", "root")]
    [first] = Anomaly.objects.filter(kind="address", entity=addresses[0])
    assert Anomaly.objects.called(first.public_id) == Anomaly.objects.standing().get(type="high_failure_rate")


def test_who_succeeds_stands_alone_beside_those_who_guess_in_vain() -> None:
    vain = [event for n in range(4) for event in _guesses(f"203.0.113.{n}", QUIET_USERS[:3], start=2 * n)]
    store([*_quiet(), *vain, *_guesses("203.0.113.9", QUIET_USERS[3:6], start=1, success=True)])
    run(START + timedelta(minutes=20))
    assert _failing() == [("address", "203.0.113.9"), ("agent", "ag_sso")]


def test_an_address_that_is_most_of_it_has_others_beside_it() -> None:
    store([*_quiet(), *_guesses("203.0.113.1", QUIET_USERS[:3], 100), *_guesses("203.0.113.2", QUIET_USERS[:3], 21)])
    run(START + timedelta(minutes=40))
    assert _failing() == [("address", "203.0.113.1"), ("address", "203.0.113.2")]


def test_a_users_code_that_asks_for_access_is_also_why_the_reporting_agent_is_busy() -> None:
    usual = [
        told("created", MONDAY + timedelta(hours=7 * n), f"u{n}", who=f"user_{n % 9}") for n in range(20 * 24 // 7)
    ]
    by_code = [
        told("created", START + timedelta(minutes=2 * n), f"bot-{n}", who="bot", units=[unit("shop")])
        for n in range(40)
    ]
    of_others = [told("created", START + timedelta(minutes=9 * n), f"o{n}", who=f"user_{n}") for n in range(6)]
    store([*usual, *by_code, *of_others])
    run(START + timedelta(hours=2))
    standing = Anomaly.objects.standing().exclude(state="withdrawn")
    assert list(standing.values_list("type", "entity")) == [("access_automation", "bot")]
    assert {"rate_spike"} <= set(Anomaly.objects.filter(entity="apono").values_list("type", flat=True))


def test_all_who_make_up_a_burst_of_an_agent_are_told_by_it() -> None:
    users, addresses = ("ina", "max"), [f"192.0.2.{n}" for n in range(4)]
    always = [
        record(MONDAY + timedelta(minutes=9 * n), n, principal_id=users[n % 2], ip=addresses[n % 4])
        for n in range(20 * 160)
    ]
    attack = [
        record(START + timedelta(seconds=n), 9000 + n, principal_id=users[n % 8 < 1], ip=addresses[n % 4])
        for n in range(280)
    ]
    store([*always, *attack])
    run(START + timedelta(minutes=6))
    assert _spikes() == [("agent", "ag_billing")]
    names = set(Metric.objects.filter(anomaly__type="rate_spike").values_list("name", flat=True))
    assert names >= {f"what=requests.principal={user}" for user in users}
    assert names >= {f"what=requests.address={ip}" for ip in addresses}


def test_who_is_tried_while_at_work_is_told_by_who_tries() -> None:
    """Of the user's events in that hour few are the attack, of the refusals all."""
    tried = [
        record(START + timedelta(seconds=27 * n), 7000 + n, agent_id="ag_sso", principal_id=QUIET_USERS[n % 9 + 3],
               ip="203.0.113.7", action="user.login", status="failure")
        for n in range(90)
    ]  # fmt: skip
    usual = [
        record(MONDAY + timedelta(minutes=4 * n), n, agent_id="ag_crm", principal_id="user_3", ip="10.0.0.3")
        for n in range(20 * 360 + 200)
    ]
    store([*_quiet(), *usual, *tried])
    run(START + timedelta(hours=2))
    assert _failing() == [("address", "203.0.113.7")]
    whole = Anomaly.objects.standing().get(type="high_failure_rate")
    assert "what=failures.principal=user_3" in _metrics(whole)
