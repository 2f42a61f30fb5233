"""services/scans: count, look, keep, end to end on PostgreSQL."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import OperationalError, connection
from django.db.models import Sum
from msgspec import structs

from anomalies.ingest.record import EventRecord
from anomalies.models import (
    Agent,
    AgentPrincipal,
    Anomaly,
    Batch,
    BucketBlock,
    DetectorSettings,
    Event,
    Grant,
    OutboxMessage,
    ResponsePolicy,
    ReviewEntry,
    Scan,
    Series,
)
from anomalies.services import counts, events, evidence, histories, reviews, scans
from anomalies.services.actor import Actor

pytestmark = pytest.mark.django_db

MONDAY = datetime(2026, 10, 5, tzinfo=UTC)
ANA = Actor(name="ana")


def _record(time: datetime, number: int = 0, **fields: Any) -> EventRecord:
    values = {
        "external_id": f"{time.isoformat()}-{number}-{fields.get('agent_id', '')}-{fields.get('ip', '')}",
        "time": time,
        "agent_id": "ag_billing",
        "action": "token.issue",
        "status": "success",
        **fields,
    }
    return EventRecord(**values)


def _usual(days: int, per_hour: int = 12) -> list[EventRecord]:
    """An agent that does the same each hour, with a little noise."""
    rng = np.random.default_rng(7)
    return [
        _record(MONDAY + timedelta(hours=hour, seconds=3600 * n / max(count, 1)), n)
        for hour, count in enumerate(rng.poisson(per_hour, 24 * days))
        for n in range(count)
    ]


def _burst(start: datetime, count: int, *, seconds: float = 1.0, **fields: Any) -> list[EventRecord]:
    return [_record(start + timedelta(seconds=seconds * n), 1000 + n, **fields) for n in range(count)]


def _store(records: Sequence[EventRecord], source: str = "test") -> None:
    events.store(records, source_name=source, format="native", received_at=MONDAY)


def _run(now: datetime) -> Scan:
    return scans.run(now=now, trigger=Scan.Trigger.COMMAND)


def _counted() -> dict[tuple[str, int], int]:
    """Sum of all buckets by kind and resolution, of requests."""
    sums: dict[tuple[str, int], int] = {}
    for kind, width, total in BucketBlock.objects.filter(series__metric="requests").values_list(
        "series__kind", "resolution_seconds", "counts"
    ):
        sums[kind, width] = sums.get((kind, width), 0) + sum(total)
    return sums


def _forget(*tables: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"TRUNCATE {', '.join(f'anomalies_{table}' for table in tables)} CASCADE")


def test_every_event_is_in_one_bucket_of_each_resolution() -> None:
    _store([*_usual(2), *_burst(MONDAY, 40, agent_id="ag_b", principal_id="ana", ip="192.0.2.1", status="blocked")])
    _run(MONDAY + timedelta(days=3))
    total = Event.objects.count()
    sums = _counted()
    assert {sums[kind, width] for kind in ("agent", "tenant") for width in (300, 3600)} == {total}
    assert sums["principal", 300] == sums["address", 3600] == 40
    assert Series.objects.filter(metric="failures", entity="192.0.2.1").exists()


def test_a_bucket_holds_the_events_of_its_time() -> None:
    _store([_record(MONDAY + timedelta(hours=23, minutes=59, seconds=59)), _record(MONDAY + timedelta(days=1), 1)])
    _run(MONDAY + timedelta(days=2))
    blocks = BucketBlock.objects.filter(series__kind="agent", resolution_seconds=300).order_by("day")
    assert [(block.counts[287], block.counts[0]) for block in blocks] == [(1, 0), (0, 1)]


def test_batches_are_counted_once_however_often_it_runs() -> None:
    _store(_usual(1))
    first, second = _run(MONDAY + timedelta(days=1)), _run(MONDAY + timedelta(days=1, minutes=1))
    assert (first.events_counted, second.events_counted) == (Event.objects.count(), 0)
    assert _counted()["agent", 300] == Event.objects.count()
    assert not Batch.objects.filter(counted_at=None).exists()


def test_a_crash_while_counting_counts_nothing_and_the_next_run_all(monkeypatch: pytest.MonkeyPatch) -> None:
    _store(_usual(1))
    with monkeypatch.context() as patched:
        patched.setattr(counts, "_DONE", "SELECT 1 / (%s::int[] IS NULL)::int")
        with pytest.raises(Exception, match="division by zero"):
            counts.count_some()
    assert not Series.objects.exists()
    _run(MONDAY + timedelta(days=1))
    assert _counted()["agent", 3600] == Event.objects.count()


def test_batches_in_any_order_give_the_same_buckets_and_anomalies() -> None:
    records = [*_usual(20), *_burst(MONDAY + timedelta(days=19, hours=10), 300)]
    now = MONDAY + timedelta(days=20)
    found = []
    for parts in ([records], [records[1::2], records[0::2]], [records[5000:], records[2000:5000], records[:2000]]):
        _forget("event", "batch", "series", "anomaly")
        for part in parts:
            _store(part)
        _run(now)
        found.append(
            (
                sorted(BucketBlock.objects.values_list("series__entity", "resolution_seconds", "day", "counts")),
                list(Anomaly.objects.values_list("fingerprint", "severity", "started_at", "active_until", "evidence")),
            )
        )
    assert found[0] == found[1] == found[2]
    assert found[0][1]


@pytest.fixture
def spike() -> Anomaly:
    """An agent's usual three weeks, then 300 events in five minutes, seen at once."""
    _store([*_usual(20), *_burst(MONDAY + timedelta(days=20, hours=10), 300)])
    _run(SPIKE_SEEN)
    return Anomaly.objects.get(type="rate_spike")


