"""web/told: the timeline, in sentences."""

import pytest
from django.test import Client

from anomalies.models import ReviewEntry
from tests import make
from tests.web.details.test_panel import path

pytestmark = pytest.mark.django_db


def test_detectors_that_agree_are_called_by_their_labels(as_ana: Client) -> None:
    agreed = {"with": ["new_principal"], "own_severity": 2, "why": "raised from medium to high: new_principal agrees"}
    page = as_ana.get(path(make.anomaly(evidence={**make.EVIDENCE, "agreement": agreed}))).text
    assert "Raised from medium to high: new principal agrees, within an hour." in page


def test_what_part_makes_an_anomaly_more_severe_is_told(as_ana: Client) -> None:
    why = "raised from low to high: failures of address 192.0.2.1 are of high severity"
    part = {"severity": 3, "what": "failures of address 192.0.2.1", "own_severity": 1, "why": why}
    page = as_ana.get(path(make.anomaly(evidence={**make.EVIDENCE, "part": part}))).text
    assert "Raised from low to high: failures of address 192.0.2.1 are of high severity." in page


@pytest.mark.parametrize(
    ("action", "note", "sentence"),
    [
        ("detected", "medium", "Detected, medium"),
        ("extended", "dated by a replay of the history", "Dated by a replay of the history"),
        ("extended", "severity fell from high to low", "Severity fell from high to low"),
        ("extended", "9 requests in 1 hour, 2 expected", "Goes on: 9 requests in 1 hour, 2 expected"),
        (
            "escalated",
            "severity rose from low to medium: new_principal agrees",
            "Severity rose from low to medium: new principal agrees",
        ),
        ("closed", "no further deviation", "Closed: no further deviation"),
        ("reopened", "severity rose from low to high", "Up for review again: severity rose from low to high"),
        ("merged", "into anom_1: the same cause", "Merged into anom_1: the same cause"),
        ("merged", "anom_2 (user_7): the same cause", "Merged with anom_2 (user_7): the same cause"),
        ("parted", "from anom_1: a cause of its own", "Parted from anom_1: a cause of its own"),
        ("parted", "anom_2 (user_7): a cause of its own", "Parted from anom_2 (user_7): a cause of its own"),
        ("withdrawn", "events that came late explain it", "Withdrawn: events that came late explain it"),
        ("suppressed", "planned scan (supp_1, ana)", "Suppressed: planned scan (supp_1, ana)"),
    ],
)
def test_what_detection_did_reads_as_a_sentence(as_ana: Client, action: str, note: str, sentence: str) -> None:
    anomaly = make.anomaly()
    ReviewEntry.objects.create(anomaly=anomaly, action=action, at=make.NOW, actor="detection", note=note)
    page = as_ana.get(path(anomaly)).text
    assert f"<p>{sentence}</p>" in page[page.index("Timeline") :]
