"""services/histories: what an entity is judged by is its own, whoever is loaded with it."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from anomalies.models import Series
from anomalies.services import counts, histories
from tests.services.days import MONDAY, burst, store

pytestmark = pytest.mark.django_db

GUESSING: dict[str, Any] = {"status": "failure", "agent_id": "sshd", "principal_id": "root"}
LONG_KNOWN, JUST_SEEN = "192.0.2.1", "192.0.2.2"
NOW = MONDAY + timedelta(days=3)


def _attempts(*windows: histories.Window) -> list[float]:
    history = histories.load(Series.Kind.ADDRESS, windows, until=NOW)
    return list(history.attempts[JUST_SEEN].times)


def test_the_attempts_of_an_address_are_the_same_whoever_is_judged_with_it() -> None:
    for address in (LONG_KNOWN, JUST_SEEN):
        for hours in (1, 60):
            store(burst(MONDAY + timedelta(hours=hours), 30, ip=address, **GUESSING))
    counts.count_some()
    last = MONDAY + timedelta(hours=60, seconds=30)
    first = MONDAY + timedelta(hours=1)
    mine = histories.Window(JUST_SEEN, last - timedelta(hours=1), first, last)
    alone = _attempts(mine)
    assert len(alone) == 30
    assert np.min(alone) >= (mine.judge_from - timedelta(hours=2)).timestamp()
    assert _attempts(histories.Window(LONG_KNOWN, first, first, last), mine) == alone
