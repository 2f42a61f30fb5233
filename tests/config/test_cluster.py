import fcntl
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.embedded import binaries
from config.embedded.cluster import NAME, PORT, Cluster, ClusterError, state_folders

SECONDS = 60
pytestmark = pytest.mark.xdist_group("cluster")  # the one that most of them share
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
on_linux = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="left-overs are found through /proc")

USE_CLUSTER = """
import sys
from pathlib import Path
from config.embedded.cluster import Cluster
cluster = Cluster(Path(sys.argv[1]))
cluster.ensure()
print("ready", flush=True)
sys.stdin.readline()
cluster.leave()
"""


def _until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it does not become so"
        time.sleep(0.01)


def _connect(cluster: Cluster) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=str(cluster.socket_folder), port=PORT, user=NAME, dbname=NAME, autocommit=True, connect_timeout=SECONDS
    )


def _server_pid(cluster: Cluster) -> int:
    return int((cluster.home / "data" / "postmaster.pid").read_text().split()[0])


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return ") Z" not in Path(f"/proc/{pid}/stat").read_text() if Path("/proc/self/stat").exists() else True


def _use(local: Path) -> "subprocess.Popen[str]":
    """Another process that starts or joins the cluster, and leaves it when told to."""
    return subprocess.Popen(
        [sys.executable, "-c", USE_CLUSTER, str(local)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@contextmanager
def _open_folder() -> Iterator[Path]:
    """A folder that every user reaches: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="anomalies-test-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with _open_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """Where the cluster lies that most tests start and stop in turn: making one takes its time."""
    with _open_folder() as folder:
        yield folder / ".local"


@pytest.fixture
def make(shared: Path, open_folder: Path) -> Iterator[Callable[..., Cluster]]:
    """Return a function that makes a Cluster, which is left in the end."""
    made: list[Cluster] = []

    def make_cluster(local: Path = shared, **options: Any) -> Cluster:
        made.append(Cluster(local, **options))
        return made[-1]

    yield make_cluster
    for cluster in made:
        cluster.leave()
        if cluster.socket_folder != cluster.home and cluster.socket_folder.exists():
            cluster.socket_folder.rmdir()


def test_a_cluster_is_made_and_started_by_its_first_user(make: Callable[..., Cluster], open_folder: Path) -> None:
    cluster = make(open_folder / ".local")

    cluster.ensure()

    with _connect(cluster) as connection:
        row = connection.execute("SELECT current_setting('listen_addresses'), current_setting('fsync')").fetchone()
        assert row == ("", "on")
        encoding = connection.execute("SHOW server_encoding").fetchone()
        assert encoding == ("UTF8",)
    assert cluster.home == open_folder / ".local" / "postgres"


def test_nobody_else_gets_into_its_folder(make: Callable[..., Cluster], shared: Path) -> None:
    cluster = make()
    cluster.ensure()

    assert cluster.home.stat().st_mode & 0o777 == 0o700
    assert shared.parent.stat().st_mode & 0o777 == 0o755  # its parents are left as they were


def test_its_last_user_stops_it(make: Callable[..., Cluster]) -> None:
    cluster = make()
    cluster.ensure()
    pid = _server_pid(cluster)

    cluster.leave()

    assert not _runs(pid)


def test_another_process_joins_and_outlives_the_one_that_started_it(make: Callable[..., Cluster], shared: Path) -> None:
    cluster = make()
    cluster.ensure()
    pid = _server_pid(cluster)

    with _use(shared) as other:
        assert other.stdout
        assert other.stdout.readline() == "ready\n"
        cluster.leave()
        assert _server_pid(cluster) == pid
        assert _runs(pid)
        other.communicate("leave\n")
    assert not _runs(pid)


def test_a_client_without_a_lease_keeps_it_running(make: Callable[..., Cluster]) -> None:
    cluster = make()
    cluster.ensure()
    pid = _server_pid(cluster)

    with _connect(cluster):
        cluster.leave()
        assert _runs(pid)

    cluster.ensure()  # so that the fixture stops it


def test_two_processes_that_start_it_at_once_get_one_server(open_folder: Path) -> None:
    with _use(open_folder / ".local") as one, _use(open_folder / ".local") as two:
        assert one.stdout
        assert two.stdout
        assert [one.stdout.readline(), two.stdout.readline()] == ["ready\n", "ready\n"]
        log = (open_folder / ".local" / "postgres" / "server.log").read_text()
        assert log.count("ready to accept connections") == 1
        one.communicate("leave\n")
        two.communicate("leave\n")


@on_linux
def test_what_was_committed_survives_kill_9_of_the_server(make: Callable[..., Cluster]) -> None:
    cluster = make()
    cluster.ensure()
    with _connect(cluster) as connection:
        connection.execute("CREATE TABLE kept (number integer)")
        connection.execute("INSERT INTO kept SELECT generate_series(1, 1000)")
    busy = _connect(cluster)  # its server process outlives the postmaster
    pid = busy.info.backend_pid
    pipe = busy.pgconn
    pipe.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000)")
    killed = _server_pid(cluster)

    os.kill(killed, signal.SIGKILL)
    _until(lambda: not _runs(killed))
    cluster.ensure()

    with _connect(cluster) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)
    assert _server_pid(cluster) != killed
    assert not _runs(pid)
    busy.close()


@on_linux
def test_a_pid_file_that_names_another_process_does_not_keep_it_from_starting(make: Callable[..., Cluster]) -> None:
    cluster = make()
    cluster.ensure()
    cluster.leave()
    (cluster.home / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{cluster.home}/data\n")

    cluster.ensure()

    assert _server_pid(cluster) != os.getpid()


def test_an_interrupted_initdb_leaves_no_half_cluster(make: Callable[..., Cluster], open_folder: Path) -> None:
    cluster = make(open_folder / ".local")
    half = cluster.home / "data.new" / "base"
    half.mkdir(parents=True)
    os.chown(cluster.home, cluster.account.uid, cluster.account.gid)

    cluster.ensure()

    assert not half.exists()
    with _connect(cluster) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_start_that_fails_quotes_the_log(make: Callable[..., Cluster]) -> None:
    cluster = make()
    cluster.ensure()
    cluster.leave()
    gone = time.monotonic() + 60  # on a busy machine a connection that is just ending still counts as a stranger's
    while cluster._postmaster():
        assert time.monotonic() < gone
        time.sleep(0.1)
        cluster.ensure()
        cluster.leave()
    settings = cluster.home / "data" / "postgresql.auto.conf"
    settings.write_text("work_mem = lots\n")

    with pytest.raises(ClusterError, match=r"did not start; .*server\.log ends: .*lots"):
        cluster.ensure()

    settings.write_text("")


def test_a_path_too_long_for_a_socket_is_no_hindrance(make: Callable[..., Cluster], open_folder: Path) -> None:
    local = open_folder / ("long" * 25) / ".local"
    cluster = make(local)

    cluster.ensure()

    assert cluster.home == local / "postgres"
    assert cluster.socket_folder != cluster.home
    assert cluster.socket_folder.stat().st_mode & 0o777 == 0o700
    with _connect(cluster) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("name", ["a \"folder' of Zoë's", "com,ma"])
def test_a_strange_path_is_no_hindrance(make: Callable[..., Cluster], open_folder: Path, name: str) -> None:
    cluster = make(open_folder / name)

    cluster.ensure()

    with _connect(cluster) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@as_root
def test_a_checkout_the_servers_user_cannot_reach_puts_it_into_the_state_folder(
    make: Callable[..., Cluster], open_folder: Path
) -> None:
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    cluster = make(closed / ".local", elsewhere=[open_folder / "state" / "anomalies-1"])

    cluster.ensure()

    assert cluster.home == open_folder / "state" / "anomalies-1"
    assert closed.stat().st_mode & 0o777 == 0o700
    assert cluster.home.stat().st_uid != 0


@as_root
def test_programs_the_servers_user_cannot_reach_are_copied(make: Callable[..., Cluster], open_folder: Path) -> None:
    wheel = importlib.util.find_spec(binaries.WHEEL)
    if wheel is None or wheel.origin is None:
        pytest.skip(f"the wheel {binaries.WHEEL} is not installed")
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    package = Path(wheel.origin).parent
    newest = max(package.glob("pginstall*"))
    shutil.copytree(newest, closed / package.name / newest.name, symlinks=True)
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, closed / libraries.name)
    cluster = make(open_folder / ".local", postgres_bin=str(closed / package.name / newest.name / "bin"))

    cluster.ensure()

    with _connect(cluster) as connection:
        assert connection.execute("SELECT 'ä' ILIKE 'Ä'").fetchone() == (True,)


@as_root
def test_a_folder_of_somebody_else_is_not_taken(make: Callable[..., Cluster], open_folder: Path) -> None:
    cluster = make(open_folder / ("long" * 25) / ".local")
    socket_folder = cluster.socket_folder
    socket_folder.mkdir()
    os.chown(socket_folder, 12345, 12345)

    with pytest.raises(ClusterError, match=re.escape(f"{socket_folder} belongs to another user")):
        cluster.ensure()


def test_state_folders_differ_by_checkout(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(open_folder))

    one, two = state_folders(Path("/one/.local")), state_folders(Path("/two/.local"))

    assert one[0].parent == two[0].parent == open_folder
    assert not set(one) & set(two)


@pytest.mark.parametrize("configured", ["", "set"])
def test_without_programs_one_sentence_says_what_to_do(
    make: Callable[..., Cluster], open_folder: Path, monkeypatch: pytest.MonkeyPatch, configured: str
) -> None:
    monkeypatch.setenv("PATH", str(open_folder))
    monkeypatch.setattr(binaries, "USUAL_FOLDERS", ())
    monkeypatch.setattr(binaries, "WHEEL", "no_such_wheel")
    cluster = make(open_folder / ".local", postgres_bin=str(open_folder) if configured else "")

    with pytest.raises(ClusterError) as raised:
        cluster.ensure()

    if configured:
        assert str(raised.value).startswith(f"ANOMALIES_POSTGRES_BIN: PostgreSQL 15 or newer is not in {open_folder}; ")
    else:
        assert str(raised.value).startswith("PostgreSQL 15 or newer was not found; install it, ")


def test_programs_that_are_too_old_are_named(open_folder: Path) -> None:
    for name in ("postgres", "initdb"):
        (open_folder / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 13.4'\n")
        (open_folder / name).chmod(0o755)

    with pytest.raises(binaries.BinariesError, match=r"PostgreSQL 15 or newer is not in .* \(only 13\)"):
        binaries.find(str(open_folder))


def test_a_lease_ends_with_its_process_however_it_ends(make: Callable[..., Cluster], shared: Path) -> None:
    cluster = make()
    cluster.ensure()
    with _use(shared) as other:
        assert other.stdout
        assert other.stdout.readline() == "ready\n"
        other.kill()
    cluster.leave()

    with (cluster.home / "lease").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not (cluster.home / "data" / "postmaster.pid").exists()
