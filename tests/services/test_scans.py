"""services/scans: which entities are judged when, and what a scan leaves alone."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from anomalies.models import (
    Agent,
    Anomaly,
    BucketBlock,
    DetectorSettings,
    Event,
    Grant,
    ResponsePolicy,
    Scan,
)
from anomalies.services import histories, scans
from anomalies.services.locks import Lock
from tests.services.days import MONDAY, SPIKE_SEEN, burst, counted, forget, record, run, store, usual
from tests.services.servers import lock_held

pytestmark = pytest.mark.django_db


def test_batches_in_any_order_give_the_same_buckets_and_anomalies() -> None:
    records = [*usual(20), *burst(MONDAY + timedelta(days=19, hours=10), 300)]
    now = MONDAY + timedelta(days=20)
    found = []
    for parts in ([records], [records[1::2], records[0::2]], [records[5000:], records[2000:5000], records[:2000]]):
        forget("event", "batch", "series", "anomaly")
        for part in parts:
            store(part)
        run(now)
        found.append(
            (
                sorted(
                    BucketBlock.objects.values_list(
                        "series__entity", "series__action", "resolution_seconds", "start", "counts"
                    )
                ),
                list(Anomaly.objects.values_list("fingerprint", "severity", "started_at", "active_until", "evidence")),
            )
        )
    assert found[0] == found[1] == found[2]
    assert found[0][1]


def test_scanning_twice_changes_nothing(spike: Anomaly) -> None:
    before = Anomaly.objects.values().get()
    run(SPIKE_SEEN)
    scans.replay(now=SPIKE_SEEN)
    after = Anomaly.objects.values().get()
    dated = {"detected_at": None, "updated_at": None, "last_scan_id": None}  # by the replay
    assert {**after, **dated} == {**before, **dated}


def test_refusals_at_the_beginning_of_a_bucket_are_judged_with_its_end() -> None:
    store(usual(20, per_hour=40))
    start = MONDAY + timedelta(days=20, hours=10)
    store(burst(start, 15, status="blocked"))
    run(start + timedelta(minutes=1))
    store([record(start + timedelta(seconds=20 + number / 4), 5000 + number) for number in range(600)])
    run(start + timedelta(minutes=6))
    assert not Anomaly.objects.filter(type="high_failure_rate").exists()


def test_a_newcomer_is_held_against_the_tenants_whole_history_whomever_it_is_judged_with() -> None:
    start = MONDAY + timedelta(days=20, hours=10)
    store([*usual(20), *burst(start, 40, agent_id="ag_new", status="blocked")])
    run(MONDAY + timedelta(days=20))
    run(start + timedelta(minutes=10))
    alone = Anomaly.objects.get(type="high_failure_rate").evidence["usual_ratio"]
    forget("anomaly")
    scans.replay(now=start + timedelta(minutes=10))
    assert Anomaly.objects.get(type="high_failure_rate").evidence["usual_ratio"] == alone < 0.02


def test_a_scan_that_lost_its_connection_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object, **__: object) -> None:
        raise OperationalError("the connection is lost")

    store(usual(1))
    monkeypatch.setattr(histories, "load", lost)
    with pytest.raises(OperationalError):
        run(MONDAY + timedelta(days=2))


def test_a_stored_parameter_that_no_longer_exists_stops_no_scan() -> None:
    DetectorSettings.objects.create(type="rate_spike", parameters={"gone": 1})
    store(usual(1))
    assert run(MONDAY + timedelta(days=2)).series_failed == 0


def test_events_older_than_the_horizon_are_counted_and_reported(spike: Anomaly) -> None:
    store(burst(MONDAY + timedelta(days=10), 400, seconds=0.5))
    scan = run(SPIKE_SEEN + timedelta(minutes=1))
    assert scan.series_late == 1
    assert Anomaly.objects.filter(type="rate_spike").count() == 1
    assert counted()["agent", 300] == Event.objects.count()


def test_future_events_are_judged_when_their_time_comes() -> None:
    store([*usual(20), *burst(MONDAY + timedelta(days=20, hours=10), 300)])
    run(MONDAY + timedelta(days=20))
    assert not Anomaly.objects.exists()
    run(SPIKE_SEEN)
    assert Anomaly.objects.filter(type="rate_spike").exists()


def test_replay_dates_anomalies_by_the_tick_that_would_have_found_them() -> None:
    start = MONDAY + timedelta(days=20, hours=10)
    store([*usual(22), *burst(start, 300)])
    scans.replay(now=MONDAY + timedelta(days=40))
    anomaly = Anomaly.objects.get(type="rate_spike")
    assert start < anomaly.detected_at <= start + timedelta(minutes=5)
    assert anomaly.state == "closed"
    assert anomaly.review_entries.get(action="closed").at == max(anomaly.detected_at, anomaly.active_until)


@pytest.mark.once
def test_replay_finds_what_scans_every_three_hours_find() -> None:
    attack = burst(MONDAY + timedelta(hours=30), 45, seconds=3, agent_id="sshd", ip="192.0.2.9", status="failure")
    records = [*usual(21), *attack, *burst(MONDAY + timedelta(days=20, hours=10), 300)]
    for start in (MONDAY + timedelta(hours=3 * number) for number in range(21 * 8)):
        store([record for record in records if start <= record.time < start + timedelta(hours=3)])
        run(start + timedelta(hours=3))
    run(MONDAY + timedelta(days=25))
    live = list(Anomaly.objects.order_by("fingerprint").values_list("fingerprint", "severity", "active_until"))
    forget("anomaly")
    scans.replay(now=MONDAY + timedelta(days=25))
    assert list(Anomaly.objects.order_by("fingerprint").values_list("fingerprint", "severity", "active_until")) == live
    assert len(live) >= 2


def test_an_idle_scan_reads_little(django_assert_max_num_queries: Any, spike: Anomaly) -> None:
    run(SPIKE_SEEN + timedelta(days=1))
    with django_assert_max_num_queries(20):
        scan = run(SPIKE_SEEN + timedelta(days=1, minutes=1))
    assert scan.series_judged == 0


def test_one_entity_that_cannot_be_judged_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    store([*usual(20), *burst(MONDAY + timedelta(days=20, hours=10), 300), record(SPIKE_SEEN, agent_id="ag_odd")])
    Agent.objects.filter(public_id="ag_odd").update(time_zone="Mars/Olympus")
    scan = run(SPIKE_SEEN + timedelta(minutes=1))
    assert scan.series_failed == 1
    assert Anomaly.objects.filter(type="rate_spike").count() == 1


def test_a_detector_switched_off_raises_nothing() -> None:
    DetectorSettings.objects.create(type="rate_spike", enabled=False)
    store([*usual(20), *burst(MONDAY + timedelta(days=20, hours=10), 300)])
    run(SPIKE_SEEN)
    assert not Anomaly.objects.filter(type="rate_spike").exists()


def test_a_changed_parameter_is_used_and_kept_as_evidence() -> None:
    DetectorSettings.objects.create(type="rate_spike", parameters={"min_ratio": 1000})
    store([*usual(20), *burst(MONDAY + timedelta(days=20, hours=10), 300)])
    run(SPIKE_SEEN)
    assert not Anomaly.objects.filter(type="rate_spike").exists()


def test_the_scheduled_scan_does_what_the_response_policy_asks() -> None:
    ResponsePolicy.objects.create(mode=ResponsePolicy.Mode.REVOKE_AGENT_GRANTS)
    store([*usual(20), *burst(MONDAY + timedelta(days=20, hours=10), 300, grant_id="grnt_1")])
    assert scans.run_if_idle(now=SPIKE_SEEN, trigger=Scan.Trigger.SCHEDULE) is not None
    grant = Grant.objects.get()
    assert (grant.status, grant.revoked_by) == ("revoked", "detection")


def test_a_new_principal_from_a_new_address_is_medium() -> None:
    settled = [record(MONDAY + timedelta(minutes=10 * n), n, principal_id="ana", ip="10.0.0.1") for n in range(3000)]
    when = MONDAY + timedelta(days=20, hours=22)
    store([*settled, record(when, 9, principal_id="eve", ip="203.0.113.5")])
    run(when + timedelta(minutes=1))
    anomaly = Anomaly.objects.get(type="new_principal")
    assert (anomaly.principal_id, anomaly.agent_id, anomaly.severity) == ("eve", "ag_billing", 2)
    assert anomaly.evidence["signs"] == ["from an address new to the agent"]


def test_configured_hours_are_of_the_agents_own_zone() -> None:
    store([record(MONDAY + timedelta(hours=h, minutes=5 * n), 100 * h + n) for h in (2, 3) for n in range(12)])
    Agent.objects.update(time_zone="Asia/Tokyo", working_hours={str(day): [9, 17] for day in range(5)})
    run(MONDAY + timedelta(hours=5))
    assert not Anomaly.objects.filter(type="off_hours_activity").exists()  # 11:00 to 13:00 in Tokyo
    Agent.objects.update(holidays=["2026-10-05"])
    scans.replay(now=MONDAY + timedelta(hours=5))
    assert Anomaly.objects.filter(type="off_hours_activity").exists()


def test_run_if_idle_gives_way_to_a_scan_under_way() -> None:
    with lock_held(Lock.SCAN):
        assert scans.run_if_idle(now=MONDAY, trigger=Scan.Trigger.SCHEDULE) is None
    assert scans.run_if_idle(now=MONDAY, trigger=Scan.Trigger.SCHEDULE) is not None


def test_a_rate_that_ends_with_its_bucket_is_raised_when_that_is_complete_without_a_further_event() -> None:
    store(usual(20, per_hour=40))
    start = MONDAY + timedelta(days=20, hours=10)
    refused = [
        record(start + timedelta(seconds=9 * n), 500 + n, status="blocked" if n % 2 else "success") for n in range(30)
    ]
    for minute in range(5):
        until = start + timedelta(minutes=minute + 1)
        store([one for one in refused if until - timedelta(minutes=1) <= one.time < until])
        run(until)
    for minute in range(5, 9):
        run(start + timedelta(minutes=minute + 1))
    live = Anomaly.objects.get(type="high_failure_rate")
    assert start + timedelta(minutes=5) < live.detected_at <= start + timedelta(minutes=8)
    forget("anomaly")
    scans.replay(now=start + timedelta(minutes=9))
    assert Anomaly.objects.get(type="high_failure_rate").evidence == live.evidence


def test_a_scan_as_of_an_earlier_time_takes_nothing_back(spike: Anomaly) -> None:
    before = Anomaly.objects.values().get()
    store([record(SPIKE_SEEN - timedelta(minutes=40), 4242)])
    run(SPIKE_SEEN - timedelta(minutes=30))
    assert Anomaly.objects.values().get() == before


def test_what_a_killed_scan_found_is_reconciled_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    always = [record(MONDAY + timedelta(minutes=20 * n), n, principal_id="eve") for n in range(20 * 72)]
    start = MONDAY + timedelta(days=20, hours=10)
    store([*always, *burst(start, 200, ip="203.0.113.7", principal_id="eve", status="failure")])
    with monkeypatch.context() as patched:
        patched.setattr(scans, "finish", lambda scan: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(start + timedelta(minutes=10))
    assert Anomaly.objects.standing().count() > 1
    run(start + timedelta(minutes=11))
    assert Anomaly.objects.standing().filter(type__in=["rate_spike", "high_failure_rate"]).count() == 1
