"""api/operations: whether it lives, whether it is ready, and what Prometheus reads."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser
from psycopg_pool import ConnectionPool, PoolTimeout

from anomalies.ingest.record import Rejection
from anomalies.models import Anomaly, ApiKey, Batch, Channel, Delivery, Scan, Severity, Source, StreamLease
from anomalies.services import events, stream
from tests import make
from tests.services.channels import channel, say
from tests.services.days import record

MINUTE = timedelta(minutes=1)
OUTCOMES = ("accepted", "duplicate", "rejected")


def delivery(to: Channel, *, due: datetime, status: str = "pending") -> None:
    message = say(make.anomaly())
    finished = due if status in ("delivered", "dead") else None
    Delivery.objects.create(
        channel=to, message=message, anomaly=message.anomaly, status=status, next_attempt_at=due, give_up_at=due,
        finished_at=finished,
    )  # fmt: skip


def scraped(client: Client, **headers: str) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, which are sorted by their names."""
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {make.api_key('read')}", **headers})
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in parser.text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def named(found: dict[tuple[str, ...], float], name: str) -> dict[tuple[str, ...], float]:
    """Those of one name, by the values of their labels."""
    return {tuple(labels): value for (one, *labels), value in found.items() if one == name}


def test_it_says_that_it_lives_without_the_database(client: Client) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"alive": True})
    assert client.head("/healthz").status_code == 200


