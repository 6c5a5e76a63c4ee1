"""One driver per run: a lock that the kernel takes back when its holder dies, however it dies."""

import contextlib
import importlib.util
import json
import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dse.core.errors import DseError, RunHeld, RunUnwritable
from dse.core.files import canonical_json

LOCK = "run.lock"
NO_LOCK = "runs are made and resumed on Linux: this platform lacks flock, the lock that they need"
PATIENCE = 1.0
"""Seconds that a driver tries for: a glance at the lock, as `dse status` takes, is much shorter."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who works on a run.

    Attributes:
        pid: Process number on its host; 0 where the holder has not written it yet.
        host: Name of the machine.
        since: When it took the lock, ISO 8601 in UTC.
    """

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


class RunLock:
    """Held from construction to `release` or to the death of the process, whichever is first.

    `flock` needs no clock and no process table to tell a dead holder: the kernel drops the lock
    with the last descriptor. Worker processes are started by exec, which closes it.

    Raises:
        RunHeld: If a living process holds it; the message shows who.
        RunUnwritable: If the folder does not take the lock file.
        DseError: If the platform has no such lock.
    """

    def __init__(self, folder: Path) -> None:
        if not lockable():
            raise DseError(f"{folder}: {NO_LOCK}")
        path = folder / LOCK
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise RunUnwritable(f"{folder}: cannot lock the run: {error.strerror}") from error
        give_up = time.monotonic() + PATIENCE
        while not _taken(self._file):
            if time.monotonic() > give_up:
                who = _read(self._file)
                os.close(self._file)
                raise RunHeld(
                    f"{folder} is being worked on by {who}; one driver per run is allowed. Look: "
                    f"dse status {folder}"
                )
            time.sleep(0.02)
        me = {"pid": os.getpid(), "host": socket.gethostname(), "since": now()}
        # A disk without room does not keep anybody from the lock itself.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, canonical_json(me).encode(), 0)

    def release(self) -> None:
        """Let the next driver in."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
        os.close(self._file)


def holder(folder: Path) -> Holder | None:
    """The process that works on a run now; None if there is none, or where nothing locks a run."""
    if not lockable():
        return None
    try:
        file = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if _taken(file, shared=True) else _read(file)
    finally:
        os.close(file)


def now() -> str:
    """The time of day for people to read, ISO 8601 in UTC; nothing is ever computed from it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def lockable() -> bool:
    """Whether this platform has the lock that a run needs."""
    return importlib.util.find_spec("fcntl") is not None


def _taken(file: int, *, shared: bool = False) -> bool:
    import fcntl  # here and not above: a run can be looked at where there is none

    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: int) -> Holder:
    try:
        content = json.loads(os.pread(file, 4096, 0))
        return Holder(int(content["pid"]), str(content["host"]), str(content["since"]))
    except (ValueError, KeyError, TypeError):
        return Holder(0, "a machine not known", "just now")