SPIKE_SEEN = MONDAY + timedelta(days=20, hours=10, minutes=6)


def test_a_spike_is_raised_open_explained_and_announced(spike: Anomaly) -> None:
    assert (spike.agent_id, spike.state, spike.status, spike.severity) == ("ag_billing", "open", "open", 3)
    assert spike.detected_at == SPIKE_SEEN
    assert spike.evidence["observed"] == 300
    assert spike.evidence["parameters"]["min_ratio"] == 2.0
    assert [entry.action for entry in spike.review_entries.all()] == ["detected"]
    assert OutboxMessage.objects.get(anomaly=spike).type == "anomaly.detected"
    assert spike.intervals.exists()


def test_scanning_twice_changes_nothing(spike: Anomaly) -> None:
    before = Anomaly.objects.values().get()
    _run(SPIKE_SEEN)
    scans.replay(now=SPIKE_SEEN)
    after = Anomaly.objects.values().get()
    assert {**after, "detected_at": None, "updated_at": None} == {**before, "detected_at": None, "updated_at": None}


def test_it_closes_when_the_series_is_back_in_its_band(spike: Anomaly) -> None:
    scan = _run(SPIKE_SEEN + timedelta(hours=3))
    spike.refresh_from_db()
    assert (spike.state, spike.ended_at, scan.anomalies_closed) == ("closed", spike.active_until, 1)
    assert spike.status == "open"  # that is for people to decide


def test_an_acknowledged_anomaly_stays_so_while_it_goes_on(spike: Anomaly) -> None:
    reviews.acknowledge(spike, by=ANA, at=SPIKE_SEEN)
    _store(_burst(SPIKE_SEEN + timedelta(minutes=2), 200))
    scan = _run(SPIKE_SEEN + timedelta(minutes=8))
    after = Anomaly.objects.get(type="rate_spike")
    assert (after.public_id, after.status, after.acknowledged_by) == (spike.public_id, "acknowledged", "ana")
    assert after.active_until > spike.active_until
    assert scan.anomalies_extended == 1


