"""What other processes and connections of a test need."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import connection

from config import celery_app

SECONDS = 120


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not become so"
        time.sleep(0.05)


def database_url() -> str:
    """The test's database, for another process."""
    wanted = connection.get_connection_params()
    server = urlencode({"host": wanted["host"], "port": wanted.get("port") or 5432})
    return f"postgres://{quote(wanted['user'])}@/{wanted['dbname']}?{server}"


def is_waited_for(table: str) -> bool:
    """Whether anybody waits for a lock of that table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted", [table])
        return bool(cursor.fetchone()[0])


class Worker:
    """A Celery worker on the test's database, on a queue of its own, which may die and be started again."""

    def __init__(self, *, threads: int = 1, **environment: str) -> None:
        self.queue = f"test-{uuid.uuid4()}"
        self._threads = threads
        self._environment = environment
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        pool = ["--pool=threads", f"-c{self._threads}"]
        self._running = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "config", "worker", *pool, "-Q", self.queue],
            cwd=settings.BASE_DIR,
            env={
                **os.environ,
                "DATABASE_URL": database_url(),
                "CELERY_BROKER_URL": settings.CELERY_BROKER_URL,
                "DJANGO_SETTINGS_MODULE": "config.settings",
                **self._environment,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def tick(self, task: str) -> None:
        """Start a task, as the clock does."""
        celery_app.send_task(f"anomalies.tasks.{task}", queue=self.queue, expires=SECONDS)

    def end(self, with_: signal.Signals) -> None:
        if self._running:
            self._running.send_signal(with_)
            self._running.wait(SECONDS)
            self._running = None

    def leave_nothing(self) -> None:
        self.end(signal.SIGKILL)
        with celery_app.connection_for_write() as broker:
            celery_app.amqp.queues.select_add(self.queue)(broker.default_channel).delete()


@contextmanager
def lock_held(key: int) -> Iterator[None]:
    """Let another connection hold an advisory lock."""
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [key])
            locked.set()
            done.wait(60)
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
        connection.close()

    with ThreadPoolExecutor() as other:
        held = other.submit(hold)
        locked.wait(60)
        try:
            yield
        finally:
            done.set()
            held.result()
