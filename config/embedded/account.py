"""Who runs the server: we ourselves, or, as PostgreSQL refuses to run as root, another user for root."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNPRIVILEGED = ("postgres", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int

    @property
    def name(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    @property
    def popen_options(self) -> dict[str, Any]:
        """What makes `subprocess` run as this user."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def reaches(self, path: Path) -> bool:
        """Whether this user gets into a folder, or may run a program, with the parents as they are."""
        if os.geteuid() != 0:
            return os.access(path, os.X_OK)
        test = ["/bin/sh", "-c", 'test -x "$0"', str(path)]
        return not subprocess.run(test, cwd="/", check=False, **self.popen_options).returncode  # noqa: S603 (fixed)


def of(home: Path) -> Account:
    """Return the owner of a cluster's folder, or who is to own it. Raises LookupError."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    if home.exists() and (status := home.stat()).st_uid != 0:
        return Account(status.st_uid, status.st_gid)
    for name in UNPRIVILEGED:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        if user.pw_uid != 0:
            return Account(user.pw_uid, user.pw_gid)
    raise LookupError(f"PostgreSQL does not run as root, and there is no user {' or '.join(UNPRIVILEGED)} to run it.")
