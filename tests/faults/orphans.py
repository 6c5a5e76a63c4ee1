"""Drivers whose workers can be told from all other processes: who outlives a killed one?"""

import os
import random
import signal
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from injector import Forked

MARK = "EDGE_DSE_FAULTS_DRIVER"
"""Environment variable that whatever a driver starts inherits."""

WORKERS = ("spawn_main", "ray::")
"""What the command line of a worker says, of the pool's and of Ray's."""


class Marked(Forked):
    """A driver that marks what it starts. A context manager that leaves nothing of it behind."""

    def __init__(self, work: Callable[[int], object]) -> None:
        mark = uuid.uuid4().hex
        self._mark = f"{MARK}={mark}".encode()

        def marked(pipe: int) -> None:
            os.environ[MARK] = mark
            work(pipe)

        super().__init__(marked)

    def __enter__(self) -> "Marked":
        return self

    def __exit__(self, *exc: object) -> None:
        """Whoever is left is ended, so that one law broken is not all laws broken."""
        for pid in self._started():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _started(self) -> list[int]:
        """Living processes that the driver has started, or those have."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # ended meanwhile, or somebody else's
                if self._mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
        return found

    def kill_a_worker(self, rng: random.Random) -> bool:
        """SIGKILL one of the workers; False if there was none."""
        workers = [pid for pid in self._started() if any(name in _said(pid) for name in WORKERS)]
        if not workers:
            return False
        with suppress(ProcessLookupError):
            os.kill(rng.choice(sorted(workers)), signal.SIGKILL)
        return True

    def orphans(self, within: float) -> tuple[int, float]:
        """Who is left `within` so many seconds, and the seconds until that many were."""
        began = time.monotonic()
        while self._started() and time.monotonic() - began < within:
            time.sleep(0.02)
        took = time.monotonic() - began
        left = self._started()
        sys.stderr.writelines(f"left behind: {_said(pid)}\n" for pid in left)
        return len(left), took


def _said(pid: int) -> str:
    """The command line of a process; empty if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""
