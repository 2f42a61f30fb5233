"""services/evidence: what lies behind an anomaly."""

from datetime import timedelta

import numpy as np
import pytest

from anomalies.models import (
    Anomaly,
)
from anomalies.services import evidence
from tests.services.days import MONDAY, SPIKE_SEEN, burst, run, store

pytestmark = pytest.mark.django_db


def test_its_series_is_shown_with_its_band(spike: Anomaly) -> None:
    shown = evidence.banded_series(spike, span=timedelta(hours=24), now=SPIKE_SEEN)
    assert shown is not None
    assert shown.resolution_seconds == 300
    assert max(shown.observed) == 300 > max(shown.upper)
    by_hour = evidence.banded_series(spike, span=timedelta(days=7), now=SPIKE_SEEN)
    assert by_hour is not None
    assert (by_hour.resolution_seconds, len(by_hour.times)) == (3600, 7 * 24 + 1)  # the first and last hour in part


def test_before_an_address_was_known_its_series_is_zero() -> None:
    store(burst(MONDAY + timedelta(hours=30), 45, seconds=3, agent_id="sshd", ip="192.0.2.9", status="failure"))
    now = MONDAY + timedelta(hours=31)
    run(now)
    anomaly = Anomaly.objects.get(kind="address", type="high_failure_rate")
    shown = evidence.banded_series(anomaly, span=timedelta(hours=24), now=now)
    assert shown is not None
    assert shown.resolution_seconds == 300
    assert len(shown.times) in (288, 289)
    assert sum(shown.observed) == 45
    assert np.diff(shown.times).tolist() == [300.0] * (len(shown.times) - 1)
