"""Programs: what each loads at its start."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WEB_SERVER = "import config.asgi; from django.urls import get_resolver; get_resolver().url_patterns"
WORKER = "from config.celery import app; app.loader.import_default_modules()"


@pytest.mark.parametrize("start", [WEB_SERVER, WORKER], ids=["web server", "worker"])
def test_statistics_are_loaded_where_they_are_needed_and_not_at_the_start(start: str) -> None:
    asked = "import sys; print('anomalies.detection.band' in sys.modules, 'scipy.stats' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", f"{start}; {asked}"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert said.stdout == "True False\n"
