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


def complaint(local: Path, name: str, value: str) -> str:
    """Return what the settings say on standard error with that variable; nothing where they take it."""
    environment = {**os.environ, "ANOMALIES_LOCAL_DIR": str(local), name: value}
    command = [sys.executable, "-c", "import config.settings"]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True).stderr


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
    assert f"ImproperlyConfigured: {name}: " in complaint(tmp_path, name, days)


@pytest.mark.parametrize(
    "relays",
    [
        "pagerdutty=https://relay.internal/pagerduty",
        "pagerduty",
        "pagerduty=relay.internal",
        "datadog=https://relay.internal,slack=https://relay.internal",
    ],
)
def test_a_relay_of_no_service_is_named_at_start(tmp_path: Path, relays: str) -> None:
    said = complaint(tmp_path, "ANOMALIES_RELAYS", relays).splitlines()[-1]
    wrong = relays.rpartition(",")[2]
    assert said == (
        f"django.core.exceptions.ImproperlyConfigured: ANOMALIES_RELAYS: {wrong!r} is no pagerduty or datadog with an "
        "address; write pagerduty=https://relay.internal/pagerduty."
    )


@pytest.mark.parametrize("relays", ["", "pagerduty=https://a.internal/x?y=z,datadog=http://127.0.0.1:9"])
def test_relays_of_services_are_taken(tmp_path: Path, relays: str) -> None:
    assert complaint(tmp_path, "ANOMALIES_RELAYS", relays) == ""


@pytest.mark.parametrize(
    ("url", "complaint_of_it"),
    [
        ("smtp://ana:hunter2@mail.example:25", "its password could be read on the way"),
        ("smtp+tls://ana:hunter2@mail.example:587", ""),
        ("smtp+ssl://ana:hunter2@mail.example:465", ""),
        ("smtp://mail.example:25", ""),
        ("smtp://ana:hunter2@127.0.0.1:25", ""),
        ("smtp+tls://", "it names no server"),
    ],
)
def test_no_password_of_a_mail_server_goes_over_a_plain_connection(
    tmp_path: Path, url: str, complaint_of_it: str
) -> None:
    said = complaint(tmp_path, "ANOMALIES_EMAIL_URL", url)
    assert f"ImproperlyConfigured: ANOMALIES_EMAIL_URL: {complaint_of_it}" in said if complaint_of_it else said == ""
    assert "hunter2" not in said
