"""kill -9 of the worker and of the database at random moments, while events stream in and people decide."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.utils import timezone

from anomalies.models import Anomaly, BucketBlock, Scan
from anomalies.services import events, scans
from config.embedded.cluster import NAME, PORT, Cluster
from tests.services import streaming
from tests.services.days import MONDAY

KILLS = int(os.environ.get("ANOMALIES_TEST_KILLS", "10"))  # 50 take three minutes
SECONDS = 120
MOST_BETWEEN_KILLS = 0.8  # seconds
PROGRAM = "import django; django.setup(); from tests.services.streaming import main; main()"
WORKER = ["-m", "celery", "-A", "config", "worker", "--pool=threads", "-c2", "--loglevel=ERROR"]

_BUCKETS = """
SELECT s.kind, s.entity, s.action, s.metric, b.resolution_seconds, b.start, b.counts
FROM anomalies_bucketblock b JOIN anomalies_series s ON s.id = b.series_id ORDER BY 1, 2, 3, 4, 5, 6
"""
_ANOMALIES = """
SELECT type, kind, entity, started_at, active_until, severity, evidence FROM anomalies_anomaly
WHERE merged_into_id IS NULL ORDER BY 1, 2, 3, 4
"""


def _until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it does not become so: {what}"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        state = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class Installation:
    """A database, a worker, and a stream of events, all of which may die."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "DATABASE_URL": "",
            "CELERY_BROKER_URL": "filesystem://localhost",
            "ANOMALIES_LOCAL_DIR": str(folder),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONPATH": str(settings.BASE_DIR),
        }
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity=0"],
            cwd=settings.BASE_DIR, env=self.environment, check=True,
        )  # fmt: skip
        self.cluster = Cluster(folder)
        self.cluster.ensure()
        self._lines: list[str] = []
        self.worker = self._start(WORKER)
        self.stream = self._start(["-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _start(self, arguments: list[str], **options: Any) -> subprocess.Popen[Any]:
        options.setdefault("stdout", subprocess.DEVNULL)
        log = (self.folder / "crash.log").open("a")
        return subprocess.Popen(
            [sys.executable, *arguments], cwd=settings.BASE_DIR, env=self.environment, stderr=log, **options
        )

    def _read(self) -> None:
        self._lines.extend(line.strip() for line in self.stream.stdout or ())

    @property
    def lines(self) -> list[str]:
        """What the stream said so far. It must outlive whatever dies."""
        assert self.stream.poll() is None, (self.folder / "crash.log").read_text()
        return self._lines

    def send(self, number: int) -> None:
        assert self.stream.stdin
        self.stream.stdin.write(f"{number}\n")
        self.stream.stdin.flush()

    def go_on(self, numbers: range) -> None:
        """Send batches, and return when what was killed last is at work again: the next kill would hit nothing else."""
        stored, scan = len(self.lines), self._newest_scan()
        for number in numbers:
            self.send(number)
        _until(lambda: len(self.lines) > stored, "events are stored again")
        _until(lambda: self._newest_scan() > scan or not self.tick(numbers[-1]), "the worker scans again")

    def tick(self, known: int = streaming.BATCHES - 1) -> bool:
        """Let the clock go on, as it does each minute: a message may have died with its worker."""
        self.send(known)  # a batch that was sent before; a tick follows each
        time.sleep(1)
        return True

    def kill_worker(self) -> None:
        self.worker.kill()
        self.worker.wait(SECONDS)
        self.worker = self._start(WORKER)

    def kill_database(self) -> None:
        killed = self._postmaster()
        os.kill(killed, signal.SIGKILL)
        _until(lambda: not _runs(killed), "the database is dead")

    def _postmaster(self) -> int:
        """The pid of a server that accepts connections."""
        pid_file = self.folder / "postgres" / "data" / "postmaster.pid"

        def pid() -> int:
            lines = pid_file.read_text().split("\n") if pid_file.exists() else []
            ready = len(lines) > 7 and lines[7].strip() == "ready"
            return int(lines[0]) if ready and _runs(int(lines[0])) else 0

        _until(pid, "the database runs again")
        return pid()

    def end(self) -> None:
        for program in (self.worker, self.stream):
            program.kill()
            program.wait(SECONDS)
        self.cluster.ensure()
        self.cluster.leave()

    def _newest_scan(self) -> int:
        return int(self.rows("SELECT coalesce(max(id), 0) FROM anomalies_scan")[0][0])

    def rows(self, query: str) -> list[Any]:
        address = {"host": str(self.cluster.socket_folder), "port": PORT, "dbname": NAME, "user": NAME}
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                self.cluster.ensure()
                with psycopg.connect(**address) as connection:  # type: ignore[arg-type]
                    return connection.execute(query).fetchall()  # type: ignore[arg-type]
            except psycopg.OperationalError:  # it recovers from its last kill
                assert time.monotonic() < deadline
                time.sleep(0.1)


@pytest.fixture
def installation() -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="anomalies-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        installation = Installation(Path(folder))
        yield installation
        installation.end()


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs Linux")
@pytest.mark.django_db
def test_kills_lose_no_event_double_no_count_and_lose_no_decision(installation: Installation) -> None:
    rng = random.Random(KILLS)
    sent = 0
    for number in range(KILLS):
        installation.go_on(range(sent, sent := streaming.BATCHES * (number + 1) // KILLS))
        time.sleep(rng.random() * MOST_BETWEEN_KILLS)
        rng.choice([installation.kill_worker, installation.kill_database])()
    stored = {f"stored {number}" for number in range(streaming.BATCHES)}
    _until(lambda: stored <= set(installation.lines), "all batches are stored")
    _until(
        lambda: (
            installation.tick()
            and installation.rows("SELECT count(*) FROM anomalies_batch WHERE counted_at IS NULL") == [(0,)]
        ),
        "all batches are counted",
    )

    every = streaming.all_events()
    assert installation.rows("SELECT count(*), count(DISTINCT external_id) FROM anomalies_event") == [(len(every),) * 2]
    for number in range(streaming.BATCHES):
        events.store(streaming.batch(number), source_name="stream", format="native", received_at=MONDAY)
    scans.run(now=timezone.now(), trigger=Scan.Trigger.COMMAND)
    blocks = BucketBlock.objects.order_by(*(f"series__{key}" for key in ("kind", "entity", "action", "metric")))
    undisturbed = blocks.order_by().values_list(
        "series__kind", "series__entity", "series__action", "series__metric", "resolution_seconds", "start", "counts"
    )
    assert sorted(installation.rows(_BUCKETS)) == sorted(undisturbed)

    expected = sorted(
        Anomaly.objects.standing().values_list("type", "kind", "entity", "started_at", "active_until", "severity")
    )
    assert expected
    _until(
        lambda: installation.tick() and sorted(row[:6] for row in installation.rows(_ANOMALIES)) == expected,
        "the anomalies are the same",
    )

    decided = [line.split()[1] for line in installation.lines if line.startswith("decided")]
    assert decided
    entries = installation.rows(
        "SELECT a.public_id, a.status, count(*) FILTER (WHERE e.action = 'acknowledged'), "
        "count(*) FILTER (WHERE e.action = 'reopened') FROM anomalies_anomaly a "
        "JOIN anomalies_reviewentry e ON e.anomaly_id = a.id GROUP BY 1, 2"
    )
    of = {public_id: (status, acknowledged, reopened) for public_id, status, acknowledged, reopened in entries}
    for public_id in set(decided):
        status, acknowledged, reopened = of[public_id]
        assert acknowledged == decided.count(public_id)
        assert status == "acknowledged" or reopened == acknowledged