def test_it_reopens_when_it_gets_materially_worse_and_says_so() -> None:
    address = {"agent_id": "sshd", "ip": "192.0.2.9", "action": "ssh.login", "principal_id": "root"}
    start = MONDAY + timedelta(hours=3)
    _store(_burst(start, 30, seconds=5, status="failure", **address))
    _run(start + timedelta(minutes=4))
    anomaly = Anomaly.objects.get(kind="address", type="high_failure_rate")
    assert anomaly.severity == 2
    reviews.acknowledge(anomaly, by=ANA, at=start + timedelta(minutes=4))
    _store([_record(start + timedelta(minutes=5), 5000, **address)])
    _run(start + timedelta(minutes=6))
    anomaly.refresh_from_db()
    assert (anomaly.severity, anomaly.status, anomaly.acknowledged_at) == (3, "open", None)
    notes = list(anomaly.review_entries.order_by("id").values_list("action", "note"))
    assert notes[-1] == ("reopened", "severity rose from medium to high")
    assert anomaly.description == "Success for root after 30 failures from 192.0.2.9 in 5 minutes"


def test_late_events_amend_the_same_anomaly(spike: Anomaly) -> None:
    _run(SPIKE_SEEN + timedelta(hours=5))
    _store(_burst(MONDAY + timedelta(days=20, hours=10, seconds=1), 250, seconds=1.1))
    _run(SPIKE_SEEN + timedelta(hours=6))
    after = Anomaly.objects.get(type="rate_spike")
    assert after.public_id == spike.public_id
    assert after.evidence["observed"] > 500


def test_a_late_event_in_the_middle_leaves_the_rest_of_the_anomaly(spike: Anomaly) -> None:
    _run(SPIKE_SEEN + timedelta(hours=5))
    before = Anomaly.objects.values("started_at", "active_until").get()
    _store([_record(MONDAY + timedelta(days=20, hours=10, minutes=4), 9999)])
    _run(SPIKE_SEEN + timedelta(hours=6))
    assert Anomaly.objects.values("started_at", "active_until").get() == before
    assert Anomaly.objects.get().evidence["observed"] == 301


def test_another_new_principal_is_another_anomaly_and_the_decision_about_the_first_stays() -> None:
    _store([_record(MONDAY + timedelta(minutes=10 * n), n, principal_id="ana") for n in range(3000)])
    first, second = MONDAY + timedelta(days=20, hours=22), MONDAY + timedelta(days=20, hours=23, minutes=40)
    _store([_record(first, 8, principal_id="eve")])
    _run(first + timedelta(minutes=1))
    reviews.acknowledge(Anomaly.objects.get(type="new_principal"), by=ANA, at=first)
    _store([_record(second, 9, principal_id="mallory")])
    _run(second + timedelta(minutes=1))
    found = Anomaly.objects.filter(type="new_principal").order_by("started_at")
    assert [(one.principal_id, one.status) for one in found] == [("eve", "acknowledged"), ("mallory", "open")]


def test_refusals_at_the_beginning_of_a_bucket_are_judged_with_its_end() -> None:
    _store(_usual(20, per_hour=40))
    start = MONDAY + timedelta(days=20, hours=10)
    _store(_burst(start, 15, status="blocked"))
    _run(start + timedelta(minutes=1))
    _store([_record(start + timedelta(seconds=20 + number / 4), 5000 + number) for number in range(600)])
    _run(start + timedelta(minutes=6))
    assert not Anomaly.objects.filter(type="high_failure_rate").exists()


def test_a_newcomer_is_held_against_the_tenants_whole_history_whomever_it_is_judged_with() -> None:
    start = MONDAY + timedelta(days=20, hours=10)
    _store([*_usual(20), *_burst(start, 40, agent_id="ag_new", status="blocked")])
    _run(MONDAY + timedelta(days=20))
    _run(start + timedelta(minutes=10))
    alone = Anomaly.objects.get(type="high_failure_rate").evidence["usual_ratio"]
    _forget("anomaly")
    scans.replay(now=start + timedelta(minutes=10))
    assert Anomaly.objects.get(type="high_failure_rate").evidence["usual_ratio"] == alone < 0.02


