import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from celery import Celery, Task
from celery.contrib.testing.worker import start_worker
from celery.schedules import crontab
from django.conf import settings
from django.utils import timezone
from kombu import Connection, Queue
from kombu.exceptions import OperationalError

from anomalies import tasks
from anomalies.models import Scan
from anomalies.services import reviews
from config import broker, celery_app
from tests import make

SECONDS = 60
SERVERS = {
    "filesystem": "filesystem://localhost",
    "amqp": "amqp://guest:guest@127.0.0.1:5672//",
    "redis": "redis://127.0.0.1:6379/0",
}


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not become so"
        time.sleep(0.02)


@pytest.fixture(params=SERVERS)
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Celery]:
    """The clock on a broker of each kind, with a queue of its own."""
    url = settings.CELERY_BROKER_URL
    if not url.startswith(request.param):
        url = SERVERS[request.param]
    app = Celery("anomalies-test", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.autodiscover_tasks(["anomalies"], force=True)
    app.conf.broker_url = url
    app.conf.task_default_queue = queue = f"test-{uuid.uuid4()}"
    app.conf.task_queues = [Queue(queue)]
    app.conf.broker_transport_options = _folders(tmp_path) if request.param == "filesystem" else {}
    with app.connection_for_write(connect_timeout=2) as connection:
        try:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=2)
        except OperationalError as error:
            pytest.skip(f"no server at {connection.as_uri()}: {error}")
        yield app
        app.amqp.queues[queue](connection.default_channel).delete()


def _folders(folder: Path) -> dict[str, object]:
    return {
        "data_folder_in": folder / "messages",
        "data_folder_out": folder / "messages",
        "control_folder": folder / "control",
        "polling_interval": 0.01,
    }


@contextmanager
def _worker(app: Celery) -> Iterator[None]:
    with start_worker(app, pool="threads", concurrency=2, perform_ping_check=False, loglevel="WARNING"):
        yield


@pytest.mark.django_db(transaction=True)
def test_a_tick_of_the_clock_runs_a_scan(app: Celery) -> None:
    tick = settings.CELERY_BEAT_SCHEDULE["scan"]

    app.tasks[tick["task"]].apply_async(**tick["options"])
    with _worker(app):
        _until(Scan.objects.filter(trigger=Scan.Trigger.SCHEDULE).exists)


@pytest.mark.django_db(transaction=True)
def test_ticks_that_waited_too_long_run_nothing(app: Celery) -> None:
    scan = app.tasks["anomalies.tasks.scan"]
    for _ in range(20):
        scan.apply_async(expires=0.001)

    scan.apply_async(expires=SECONDS)
    with _worker(app):
        _until(Scan.objects.exists)  # the last of the queue

    assert Scan.objects.count() == 1


def _seconds_between(due: float | crontab) -> float:
    if isinstance(due, crontab):
        before, until_next, _ = due.remaining_delta(timezone.now())
        first = before + until_next
        before, until_next, _ = due.remaining_delta(first)
        return (before + until_next - first).total_seconds()
    return due


def test_every_tick_expires_before_the_next() -> None:
    for tick in settings.CELERY_BEAT_SCHEDULE.values():
        assert tick["options"]["expires"] < _seconds_between(tick["schedule"])


def test_every_tick_is_of_a_task_that_workers_know() -> None:
    for tick in settings.CELERY_BEAT_SCHEDULE.values():
        task = getattr(tasks, tick["task"].removeprefix("anomalies.tasks."))
        assert getattr(task, "name", "") == tick["task"]


@pytest.mark.django_db
def test_each_minute_what_was_snoozed_comes_back() -> None:
    anomaly = make.anomaly(snoozed_until=timezone.now())
    tick = settings.CELERY_BEAT_SCHEDULE["wake"]
    assert tick["schedule"] == 60
    assert tick["task"] == tasks.wake.name
    tasks.wake()
    anomaly.refresh_from_db()
    assert anomaly.snoozed_until is None


def test_half_a_message_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Connection(transport=broker.Transport, transport_options=_folders(tmp_path)) as connection:
        monkeypatch.setattr(Path, "rename", lambda self, target: None)  # as if the writer were stopped there
        connection.SimpleQueue("ticks").put({"half": True})
        monkeypatch.undo()
        connection.SimpleQueue("ticks").put({"half": False})

        received = connection.SimpleQueue("ticks")
        assert received.get(timeout=SECONDS).payload == {"half": False}
        assert received.qsize() == 0


def test_what_waits_for_others_servers_holds_up_no_scan() -> None:
    def queue_of(task: Task) -> str:
        return str(celery_app.amqp.router.route({}, task.name)["queue"].name)

    assert queue_of(tasks.deliver) == queue_of(tasks.call_revocations) == settings.CALLS_QUEUE
    assert {queue_of(task) for task in (tasks.scan, tasks.judge, tasks.wake)} == {settings.CELERY_TASK_DEFAULT_QUEUE}
    assert {queue.name for queue in settings.CELERY_TASK_QUEUES} == {queue_of(tasks.scan), queue_of(tasks.deliver)}


@pytest.mark.django_db
def test_each_minute_grants_end_whose_time_is_over_whatever_else_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(reviews, "wake", fail)
    grant = make.grant(expires_at=timezone.now())
    tick = settings.CELERY_BEAT_SCHEDULE["expire-grants"]
    assert tick["schedule"] == 60
    getattr(tasks, tick["task"].removeprefix("anomalies.tasks."))()
    grant.refresh_from_db()
    assert grant.status == "expired"
