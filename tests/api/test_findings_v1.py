"""GET /v1/findings: each change once, in a settled order, to whoever goes on by `next`."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from anomalies.models import OutboxMessage
from anomalies.services import finding_feed, reviews, stream
from anomalies.services.actor import Actor
from anomalies.services.stream import Position
from tests import make
from tests.services.channels import say
from tests.services.ocsf_schema import complaints

BOSS = Actor("boss")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what a test announces be settled before it commits, which it never does."""
    settled = OutboxMessage.objects.order_by("transaction", "id")
    monkeypatch.setattr(type(settled), "settled", lambda self: self.order_by("transaction", "id"))
    monkeypatch.setattr(stream, "newest_position", lambda: Position(stream.LAST_NUMBER, 0))


@pytest.fixture
def poll(client: Client, db: None) -> Any:
    headers = {"Authorization": f"Bearer {make.api_key('read')}"}

    def poll(status: int = 200, **query: Any) -> dict[str, Any]:
        answer = client.get("/v1/findings", query, headers=headers)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    return poll


def told(answer: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["finding_info"]["uid"], one["activity_name"], one["status"]) for one in answer["findings"]]


@pytest.mark.usefixtures("at_once")
class TestPolling:
    def test_a_life_is_told_as_create_update_and_close_each_as_it_was_then(self, poll: Any) -> None:
        anomaly = make.anomaly(resource="payroll")
        say(anomaly)
        reviews.acknowledge(anomaly, by=BOSS, at=make.NOW)
        anomaly.refresh_from_db()
        reviews.resolve(anomaly, verdict="benign", reason="a drill", by=BOSS, at=make.NOW)
        answer = poll()
        uid = anomaly.public_id
        assert told(answer) == [
            (uid, "Create", "New"), (uid, "Update", "In Progress"), (uid, "Close", "Resolved")
        ]  # fmt: skip
        assert [one["verdict"] for one in answer["findings"]] == ["Unknown", "Unknown", "Benign"]
        assert len({one["metadata"]["uid"] for one in answer["findings"]}) == 3
        for one in answer["findings"]:
            assert complaints(one) == []
            assert one["resources"] == [{"name": "payroll"}]

    def test_page_by_page_each_change_comes_once(self, poll: Any) -> None:
        anomalies = [make.anomaly() for _ in range(7)]
        for anomaly in anomalies:
            say(anomaly)
        query: dict[str, Any] = {"limit": 3}
        seen = []
        while True:
            answer = poll(**query)
            seen += told(answer)
            query["after"] = answer["next"]
            if not answer["more"]:
                break
        assert [uid for uid, _, _ in seen] == [one.public_id for one in anomalies]
        assert poll(**query) == {"findings": [], "next": query["after"], "more": False}
        say(anomalies[0], "anomaly.updated")
        assert told(poll(**query)) == [(anomalies[0].public_id, "Update", "New")]

    def test_it_begins_where_it_is_asked_to(self, poll: Any) -> None:
        old, new = make.anomaly(), make.anomaly()
        for anomaly in (old, new):
            say(anomaly)
        cut = timezone.now() - timedelta(hours=1)
        OutboxMessage.objects.filter(anomaly=old).update(created_at=cut - timedelta(hours=1))
        assert [uid for uid, _, _ in told(poll(since=cut.isoformat()))] == [new.public_id]
        assert len(poll()["findings"]) == 2

    def test_what_was_suppressed_and_what_became_part_of_another_is_said(self, poll: Any) -> None:
        anomaly = make.anomaly()
        for type_ in ("anomaly.detected", "anomaly.suppressed", "anomaly.detected", "anomaly.merged"):
            say(anomaly, type_)
        assert [(activity, status) for _, activity, status in told(poll())] == [
            ("Create", "New"), ("Update", "Suppressed"), ("Update", "New"), ("Close", "Resolved")
        ]  # fmt: skip

    def test_its_cost_in_queries_does_not_grow(self, poll: Any, django_assert_num_queries: Any) -> None:
        poll()
        for _ in range(2):
            for _ in range(5):
                say(make.anomaly())
            with django_assert_num_queries(2):
                poll()


def test_where_nothing_came_since_it_goes_on_from_now(poll: Any) -> None:
    answer = poll(since=(timezone.now() + timedelta(days=1)).isoformat())
    assert answer["findings"] == []
    assert stream.position_of(answer["next"]).transaction > 0


@pytest.mark.django_db
def test_where_those_since_some_time_begin_is_found_without_reading_messages() -> None:
    """They are large, and all before that time would be read."""
    with CaptureQueriesContext(connection) as asked:
        finding_feed.start(make.NOW)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {asked[0]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index Only Scan using outboxmessage_order" in plan
    assert "Sort" not in plan


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ({"after": "evt_1"}, "after: "),
        ({"after": "evt_999999999999999999_1"}, "after: "),
        ({"since": "yesterday"}, "since: "),
        ({"since": "2026-11-20T12:00:00"}, "since: "),
        ({"since": "2026-11-20T12:00:00Z", "after": "evt_1_1"}, "since: "),
        ({"limit": "0"}, "limit: "),
        ({"limit": "501"}, "limit: "),
        ({"limit": "many"}, "limit: "),
    ],
)
def test_what_makes_no_sense_is_named(poll: Any, query: dict[str, str], complaint: str) -> None:
    assert poll(400, **query)["message"].startswith(complaint)


@pytest.mark.django_db
@pytest.mark.parametrize(("scopes", "status"), [((), 401), (("ingest",), 403)])
def test_only_a_key_that_reads_gets_them(client: Client, scopes: tuple[str, ...], status: int) -> None:
    headers = {"Authorization": f"Bearer {make.api_key(*scopes)}"} if scopes else {}
    assert client.get("/v1/findings", headers=headers).status_code == status