def test_an_address_whose_agent_stays_in_its_band_is_raised_itself() -> None:
    _store([*_usual(20, per_hour=60)])
    quiet = [_record(MONDAY + timedelta(hours=n), 90_000 + n, ip="10.0.0.9") for n in range(480)]
    start = MONDAY + timedelta(days=20, hours=10)
    _store([*quiet, *_burst(start, 55, seconds=60, ip="10.0.0.9")])
    _run(start + timedelta(hours=1))
    assert [one.kind for one in Anomaly.objects.filter(type="rate_spike")] == ["address"]


def test_a_scan_that_lost_its_connection_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object, **__: object) -> None:
        raise OperationalError("the connection is lost")

    _store(_usual(1))
    monkeypatch.setattr(histories, "load", lost)
    with pytest.raises(OperationalError):
        _run(MONDAY + timedelta(days=2))


def test_a_stored_parameter_that_no_longer_exists_stops_no_scan() -> None:
    DetectorSettings.objects.create(type="rate_spike", parameters={"gone": 1})
    _store(_usual(1))
    assert _run(MONDAY + timedelta(days=2)).series_failed == 0


def test_events_older_than_the_horizon_are_counted_and_reported(spike: Anomaly) -> None:
    _store(_burst(MONDAY + timedelta(days=10), 400, seconds=0.5))
    scan = _run(SPIKE_SEEN + timedelta(minutes=1))
    assert scan.series_late == 1
    assert Anomaly.objects.filter(type="rate_spike").count() == 1
    assert _counted()["agent", 300] == Event.objects.count()


def test_future_events_are_judged_when_their_time_comes() -> None:
    _store([*_usual(20), *_burst(MONDAY + timedelta(days=20, hours=10), 300)])
    _run(MONDAY + timedelta(days=20))
    assert not Anomaly.objects.exists()
    _run(SPIKE_SEEN)
    assert Anomaly.objects.filter(type="rate_spike").exists()


def test_replay_dates_anomalies_by_the_tick_that_would_have_found_them() -> None:
    start = MONDAY + timedelta(days=20, hours=10)
    _store([*_usual(22), *_burst(start, 300)])
    scans.replay(now=MONDAY + timedelta(days=40))
    anomaly = Anomaly.objects.get(type="rate_spike")
    assert start < anomaly.detected_at <= start + timedelta(minutes=5)
    assert anomaly.state == "closed"


def test_replay_finds_what_scans_every_three_hours_find() -> None:
    attack = _burst(MONDAY + timedelta(hours=30), 45, seconds=3, agent_id="sshd", ip="192.0.2.9", status="failure")
    records = [*_usual(21), *attack, *_burst(MONDAY + timedelta(days=20, hours=10), 300)]
    for start in (MONDAY + timedelta(hours=3 * number) for number in range(21 * 8)):
        _store([record for record in records if start <= record.time < start + timedelta(hours=3)])
        _run(start + timedelta(hours=3))
    _run(MONDAY + timedelta(days=25))
    live = list(Anomaly.objects.order_by("fingerprint").values_list("fingerprint", "severity", "active_until"))
    _forget("anomaly")
    scans.replay(now=MONDAY + timedelta(days=25))
    assert list(Anomaly.objects.order_by("fingerprint").values_list("fingerprint", "severity", "active_until")) == live
    assert len(live) >= 2


def test_an_idle_scan_reads_little(django_assert_max_num_queries: Any, spike: Anomaly) -> None:
    _run(SPIKE_SEEN + timedelta(days=1))
    with django_assert_max_num_queries(12):
        scan = _run(SPIKE_SEEN + timedelta(days=1, minutes=1))
    assert scan.series_judged == 0


