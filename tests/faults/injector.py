"""Makes things go wrong on purpose: forked drivers to kill, files to cut, disks that are full."""

import os
import resource
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet  # noqa: F401  (loaded once and not in each child, whose life is short)
from toy import STUDY, SYSTEMS

import dse.searchers.optuna_search
import dse.searchers.pymoo_search  # noqa: F401
from dse.runs.identity import source_digest
from dse.runs.manifest import RESOLVED
from dse.search.interrupts import Stop
from dse.study.loader import Study, load_study
from dse.study.runner import EndedRun, resume, run_study


class Acknowledging:
    """A listener that writes to a pipe how many trials the run has told it of."""

    def __init__(self, pipe: int | None = None) -> None:
        self._pipe = pipe
        self.noted: list[str] = []

    def preparing(self, what: str, share: float) -> None:
        """Nothing to acknowledge."""

    def searching(self, progress) -> None:
        """The trials so far are acknowledged."""
        if self._pipe is not None:
            os.write(self._pipe, f"{progress.trials}\n".encode())

    def noting(self, what: str) -> None:
        """Keep it."""
        self.noted.append(what)


def study_file(folder: Path, name: str, *overrides: str) -> Callable[[], Study]:
    """A loader of the toy study with overrides."""
    path = folder / f"{name}.yaml"
    path.write_text(STUDY, encoding="utf-8")
    study = load_study(path, SYSTEMS, overrides)
    source_digest()  # read once and not by each child
    return lambda: study


def go(
    folder: Path, load, listener=None, stop=None, trials: str | None = None, where=()
) -> EndedRun:
    """Run or resume, whichever the folder asks for, as the command line does.

    `where` overrides what the study says of workers, where it is resumed.
    """
    listener, stop = listener or Acknowledging(), stop or Stop()
    if not (folder / "manifest.json").is_file():
        return run_study(load(), folder, listener, stop)
    return resume(
        folder,
        lambda count: load_study(folder / RESOLVED, SYSTEMS, (f"search.trials={count}", *where)),
        trials,
        listener,
        stop,
    )


class Forked:
    """A child process that runs a function with the writing end of a pipe."""

    def __init__(self, work: Callable[[int], object]) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(self._read)
                work(write)
                code = 0
            except BaseException as error:
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
            finally:
                os._exit(code)
        os.close(write)

    def kill_after(self, seconds: float) -> bool:
        """SIGKILL after a while; False if the child had ended by itself."""
        time.sleep(seconds)
        os.kill(self.pid, signal.SIGKILL)
        return self.end() == -signal.SIGKILL

    def end(self) -> int:
        """Wait for the end: the exit code, or minus the signal; kept as `code`."""
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def acknowledged(self) -> int:
        """The last number that came through the pipe; 0 if none did."""
        with os.fdopen(self._read, "rb") as pipe:
            lines = pipe.read().split(b"\n")[:-1]
        return int(lines[-1]) if lines else 0


def rows_of(folder: Path) -> list[tuple[object, ...]]:
    """The table as it lies on the disk, seals included."""
    if not (folder / "manifest.json").is_file():
        return []
    database = sqlite3.connect(f"{(folder / 'run.sqlite').as_uri()}?mode=ro", uri=True)
    try:
        return database.execute("SELECT * FROM trials ORDER BY number").fetchall()
    finally:
        database.close()


@contextmanager
def largest_file(size: int):
    """No file of this process grows beyond `size` bytes: a full disk, as SQLite sees one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def cut(path: Path, last: int = 4096) -> Sequence[int]:
    """Every length to which a file is cut if its last `last` bytes are torn off one by one."""
    size = path.stat().st_size
    return range(max(0, size - last), size)
