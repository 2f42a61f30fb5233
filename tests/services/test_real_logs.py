"""Detection on real logs, where they lie beside the project: each known attack found, soon, and little beside."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from anomalies.models import Anomaly
from anomalies.services import evaluations, scans

DATA = Path(__file__).parents[3] / "shared" / "data"
TRUTH = Path(__file__).parents[1] / "truth"

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real logs are not there: ../shared/data"),
]


def _evaluate(truth: Path) -> evaluations.Evaluation:
    scans.replay(now=timezone.now())
    return evaluations.evaluate(evaluations.read_truth(truth.read_bytes()))


def test_each_burst_of_failed_logins_is_found_within_ten_minutes() -> None:
    log = DATA / "sshd" / "ip-10-77-20-248.auth.log"
    call_command("ingest", str(log), "--format=sshd", "--year=2017", "--source=bastion")
    found = _evaluate(DATA / "sshd" / "known_windows.json")
    assert (found.found, len(found.outcomes)) == (6, 6)
    assert found.longest_delay is not None
    assert found.longest_delay <= timedelta(minutes=10)
    assert found.false_a_day is not None
    assert found.false_a_day <= 0.5


def test_the_success_after_147_failures_is_high() -> None:
    log = DATA / "sshd" / "ip-10-77-20-248.auth.log"
    call_command("ingest", str(log), "--format=sshd", "--year=2017", "--source=bastion")
    scans.replay(now=timezone.now())
    anomaly = Anomaly.objects.get(kind="address", entity="24.151.103.17", type="high_failure_rate")
    assert anomaly.get_severity_display() == "high"
    assert anomaly.description == "Success for elastic_user_0 after 147 failures from 24.151.103.17 in 7 minutes"


def test_the_sweeps_of_passwords_and_secrets_are_found_within_five_minutes() -> None:
    call_command("ingest", str(DATA / "cloudtrail"), "--format=cloudtrail", "--source=aws")
    truth = TRUTH / "cloudtrail.json"
    found = _evaluate(truth)
    assert found.found == len(json.loads(truth.read_text())["windows"])
    assert found.longest_delay is not None
    assert found.longest_delay <= timedelta(minutes=5)