def test_one_entity_that_cannot_be_judged_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    _store([*_usual(20), *_burst(MONDAY + timedelta(days=20, hours=10), 300), _record(SPIKE_SEEN, agent_id="ag_odd")])
    Agent.objects.filter(public_id="ag_odd").update(time_zone="Mars/Olympus")
    scan = _run(SPIKE_SEEN + timedelta(minutes=1))
    assert scan.series_failed == 1
    assert Anomaly.objects.filter(type="rate_spike").count() == 1


def test_a_detector_switched_off_raises_nothing() -> None:
    DetectorSettings.objects.create(type="rate_spike", enabled=False)
    _store([*_usual(20), *_burst(MONDAY + timedelta(days=20, hours=10), 300)])
    _run(SPIKE_SEEN)
    assert not Anomaly.objects.filter(type="rate_spike").exists()


def test_a_changed_parameter_is_used_and_kept_as_evidence() -> None:
    DetectorSettings.objects.create(type="rate_spike", parameters={"min_ratio": 1000})
    _store([*_usual(20), *_burst(MONDAY + timedelta(days=20, hours=10), 300)])
    _run(SPIKE_SEEN)
    assert not Anomaly.objects.filter(type="rate_spike").exists()


def test_the_scheduled_scan_does_what_the_response_policy_asks() -> None:
    ResponsePolicy.objects.create(mode=ResponsePolicy.Mode.REVOKE_AGENT_GRANTS)
    _store([*_usual(20), *_burst(MONDAY + timedelta(days=20, hours=10), 300, grant_id="grnt_1")])
    assert scans.run_if_idle(now=SPIKE_SEEN, trigger=Scan.Trigger.SCHEDULE) is not None
    grant = Grant.objects.get()
    assert (grant.status, grant.revoked_by) == ("revoked", "detection")


def test_meetings_and_first_seen_are_kept() -> None:
    _store([_record(MONDAY, 1, principal_id="ana"), _record(MONDAY - timedelta(hours=1), 2, principal_id="ana")])
    _run(MONDAY + timedelta(minutes=1))
    pair = AgentPrincipal.objects.get()
    assert (pair.first_seen, pair.last_seen) == (MONDAY - timedelta(hours=1), MONDAY)
    assert Agent.objects.get().first_seen == MONDAY - timedelta(hours=1)


def test_a_new_principal_from_a_new_address_is_medium() -> None:
    settled = [_record(MONDAY + timedelta(minutes=10 * n), n, principal_id="ana", ip="10.0.0.1") for n in range(3000)]
    when = MONDAY + timedelta(days=20, hours=22)
    _store([*settled, _record(when, 9, principal_id="eve", ip="203.0.113.5")])
    _run(when + timedelta(minutes=1))
    anomaly = Anomaly.objects.get(type="new_principal")
    assert (anomaly.principal_id, anomaly.agent_id, anomaly.severity) == ("eve", "ag_billing", 2)
    assert anomaly.evidence["signs"] == ["from an address new to the agent"]


def test_configured_hours_are_of_the_agents_own_zone() -> None:
    _store([_record(MONDAY + timedelta(hours=h, minutes=5 * n), 100 * h + n) for h in (2, 3) for n in range(12)])
    Agent.objects.update(time_zone="Asia/Tokyo", working_hours={str(day): [9, 17] for day in range(5)})
    _run(MONDAY + timedelta(hours=5))
    assert not Anomaly.objects.filter(type="off_hours_activity").exists()  # 11:00 to 13:00 in Tokyo
    Agent.objects.update(holidays=["2026-10-05"])
    scans.replay(now=MONDAY + timedelta(hours=5))
    assert Anomaly.objects.filter(type="off_hours_activity").exists()


def test_what_all_events_share_is_on_the_anomaly() -> None:
    _store(
        _burst(
            MONDAY, 30, agent_id="sshd", ip="192.0.2.9", status="failure", integration="ssh", resource="db1",
            resource_type="host", principal_id="root",
        )
    )  # fmt: skip
    _run(MONDAY + timedelta(minutes=2))
    anomaly = Anomaly.objects.get(kind="address", type="high_failure_rate")
    assert (anomaly.agent_id, anomaly.principal_id, anomaly.ip) == ("sshd", "root", "192.0.2.9")
    assert (anomaly.integration, anomaly.resource, anomaly.resource_type) == ("ssh", "db1", "host")
    assert evidence.events_behind(anomaly).count() == 30