def test_those_who_ask_from_beside_need_no_https(client: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/healthz").status_code == 200
    assert client.get("/metrics").status_code == 301


def test_where_no_connection_is_to_be_had_it_says_so_soon(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(_: ConnectionPool, timeout: float) -> None:
        assert timeout <= 2
        raise PoolTimeout

    monkeypatch.setattr(ConnectionPool, "getconn", wait)
    with ThreadPoolExecutor() as without_one:
        answer = without_one.submit(client.get, "/readyz").result()
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["The database does not answer."])


@pytest.mark.django_db
class TestReady:
    def test_with_a_fresh_scan_nothing_is_said(self, client: Client) -> None:
        make.scan(started_at=timezone.now(), finished_at=timezone.now())
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": [], "warnings": []})

    def test_before_the_first_scan_and_after_a_late_one_it_is_ready_and_says_so(self, client: Client) -> None:
        before = client.get("/readyz")
        make.scan(started_at=timezone.now() - 20 * MINUTE, finished_at=timezone.now() - 16 * MINUTE)
        after = client.get("/readyz")
        assert (before.status_code, after.status_code) == (200, 200)
        assert before.json()["warnings"] == ["No scan was finished yet: is there a worker, and the clock?"]
        assert after.json()["warnings"] == [
            "No scan was finished in the last 15 minutes: are a worker and the clock at work?"
        ]

    def test_calls_that_nobody_makes_are_told_but_not_those_of_a_channel_that_is_held(self, client: Client) -> None:
        make.scan(started_at=timezone.now(), finished_at=timezone.now())
        desk = channel()
        delivery(desk, due=timezone.now() - 6 * MINUTE)
        assert client.get("/readyz").json()["warnings"] == [
            "Calls to others have been due for 5 minutes: is a worker of their queue at work?"
        ]
        Channel.objects.filter(pk=desk.pk).update(held_until=timezone.now())
        assert client.get("/readyz").json()["warnings"] == []

    def test_what_waits_for_its_turn_is_not_late(self, client: Client) -> None:
        make.scan(started_at=timezone.now(), finished_at=timezone.now())
        desk = channel()
        delivery(desk, due=timezone.now() + MINUTE, status="failed")
        behind = say(Anomaly.objects.get(), "anomaly.closed")
        Delivery.objects.create(
            channel=desk, message=behind, anomaly=behind.anomaly, next_attempt_at=make.NOW, give_up_at=make.NOW
        )
        digests = channel(name="Digests")
        Channel.objects.filter(pk=digests.pk).update(pace=Channel.Pace.DAILY)
        delivery(digests, due=timezone.now() - 6 * MINUTE)
        assert client.get("/readyz").json()["warnings"] == []

    def test_without_a_migration_it_is_not_ready(self, client: Client) -> None:
        MigrationRecorder.Migration.objects.filter(app="anomalies").order_by("name").first().delete()
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["reasons"] == ["Migrations are missing: 1. Run manage.py migrate."]

    def test_without_the_database_it_is_not_ready_and_tells_no_secret(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: MigrationRecorder) -> None:
            raise OperationalError("connection to server at db.internal, user boss failed")

        monkeypatch.setattr(MigrationRecorder, "applied_migrations", fail)
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {"ready": False, "reasons": ["The database does not answer."], "warnings": []}
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.django_db
class TestMetrics:
    @pytest.mark.parametrize(
        ("scopes", "status"), [((), 401), (("ingest",), 403), (("review",), 403), (("read",), 200)]
    )
    def test_only_a_key_that_reads_gets_them(self, client: Client, scopes: tuple[str, ...], status: int) -> None:
        headers = {"Authorization": f"Bearer {make.api_key(*scopes)}"} if scopes else {}
        answer = client.get("/metrics", headers=headers)
        assert answer.status_code == status
        assert status == 200 or answer.json()["message"]

    def test_each_figure_has_a_meaning_and_a_name_of_ours_with_its_unit(self, client: Client) -> None:
        make.scan()
        make.source()
        answer = client.get("/metrics", headers={"Authorization": f"Bearer {make.api_key('read')}"})
        families = list(parser.text_string_to_metric_families(answer.text))
        assert len({family.name for family in families}) == len(families) >= 15
        for family in families:
            assert family.name.startswith("anomalies_")
            assert family.documentation.endswith(".")
            for sample in family.samples:
                assert sample.name.endswith("_total") == (family.type == "counter")
                assert ("_age" in sample.name or "_lag" in sample.name) <= sample.name.endswith("_seconds")

    def test_who_asks_for_openmetrics_gets_it(self, client: Client) -> None:
        make.scan()
        headers = {"Authorization": f"Bearer {make.api_key('read')}", "Accept": "application/openmetrics-text"}
        answer = client.get("/metrics", headers=headers)
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert list(openmetrics_parser.text_string_to_metric_families(answer.text))

    def test_what_each_source_sent_is_counted_with_what_was_refused(self, client: Client) -> None:
        def send(*outcomes: Any, **fields: Any) -> None:
            events.store(outcomes, source_name='o"k\\ta', format="native", received_at=make.NOW, **fields)

        bad = Rejection(1, "no time")
        first, second = record(make.NOW, 1), record(make.NOW, 2)
        send(bad)  # of nobody yet
        send(first, second, bad)
        send(first, bad)
        send(bad, bad)
        send(bad, idempotency_key="again")
        send(bad, idempotency_key="again")
        found = scraped(client)
        assert {outcome: found["anomalies_events_total", outcome, 'o"k\\ta'] for outcome in OUTCOMES} == {
            "accepted": 2, "duplicate": 1, "rejected": 5
        }  # fmt: skip
        sums = Batch.objects.values_list("accepted", "duplicate")
        assert [sum(column) for column in zip(*sums, strict=True)] == [2, 1]
        assert found["anomalies_batches_uncounted",] == 3
        assert found["anomalies_batches_uncounted_age_seconds",] > 0
        assert found["anomalies_events_late_total", 'o"k\\ta'] == 0

    def test_a_source_tells_how_far_it_is_behind_once_it_sent_something(self, client: Client) -> None:
        make.source("silent")
        make.source("okta", watermark=timezone.now() - 5 * MINUTE)
        found = scraped(client)
        assert 300 <= found["anomalies_source_watermark_lag_seconds", "okta"] < 360
        assert ("anomalies_source_watermark_lag_seconds", "silent") not in found

    def test_of_the_last_finished_scan_its_age_and_its_length_are_told(self, client: Client) -> None:
        assert ("anomalies_scan_age_seconds",) not in scraped(client)
        ApiKey.objects.all().delete()
        now = timezone.now()
        make.scan(started_at=now - 9 * MINUTE, finished_at=now - 8 * MINUTE)
        make.scan(started_at=now - 3 * MINUTE, finished_at=now - 2 * MINUTE, series_failed=3, events_counted=70)
        Scan.objects.create(trigger=Scan.Trigger.SCHEDULE, now=now, started_at=now)
        found = scraped(client)
        assert 120 <= found["anomalies_scan_age_seconds",] < 180
        assert found["anomalies_scan_duration_seconds",] == 60
        assert (found["anomalies_scan_series_failed",], found["anomalies_scan_events_counted",]) == (3, 70)

    def test_what_waits_for_people_is_counted_by_type_and_severity_and_also_none(self, client: Client) -> None:
        for _ in range(2):
            make.anomaly(severity=Severity.HIGH)
        make.anomaly(severity=Severity.LOW, type="a_detector_of_the_past")
        make.anomaly(severity=Severity.HIGH, status="acknowledged", acknowledged_at=make.NOW)
        make.anomaly(severity=Severity.HIGH, snoozed_until=make.NOW)
        make.anomaly(severity=Severity.HIGH, state="withdrawn", ended_at=make.NOW)
        found = scraped(client)
        waiting = named(found, "anomalies_to_review")
        assert {labels: count for labels, count in waiting.items() if count} == {
            ("high", "rate_spike"): 2,
            ("low", "a_detector_of_the_past"): 1,
        }
        assert waiting["medium", "rate_drop"] == 0
        assert sum(waiting.values()) == Anomaly.objects.needs_review().count()

    def test_what_channels_were_not_told_is_counted_and_who_is_held(self, client: Client) -> None:
        channel(name="Quiet")
        later = timezone.now() + MINUTE
        channel(name="Desk")
        Channel.objects.filter(name="Desk").update(held_until=later)
        desk = Channel.objects.get(name="Desk")
        for status in ("pending", "failed", "failed", "dead", "delivered"):
            delivery(desk, due=later, status=status)
        found = scraped(client)
        assert named(found, "anomalies_deliveries") == {
            ("Desk", "webhook", "pending"): 1, ("Desk", "webhook", "failed"): 2, ("Desk", "webhook", "dead"): 1,
            ("Quiet", "webhook", "pending"): 0, ("Quiet", "webhook", "failed"): 0, ("Quiet", "webhook", "dead"): 0,
        }  # fmt: skip
        assert found["anomalies_channel_held", "Desk", "webhook"] == 1
        assert found["anomalies_channel_held", "Quiet", "webhook"] == 0
        assert found["anomalies_channel_enabled", "Desk", "webhook"] == 1

    def test_only_streams_that_are_served_are_open(self, client: Client) -> None:
        make.api_key("read", name="listener")
        key = ApiKey.objects.get()
        for age in (timedelta(), stream.LEASE):
            StreamLease.objects.create(api_key=key, renewed_at=timezone.now() - age)
        found = scraped(client)
        assert found["anomalies_streams_open",] == 1
        assert found["anomalies_revocations_pending",] == 0

    def test_its_cost_in_queries_is_the_same_however_much_there_is(
        self, client: Client, django_assert_num_queries: Any
    ) -> None:
        headers = {"Authorization": f"Bearer {make.api_key('read')}"}
        client.get("/metrics", headers=headers)  # notes that the key was used
        for number in range(3):
            make.source(f"source-{number}")
            channel(name=f"channel-{number}")
            make.anomaly()
            with django_assert_num_queries(9):
                client.get("/metrics", headers=headers)
        assert Source.objects.count() == 3
