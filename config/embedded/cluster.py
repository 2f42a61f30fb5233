"""A PostgreSQL cluster of this installation alone: made, started, joined and stopped as its users come and go.

Plain Python. Nobody but its owner reaches it: its folder is closed to others, and it listens on a Unix socket only.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import psycopg

from config.embedded import account, binaries
from config.embedded.account import Account
from config.embedded.binaries import Binaries, BinariesError

NAME = "anomalies"  # of the server's only user, and of the database
PORT = 5432  # only names the socket
MAX_SOCKET_PATH = 103  # bytes on macOS; Linux takes 107
START_SECONDS = 300  # recovery after a crash may take long
STOP_SECONDS = 60
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    # A query of events without bounds of time locks 8 relations for each of 400 days: 3,227, a quarter of the usual 64.
    "max_locks_per_transaction": "256",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",  # compiling costs more than our short queries
    "log_checkpoints": "off",
}


class ClusterError(Exception):
    """The cluster cannot serve; its text is one sentence for the person at the keyboard."""


def state_folders(local: Path) -> list[Path]:
    """Where a cluster may live that cannot live under `local`, best first.

    /var/lib comes before /var/tmp, from which machines delete what was not read for a month.
    """
    name = f"anomalies-{_digest(local)}"
    parents = [os.environ.get("XDG_STATE_HOME", ""), "/var/lib", "/var/tmp"]  # noqa: S108 (owner is checked)
    return [Path(parent) / name for parent in parents if parent.startswith("/")]


class Cluster:
    """The cluster under `local`, or in the first of `elsewhere` that the server's user reaches.

    Making one does nothing: `ensure` starts or joins it, `leave` stops it if nobody else uses it.
    """

    def __init__(self, local: Path, *, elsewhere: Sequence[Path] = (), postgres_bin: str = "") -> None:
        self._homes = [local.absolute() / "postgres", *elsewhere]
        self._postgres_bin = postgres_bin
        self._threads = threading.RLock()
        self._lease: IO[str] | None = None
        self._member = 0  # the process that holds the lease: a fork does not inherit it
        self._server: subprocess.Popen[bytes] | None = None

    @cached_property
    def home(self) -> Path:
        """Its folder. Raises ClusterError where the server's user reaches none."""
        for home in self._homes:
            if os.path.exists(home / "data"):  # Path.exists raises at a closed folder
                return home
        for home in self._homes:
            with suppress(OSError):
                home.parent.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
                if os.access(home.parent, os.W_OK) and self._account_of(home).reaches(home.parent):
                    return home
        raise ClusterError(f"No folder for the database can be made: {', '.join(map(str, self._homes))} are closed.")

    @cached_property
    def account(self) -> Account:
        return self._account_of(self.home)

    @cached_property
    def socket_folder(self) -> Path:
        """Where clients connect: its folder, if libpq can name a socket there."""
        path = os.fsencode(self.home / f".s.PGSQL.{PORT}")
        if len(path) <= MAX_SOCKET_PATH and b"," not in path:
            return self.home
        return Path("/tmp") / self._name  # noqa: S108 (owner is checked)

    def ensure(self) -> None:
        """Return when connections work: join the running cluster, or start it, or make it. Cheap while it runs.

        Raises ClusterError.
        """
        with self._threads:
            if self._member == os.getpid() and self._postmaster():
                return
            _own(self.home, self.account)
            with self._exclusively():
                if not self._answers():
                    self._start()
                self._hold_lease()

    def leave(self) -> None:
        """Stop the cluster if this process is the last to use it; leave it to the others if not."""
        with self._threads:
            if self._lease is None or self._member != os.getpid() or not self.home.exists():
                return  # a server whose folder was deleted ends by itself
            with self._exclusively():
                try:
                    fcntl.flock(self._lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    alone = False
                else:
                    alone = not self._has_strangers()
                self._lease.close()
                self._lease = None
                self._member = 0
                if alone:
                    self._stop()

    @property
    def _name(self) -> str:
        """In the command line of each of its processes, so that they are told from those of other clusters."""
        return f"anomalies-{_digest(self.home)}"

    @property
    def _data(self) -> Path:
        return self.home / "data"

    @property
    def _log(self) -> Path:
        return self.home / "server.log"

    def _account_of(self, home: Path) -> Account:
        try:
            return account.of(home)
        except LookupError as error:
            raise ClusterError(str(error)) from error

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """One process at a time starts or stops it."""
        with (self.home / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _hold_lease(self) -> None:
        """Note, in a way that ends with the process however it ends, that it uses the cluster."""
        self._lease = (self.home / "lease").open("a")
        fcntl.flock(self._lease, fcntl.LOCK_SH)
        self._member = os.getpid()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host=str(self.socket_folder), port=PORT, user=NAME, dbname="postgres", autocommit=True, connect_timeout=10
        )

    def _answers(self) -> bool:
        """Whether it is running, which means that a connection works; the database is made if it is missing."""
        try:
            connection = self._connect()
        except psycopg.OperationalError:
            return False
        with connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME]).fetchone():
                connection.execute(f"CREATE DATABASE {NAME}")
        return True

    def _has_strangers(self) -> bool:
        """Whether a client is connected that holds no lease, such as psql."""
        with suppress(psycopg.OperationalError), self._connect() as connection:
            return bool(
                connection.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' "
                    "AND pid <> pg_backend_pid() AND application_name <> %s",
                    [application_name()],
                ).fetchone()
            )
        return False

    def _postmaster(self) -> int | None:
        """The pid of its running server. A zombie's or a recycled pid is none, whatever postmaster.pid says."""
        if self._server and self._server.poll() is None:
            return self._server.pid
        try:
            pid = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
            if not Path("/proc/self/cmdline").exists():
                os.kill(pid, 0)
                return pid
            return pid if self._is_ours(pid) else None
        except (OSError, ValueError):
            return None

    def _is_ours(self, pid: int) -> bool:
        """Whether it is a live process of this cluster (Linux). Unlike its folder, its command line is open to all."""
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            return False
        return f"\0cluster_name={self._name}\0" in line or line.startswith(f"postgres: {self._name}: ")

    def _start(self) -> None:
        """Start the server, or wait for the one that is starting."""
        launched = False
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            running = self._postmaster() is not None
            if time.monotonic() > deadline or (launched and not running):
                raise ClusterError(f"PostgreSQL did not start; {self._log} ends: {self._last_lines()}")
            if not running:
                self._launch()
                launched = True
            time.sleep(0.02)

    def _clear_remains(self) -> None:
        """End what a killed server left behind: its children, which the next one must not meet, and its pid files."""
        deadline = time.monotonic() + STOP_SECONDS
        while orphans := [pid for pid in _pids() if self._is_ours(pid)]:
            if time.monotonic() > deadline:
                raise ClusterError(f"Processes {orphans} of a killed PostgreSQL on {self._data} do not end.")
            for pid in orphans:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        for name in (f".s.PGSQL.{PORT}.lock", f".s.PGSQL.{PORT}"):
            (self.socket_folder / name).unlink(missing_ok=True)

    def _programs(self) -> Binaries:
        version_file = self._data / "PG_VERSION"
        version = int(version_file.read_text()) if version_file.exists() else None
        try:
            found = binaries.find(self._postgres_bin, version=version)
        except BinariesError as error:
            raise ClusterError(str(error)) from error
        if self.account.reaches(found.folder / "postgres"):
            return found
        return found.copy_to(self.home / f"postgresql-{found.version}")  # they lie in a folder of root's own

    def _initialize(self, programs: Binaries) -> None:
        """Make the data folder: whole or, if anything dies on the way, not at all."""
        new = self.home / "data.new"
        for locale in ("C.UTF-8", "C"):
            shutil.rmtree(new, ignore_errors=True)
            options = ["--username", NAME, "--auth=trust", "--no-sync", "--encoding=UTF8", f"--locale={locale}"]
            done = subprocess.run(  # noqa: S603 (our own arguments)
                [str(programs.folder / "initdb"), "--pgdata", str(new), *options],
                cwd=self.home,
                env=programs.environment,
                capture_output=True,
                text=True,
                check=False,
                **self.account.popen_options,
            )
            if done.returncode == 0:
                new.rename(self._data)
                return
        raise ClusterError(f"PostgreSQL could not make {self._data}: {' '.join(done.stderr.split())}")

    def _launch(self) -> None:
        self._clear_remains()
        if not self.account.reaches(self.home):
            raise ClusterError(f"User {self.account.name}, who is to run PostgreSQL, cannot reach {self.home}.")
        _own(self.socket_folder, self.account)
        programs = self._programs()
        if not self._data.exists():
            self._initialize(programs)
        quoted = str(self.socket_folder).replace('"', '""')
        settings = {**SETTINGS, "cluster_name": self._name, "unix_socket_directories": f'"{quoted}"', "port": str(PORT)}
        command = [str(programs.folder / "postgres"), "-D", str(self._data)]
        for name, text in settings.items():
            command += ["-c", f"{name}={text}"]
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(  # noqa: S603 (our own arguments)
                command,
                cwd=self.home,
                env=programs.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; it stops when its last user leaves
                **self.account.popen_options,
            )

    def _stop(self) -> None:
        """Stop the server in order, as `pg_ctl stop -m fast` does."""
        deadline = time.monotonic() + STOP_SECONDS
        if pid := self._postmaster():
            os.kill(pid, signal.SIGINT)
        while self._postmaster() and time.monotonic() < deadline:
            time.sleep(0.02)

    def _last_lines(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-3:]
        return " ".join(line.strip() for line in lines) or "(empty)"


def application_name() -> str:
    """By which the server knows the connections of this process."""
    return f"anomalies {os.getpid()}"


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _own(folder: Path, owner: Account) -> None:
    """Make a folder closed to all but its owner. Raises ClusterError if somebody else's is in its place."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if os.geteuid() == 0 and folder.lstat().st_uid == 0:
        os.chown(folder, owner.uid, owner.gid, follow_symlinks=False)
    if folder.is_symlink() or folder.lstat().st_uid != owner.uid:
        raise ClusterError(f"{folder} belongs to another user than {owner.name}; move it away or run as its owner.")
