import http.client
import os
import re
import secrets
import shelve
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings

from anomalies.management.commands.up import readable_schedule
from config.embedded.cluster import NAME, Cluster

SECONDS = 90
pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="children are found through /proc"),
    pytest.mark.xdist_group("up"),
]


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not become so"
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _parent(pid: int) -> int:
    """0 if it does not run."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if state == "Z" else int(parent)


def _runs(pid: int) -> bool:
    return _parent(pid) != 0


def _children(pid: int) -> dict[int, str]:
    """Its children and theirs, with their command lines."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        if _parent(int(path.name)) == pid:
            found[int(path.name)] = (path / "cmdline").read_text().replace("\0", " ")
            found |= _children(int(path.name))
    return found


def _status(port: int, path: str) -> int:
    server = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        server.request("GET", path)
        return server.getresponse().status
    finally:
        server.close()


@dataclass
class Up:
    """One `manage.py up`, from its start to its end."""

    program: "subprocess.Popen[str]"
    port: int
    output: str = ""

    def until_it_says(self, words: str) -> None:
        assert self.program.stdout
        for line in self.program.stdout:
            self.output += line
            if words in line:
                return
        pytest.fail(f"it ended without {words!r}: {self.output}")

    def child(self, words: str) -> int:
        return next(pid for pid, line in _children(self.program.pid).items() if words in line)

    def end(self) -> int:
        """Its exit code."""
        self.output += self.program.communicate(timeout=SECONDS)[0]
        return self.program.returncode


