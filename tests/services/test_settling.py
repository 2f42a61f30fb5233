"""services: what becomes usual for good is one anomaly, whenever somebody looked."""

from datetime import timedelta

import pytest
from django.db import transaction

from anomalies.ingest.record import EventRecord
from anomalies.models import Anomaly
from tests.services.days import MONDAY, burst, run, store, usual

pytestmark = [pytest.mark.django_db, pytest.mark.once]

CHANGED = MONDAY + timedelta(days=16, hours=17)
END = CHANGED + timedelta(days=3)


def _more() -> list[EventRecord]:
    """Five times as much from then on, but for three hours each night."""
    more = burst(CHANGED, 32 * 48, seconds=112.5)
    return [event for event in more if 1 <= event.time.hour < 22]


def _told() -> list[tuple[object, ...]]:
    known = Anomaly.objects.standing().filter(type="rate_spike").order_by("started_at")
    return list(known.values_list("started_at", "active_until", "state", "deviation", "evidence"))


def test_what_becomes_usual_in_several_spells_is_one_change_whenever_it_was_looked_at() -> None:
    events = sorted([*usual(19), *_more()], key=lambda event: event.time)
    with transaction.atomic():
        store(events)
        run(END)
        [at_once] = _told()
        transaction.set_rollback(True)
    now = CHANGED - timedelta(hours=1)
    store([event for event in events if event.time < now])
    run(now)
    seen = 0
    while now < END:
        before, now = now, now + timedelta(hours=2)
        store([event for event in events if before <= event.time < now])
        run(now)
        seen = max(seen, len(_told()))
    assert seen > 1
    assert _told() == [at_once]
