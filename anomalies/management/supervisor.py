"""Programs that live and die together."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

GRACE_SECONDS = 10
PR_SET_PDEATHSIG = 1


class ChildDiedError(Exception):
    """One of the programs ended by itself; the text is one sentence that quotes its last words."""


class Supervisor:
    """Starts programs, each with a log of its own, and ends them all on leaving the `with` block.

    They end with this process even if it is killed, where the system offers that (Linux).
    """

    def __init__(self, *, folder: Path, logs: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._logs = logs
        self._environment = environment
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, name: str, command: list[str]) -> None:
        self._logs.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._logs.mkdir(mode=0o700, exist_ok=True)
        with self._log(name).open("wb") as log:
            self._children[name] = subprocess.Popen(  # noqa: S603 (our own arguments)
                command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C reaches us alone, and what a program starts can be ended with it
                preexec_fn=_end_with_parent(),
            )

    def check(self) -> None:
        """Raises ChildDiedError."""
        for name, child in self._children.items():
            code = child.poll()
            if code is not None:
                how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                raise ChildDiedError(f"The {name} {how}; {self._log(name)} ends: {self._last_line(name)}")

    def stop(self) -> None:
        """Ask all to end, and end what has not after a while."""
        for child in self._children.values():
            child.terminate()
        deadline = time.monotonic() + GRACE_SECONDS
        for child in self._children.values():
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, deadline - time.monotonic()))
        for child in self._children.values():
            with suppress(ProcessLookupError, PermissionError):  # macOS answers the latter when all have ended
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def _log(self, name: str) -> Path:
        return self._logs / f"{name.replace(' ', '-')}.log"

    def _last_line(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "(empty)")


def _end_with_parent() -> Callable[[], object] | None:
    if sys.platform != "linux":
        return None
    return partial(ctypes.CDLL(None).prctl, PR_SET_PDEATHSIG, signal.SIGTERM)