@contextmanager
def _installation(url: str = "") -> Iterator[dict[str, str]]:
    """The environment of one on which nothing was started yet: on a server, or on the embedded default."""
    name = f"anomalies_up_{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="anomalies-test-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        environment = {**os.environ, "ANOMALIES_LOCAL_DIR": folder}
        if not url:
            yield {**environment, "DATABASE_URL": ""}
            cluster = Cluster(Path(folder))
            if cluster.home.exists():  # left running by an `up` that was killed
                cluster.ensure()
                cluster.leave()
            return
        with psycopg.connect(url, autocommit=True) as server:
            server.execute(f"CREATE DATABASE {name}")
            yield {**environment, "DATABASE_URL": urlunsplit(urlsplit(url)._replace(path=f"/{name}"))}
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module", params=["embedded", "server"])
def environment(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """An installation of these tests, on the embedded default and on the server that DATABASE_URL names, if any.

    They share it, as the starts of a day do; what needs one on which nothing was started makes its own.
    """
    if request.param == "server" and not settings.DATABASE_URL:
        pytest.skip("DATABASE_URL is not set")
    with _installation(settings.DATABASE_URL if request.param == "server" else "") as made:
        yield made


@pytest.fixture
def fresh() -> Iterator[dict[str, str]]:
    with _installation() as made:
        yield made


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., Up]]:
    """Return a function that runs `manage.py up`; what runs in the end is stopped."""
    started: list[Up] = []

    def start_up(*arguments: str, port: int | None = None, **variables: str) -> Up:
        port = port or _free_port()
        program = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(port), *arguments],
            cwd=settings.BASE_DIR,
            env={**environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(Up(program, port))
        return started[-1]

    yield start_up
    for up in started:
        up.program.terminate()
        up.program.communicate(timeout=SECONDS)


def _manage(environment: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def test_up_serves_until_it_is_told_to_stop(start: Callable[..., Up], environment: dict[str, str]) -> None:
    up = start()
    up.until_it_says("Ctrl-C stops it")

    assert f"http://127.0.0.1:{up.port}/" in up.output
    password = re.search(r"Login +admin +(\S+)", up.output)
    key = re.search(r"API key +(gx_live_\S+)", up.output)
    assert password
    assert key
    assert _status(up.port, "/admin/login/") == 200

    joining = "from django.contrib.auth import authenticate as a; u = a(username='admin', password='{}'); print(u)"
    joined = _manage(environment, "shell", "--no-imports", "-c", joining.format(password[1]))
    assert joined.stdout == "admin\n", joined.stderr

    children = _children(up.program.pid)
    for words in ("granian", "worker", "beat"):
        assert any(words in line for line in children.values()), children
    up.program.send_signal(signal.SIGTERM)

    assert up.end() == 0
    assert up.output.endswith("Stopped.\n")
    assert not [line for pid, line in children.items() if _runs(pid)]

    again = start()
    again.until_it_says("Ctrl-C stops it")
    assert password[1] in again.output
    assert key[1] in again.output


def _count(environment: dict[str, str], table: str) -> int:
    url = environment["DATABASE_URL"]
    cluster = Cluster(Path(environment["ANOMALIES_LOCAL_DIR"]))
    at = url or psycopg.conninfo.make_conninfo(host=str(cluster.socket_folder), user=NAME, dbname=NAME)
    with psycopg.connect(at) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row
    return int(row[0])


@pytest.mark.once
@pytest.mark.parametrize("environment", ["embedded"], indirect=True)
def test_the_demonstration_shows_anomalies_and_lives(fresh: dict[str, str], start: Callable[..., Up]) -> None:
    up = start("--demo", **fresh)
    up.until_it_says("Ctrl-C stops it")

    assert _count(fresh, "anomalies_anomaly") > 0
    events = _count(fresh, "anomalies_event")
    assert events > 100_000
    _until(lambda: _count(fresh, "anomalies_event") > events)


@pytest.mark.parametrize("environment", ["embedded"], indirect=True)
def test_a_database_that_dies_is_started_again(start: Callable[..., Up], environment: dict[str, str]) -> None:
    up = start()
    up.until_it_says("Ctrl-C stops it")
    pid_file = Path(environment["ANOMALIES_LOCAL_DIR"]) / "postgres" / "data" / "postmaster.pid"
    killed = int(pid_file.read_text().split()[0])

    os.kill(killed, signal.SIGKILL)

    _until(lambda: pid_file.exists() and int((pid_file.read_text().split() or [killed])[0]) != killed)
    _until(lambda: _status(up.port, "/admin/login/") == 200)
    assert up.program.poll() is None


@pytest.mark.parametrize("environment", ["embedded"], indirect=True)
def test_a_dead_child_is_one_sentence_and_ends_the_others(start: Callable[..., Up]) -> None:
    up = start()
    up.until_it_says("Ctrl-C stops it")
    children = _children(up.program.pid)

    os.kill(up.child("worker"), signal.SIGKILL)

    assert up.end() == 1
    assert re.search(
        r"^CommandError: The worker was killed by SIGKILL; \S+/worker\.log ends: .*\n\Z", up.output, re.MULTILINE
    )
    assert not [line for pid, line in children.items() if _runs(pid)]


@pytest.mark.parametrize("environment", ["embedded"], indirect=True)
def test_all_but_the_database_end_with_an_up_that_is_killed(start: Callable[..., Up]) -> None:
    up = start()
    up.until_it_says("Ctrl-C stops it")
    children = {pid: line for pid, line in _children(up.program.pid).items() if "postgres" not in line}

    up.program.kill()

    _until(lambda: not [line for pid, line in children.items() if _runs(pid)])


@pytest.mark.parametrize("environment", ["embedded"], indirect=True)
@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DATABASE_URL": "mysql://root@127.0.0.1/x"}, "DATABASE_URL: begins with postgres://"),
        ({"DATABASE_URL": "postgres://root@127.0.0.1:1/x"}, "CommandError: DATABASE_URL: .* Connection refused"),
        (
            {"CELERY_BROKER_URL": "amqp://u:pw@127.0.0.1:1//"},
            r"CommandError: CELERY_BROKER_URL: amqp://u:\*\*@.*refused",
        ),
        ({"CELERY_BROKER_URL": "pigeon://x"}, "CommandError: CELERY_BROKER_URL: No such transport: pigeon"),
        ({"ANOMALIES_POSTGRES_BIN": "/nowhere"}, "CommandError: ANOMALIES_POSTGRES_BIN: .* is not in /nowhere"),
    ],
)
def test_what_is_missing_is_one_sentence(
    fresh: dict[str, str], start: Callable[..., Up], variables: dict[str, str], sentence: str
) -> None:
    up = start(**fresh | variables)

    assert up.end() == 1
    assert re.fullmatch(f"{sentence}.*\n", up.output), up.output


@pytest.mark.parametrize("environment", ["embedded"], indirect=True)
def test_a_port_in_use_is_one_sentence(fresh: dict[str, str], start: Callable[..., Up]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        up = start(port=port, **fresh)

        assert up.end() == 1
        expected = (
            f"CommandError: --port: {port} on 127.0.0.1 cannot be used (Address already in use); choose another.\n"
        )
        assert up.output == expected


def test_a_schedule_that_a_hard_stop_left_half_written_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "beat-8000"
    with shelve.open(str(path)) as kept:
        kept["entries"] = {"scan": "noon"}
    assert readable_schedule(path) == path
    with shelve.open(str(path)) as kept:
        assert kept["entries"] == {"scan": "noon"}
    for part in tmp_path.glob("beat-8000*"):
        if part.suffix != ".dir":
            part.write_bytes(b"")
    readable_schedule(path)
    with shelve.open(str(path)) as kept:
        assert "entries" not in kept
