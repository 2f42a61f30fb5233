"""Settings: what they make at first use."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from psycopg_pool.base import AttemptWithBackoff

ROOT = Path(__file__).resolve().parents[2]


def test_the_folder_of_the_secret_key_is_closed_to_others(tmp_path: Path) -> None:
    local = tmp_path / "local"
    environment = {**os.environ, "ANOMALIES_LOCAL_DIR": str(local), "ANOMALIES_SECRET_KEY": ""}

    subprocess.run([sys.executable, "-c", "import config.settings"], cwd=ROOT, env=environment, check=True)

    assert not local.stat().st_mode & (stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH)
    assert stat.S_IMODE((local / "secret_key").stat().st_mode) == 0o600


def test_a_database_that_was_away_for_long_is_tried_again_within_seconds() -> None:
    options = settings.DATABASES["default"]["OPTIONS"]["pool"]
    attempt, now = AttemptWithBackoff(timeout=options["reconnect_timeout"]), 0.0
    while not attempt.time_to_give_up(now):
        attempt.update_delay(now)
        assert attempt.delay + options["timeout"] < 15
        now += attempt.delay


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("ANOMALIES_EVENT_RETENTION_DAYS", "-1"),
        ("ANOMALIES_MINUTE_RETENTION_DAYS", "4"),
        ("ANOMALIES_FIVE_MINUTE_RETENTION_DAYS", "10"),
        ("ANOMALIES_SIGHTING_RETENTION_DAYS", "39"),
        ("ANOMALIES_SCAN_RETENTION_DAYS", "-1"),
    ],
)
def test_what_detection_reads_cannot_be_set_to_be_dropped(tmp_path: Path, name: str, days: str) -> None:
    environment = {**os.environ, "ANOMALIES_LOCAL_DIR": str(tmp_path), name: days}
    command = [sys.executable, "-c", "import config.settings"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert f"ImproperlyConfigured: {name}: " in done.stderr
