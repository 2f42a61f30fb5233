"""services/deciding: rows of anomalies are locked in one order by all who lock some."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from anomalies.models import Anomaly, Scan
from anomalies.services import bulk, merging
from anomalies.services.actor import Actor
from anomalies.services.locks import Lock
from tests import make
from tests.services.days import MONDAY, burst, run, store, usual

pytestmark = pytest.mark.django_db(transaction=True)

_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
_SHARED = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND pid = pg_backend_pid()"


def _row(sql: str, *parameters: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()[0]


def test_a_decision_about_many_and_detection_wait_for_no_row_of_each_other(
    ana: User, at_once: Callable[[Sequence[Callable[[], object]]], list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Detection comes to the second first, and bulk reviews lock by number: each would have what the other needs.
    first, second = make.anomaly(), make.anomaly(started_at=make.NOW - timedelta(days=1))
    by, scan, begun = Actor(name="ana", user=ana), make.scan(), Event()
    Anomaly.objects.update(last_scan=scan)
    review = bulk.prepare(
        action="acknowledge", arguments={}, note="", anomaly_ids=[first.pk, second.pk], by=by, at=make.NOW
    )

    def lock(pk: int, _: Scan) -> None:
        Anomaly.objects.select_for_update().get(pk=pk)
        begun.set()
        while not _row(_WAITING):  # until the reviewer does
            pass

    monkeypatch.setattr(merging, "_touched", lambda _, kind: [second.pk, first.pk] if kind == "agent" else [])
    monkeypatch.setattr(merging, "_reconcile", lock)

    def decide() -> bulk.Outcome:
        assert begun.wait(30)
        return bulk.carry_out(review, by=by, at=make.NOW)

    assert at_once([lambda: merging.reconcile(scan), decide]) == [None, bulk.Outcome(2, {})]


def test_detection_locks_by_number_while_nobody_decides_about_many() -> None:
    locked: list[tuple[str, bool]] = []

    def look(execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: dict[str, Any]) -> Any:
        if "FOR UPDATE" in sql and 'FROM "anomalies_anomaly"' in sql:
            locked.append((sql, bool(_row(_SHARED, Lock.DECISIONS))))
        return execute(sql, parameters, many, context)

    seen = MONDAY + timedelta(days=20, hours=10, minutes=6)
    store([*usual(20), *burst(MONDAY + timedelta(days=20, hours=10), 300)])
    with connection.execute_wrapper(look):
        run(seen)
        store(burst(MONDAY + timedelta(days=20, hours=10, minutes=6), 300))
        run(seen + timedelta(minutes=6))
    assert len(locked) > 3
    for sql, alone in locked:
        assert alone, sql
        order = re.search(r"ORDER BY (.*?) (?:LIMIT|FOR UPDATE)", sql)
        assert (order[1] if order else '"anomalies_anomaly"."id" ASC') == '"anomalies_anomaly"."id" ASC', sql
