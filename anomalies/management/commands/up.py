"""Everything in one process: database, web server, worker and clock."""

import dbm
import http.client
import os
import pickle
import shelve
import signal
import socket
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.utils import DatabaseError
from django.utils import timezone
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from anomalies.management.supervisor import ChildDiedError, Supervisor
from anomalies.services import demo, installation
from anomalies.services.installation import Credentials
from config.celery import app

HOST = "127.0.0.1"
CONNECT_SECONDS = 5
READY_SECONDS = 60
CHECK_EVERY_SECONDS = 0.5


class Command(BaseCommand):
    help = "Start everything: database, web server, worker and clock. Ctrl-C stops it."
    requires_system_checks = []  # migrate runs them

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="port of the web server (default: 8000)")
        parser.add_argument(
            "--demo", action="store_true", help="fill an empty database with a simulated month, and keep events coming"
        )

    def handle(self, **options: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)
        self.console = Console(highlight=False, soft_wrap=True)
        try:
            self._run(options["port"], with_demo=options["demo"])
        except (ChildDiedError, DatabaseError) as error:
            raise CommandError(_one_sentence(error)) from error
        except KeyboardInterrupt:
            self.console.print("Stopped.")

    def _run(self, port: int, *, with_demo: bool) -> None:
        _check_port(port)
        _check_database()
        _check_broker()
        self.console.print("Preparing the database and the static files ...")
        call_command("migrate", interactive=False, verbosity=0)
        call_command("collectstatic", interactive=False, verbosity=0)
        credentials = installation.credentials(
            settings.LOCAL_DIR / "login", database=_database_name(), at=timezone.now()
        )
        if with_demo:
            self._fill()
        connection.close()
        environment = {"ANOMALIES_PUBLIC_URL": f"http://{HOST}:{port}", **os.environ}
        if with_demo:
            environment["ANOMALIES_DEMO"] = "1"
        logs = settings.LOCAL_DIR / "log"
        with Supervisor(folder=settings.BASE_DIR, logs=logs, environment=environment) as supervisor:
            try:
                web, *others = _programs(port).items()
                supervisor.start(*web)
                _wait_until_it_answers(port, supervisor.check)
                for program in others:  # two cores start one sooner than three
                    supervisor.start(*program)
                self._welcome(port, credentials)
                while True:
                    supervisor.check()
                    connection.get_connection_params()  # starts the embedded database again if it died
                    time.sleep(CHECK_EVERY_SECONDS)
            finally:
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must leave nothing behind

    def _fill(self) -> None:
        if not demo.is_empty():
            self.console.print("The database is not empty: no simulated month is added.")
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            tasks: dict[str, TaskID] = {}

            def show(step: str, done: int, total: int) -> None:
                if step not in tasks:
                    tasks[step] = progress.add_task(step, total=total)
                progress.update(tasks[step], completed=done, total=total)

            demo.fill(now=timezone.now(), progress=show)

    def _welcome(self, port: int, credentials: Credentials) -> None:
        password = credentials.password or "(the password you have set)"
        key = credentials.api_key or "(manage.py createapikey NAME --scope ... makes one)"
        self.console.print(
            f"\n[bold green]Anomalies is running.[/]\n\n"
            f"  Address   [bold]http://{HOST}:{port}/[/]\n"
            f"  Login     [bold]{installation.NAME}[/]  [bold]{password}[/]\n"
            f"  API key   [bold]{key}[/]  ({', '.join(installation.SCOPES)})\n"
            f"  Logs      {settings.LOCAL_DIR / 'log'}\n\n"
            "Ctrl-C stops it.",
        )


def _programs(port: int) -> dict[str, list[str]]:
    web = ["granian", "--interface", "asginl", "--no-ws", "--log-level", "warning", "--host", HOST, "--port", str(port)]
    celery = ["celery", "--app", "config", "--quiet"]
    worker = ["worker", "--pool", "threads", "--concurrency", "2", "--loglevel", "WARNING"]
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    beat = ["beat", "--schedule", str(readable_schedule(settings.LOCAL_DIR / f"beat-{port}")), "--loglevel", "WARNING"]
    return {
        "web server": [sys.executable, "-m", *web, "config.asgi:application"],
        "worker": [sys.executable, "-m", *celery, *worker, *alone, "--queues", settings.CELERY_TASK_DEFAULT_QUEUE],
        "worker for calls": [sys.executable, "-m", *celery, *worker, *alone, "--queues", settings.CALLS_QUEUE],
        "clock": [sys.executable, "-m", *celery, *beat],
    }


def readable_schedule(path: Path) -> Path:
    """Return where the clock keeps when it ran what last, without what a hard stop left half written there."""
    try:
        with shelve.open(str(path)) as kept:  # noqa: S301  our own, which nobody else may write
            kept.get("entries")
    except (EOFError, ValueError, pickle.UnpicklingError, *dbm.error):
        for left in path.parent.glob(f"{path.name}*"):
            left.unlink()
    return path


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise CommandError(f"--port: {port} on {HOST} cannot be used ({reason}); choose another.") from error


def _check_database() -> None:
    """Connect once, past the pool, which would try for half a minute."""
    params = {**connection.get_connection_params(), "connect_timeout": CONNECT_SECONDS}
    try:
        with connection.wrap_database_errors:
            psycopg.connect(**params).close()
    except DatabaseError as error:
        raise CommandError(f"DATABASE_URL: {_one_sentence(error)}") from error


def _check_broker() -> None:
    try:
        broker = app.connection_for_write(connect_timeout=CONNECT_SECONDS)
    except KeyError as error:
        raise CommandError(f"CELERY_BROKER_URL: {error.args[0]}.") from error
    with broker:
        try:
            broker.ensure_connection(max_retries=1, interval_start=0, timeout=CONNECT_SECONDS)
        except Exception as error:  # each transport has errors of its own
            reason = _one_sentence(error)
            raise CommandError(f"CELERY_BROKER_URL: {broker.as_uri()} is not reachable: {reason}") from error


def _database_name() -> str:
    known = connection.settings_dict
    return f"{known['HOST']}:{known['PORT']}/{known['NAME']}"


def _one_sentence(error: Exception) -> str:
    return (str(error) or repr(error)).split("\n")[0]


def _wait_until_it_answers(port: int, check: Callable[[], None]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        check()
        server = http.client.HTTPConnection(HOST, port, timeout=READY_SECONDS)
        try:
            server.request("GET", "/")
            server.getresponse()
        except OSError as error:
            if time.monotonic() > deadline:
                raise CommandError(f"The web server does not answer on port {port} ({error}).") from error
            time.sleep(0.05)
        else:
            return
        finally:
            server.close()