def test_its_series_is_shown_with_its_band(spike: Anomaly) -> None:
    shown = evidence.banded_series(spike, span=timedelta(hours=24), now=SPIKE_SEEN)
    assert shown is not None
    assert shown.resolution_seconds == 300
    assert max(shown.observed) == 300 > max(shown.upper)
    by_hour = evidence.banded_series(spike, span=timedelta(days=7), now=SPIKE_SEEN)
    assert by_hour is not None
    assert (by_hour.resolution_seconds, len(by_hour.times)) == (3600, 7 * 24 + 1)  # the first and last hour in part


def test_before_an_address_was_known_its_series_is_zero() -> None:
    _store(_burst(MONDAY + timedelta(hours=30), 45, seconds=3, agent_id="sshd", ip="192.0.2.9", status="failure"))
    now = MONDAY + timedelta(hours=31)
    _run(now)
    anomaly = Anomaly.objects.get(kind="address", type="high_failure_rate")
    shown = evidence.banded_series(anomaly, span=timedelta(hours=24), now=now)
    assert shown is not None
    assert shown.resolution_seconds == 300
    assert len(shown.times) in (288, 289)
    assert sum(shown.observed) == 45
    assert np.diff(shown.times).tolist() == [300.0] * (len(shown.times) - 1)


def test_run_if_idle_gives_way_to_a_scan_under_way() -> None:
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [scans.LOCK])
            locked.set()
            done.wait(60)
            cursor.execute("SELECT pg_advisory_unlock(%s)", [scans.LOCK])
        connection.close()

    with ThreadPoolExecutor() as other:
        held = other.submit(hold)
        locked.wait(60)
        assert scans.run_if_idle(now=MONDAY, trigger=Scan.Trigger.SCHEDULE) is None
        done.set()
        held.result()
    assert scans.run_if_idle(now=MONDAY, trigger=Scan.Trigger.SCHEDULE) is not None


def test_sums_of_accepted_match_the_buckets() -> None:
    _store(_usual(3))
    _store(_usual(3))  # duplicates
    _run(MONDAY + timedelta(days=4))
    accepted = Batch.objects.aggregate(total=Sum("accepted"))["total"]
    assert accepted == Event.objects.count() == _counted()["agent", 300]


def test_an_address_that_is_all_its_agent_does_is_told_by_the_agent() -> None:
    quiet = [{**structs.asdict(record), "ip": "10.0.0.1"} for record in _usual(20)]
    _store(
        [*(EventRecord(**fields) for fields in quiet), *_burst(SPIKE_SEEN - timedelta(minutes=6), 300, ip="10.0.0.1")]
    )
    scan = _run(SPIKE_SEEN)
    assert [(one.kind, one.entity) for one in Anomaly.objects.filter(type="rate_spike")] == [("agent", "ag_billing")]
    assert scan.findings_told_by_others == 1


def test_a_user_who_is_little_of_a_busy_agent_is_not() -> None:
    busy = [_record(MONDAY + timedelta(seconds=6 * n), n) for n in range(14_400 * 4)]
    quiet = [_record(MONDAY + timedelta(hours=3 * n), 500_000 + n, principal_id="eve") for n in range(8 * 4)]
    start = MONDAY + timedelta(days=3, hours=22)
    _store([*busy, *quiet, *_burst(start, 40, seconds=2, principal_id="eve")])
    _run(start + timedelta(minutes=4))
    assert Anomaly.objects.filter(type="rate_spike", kind="principal", entity="eve").exists()


def test_entries_of_detection_name_no_person(spike: Anomaly) -> None:
    assert set(ReviewEntry.objects.values_list("actor", "user")) == {("detection", None)}
