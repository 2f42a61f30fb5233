"""Settings: what they make at first use."""

import os
import stat
import subprocess
import sys
from pathlib import Path

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
