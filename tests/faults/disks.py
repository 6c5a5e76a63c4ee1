"""Disks that are full, files that cannot be opened, a clock set back: 8 faults, 5 phases.

Every fault must end the driver with one line of ours, and when it is gone, the run must go on to
the same bits as a run left in peace.
"""

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from injector import Acknowledging, Forked, go, largest_file, rows_of, study_file

from dse.core.errors import DseError

PHASES = ("before the run", "at the first trials", "in the middle", "at the end", "on resuming")


@contextmanager
def _instead(path: Path, make: Callable[[Path], object]) -> Iterator[None]:
    """Something else lies where a file of the run belongs; afterwards the file is back."""
    kept = path.with_name(f"{path.name}.kept")
    if path.exists():
        path.rename(kept)
    make(path)
    try:
        yield
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if kept.exists():
            kept.rename(path)


@contextmanager
def _no_descriptors(_: Path) -> Iterator[None]:
    used = len(list(Path("/proc/self/fd").iterdir()))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def _clock_set_back(_: Path) -> Iterator[None]:
    real = time.time
    time.time = lambda: real() - 1e8
    try:
        yield
    finally:
        time.time = real


FAULTS: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
    "no room at all": lambda _: largest_file(0),
    "room for 1 KiB": lambda _: largest_file(1 << 10),
    "room for 24 KiB": lambda _: largest_file(24 << 10),
    "no descriptors": _no_descriptors,
    "a folder for a lock": lambda f: _instead(f / "run.lock", Path.mkdir),
    "a folder for events": lambda f: _instead(f / "events.jsonl", Path.mkdir),
    "a folder for a view": lambda f: _instead(f / "front.json", Path.mkdir),
    "a clock set back": _clock_set_back,
}


class _FaultAt(Acknowledging):
    """The fault comes when so many trials are acknowledged."""

    def __init__(self, trials: int, fault: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self._trials, self._fault = trials, fault
        self.stack = ExitStack()
        self._came = False

    def searching(self, progress) -> None:
        """Let it come once."""
        if progress.trials >= self._trials and not self._came:
            self._came = True
            self.stack.enter_context(self._fault())


def disk_faults(root: Path) -> dict[str, Any]:
    """Every fault in every phase; counts those after which nothing was missing."""
    load = study_file(root, "disk", "search.trials=120", "search.batch=20")
    peace = root / "peace"
    go(peace, load)
    truth = rows_of(peace)
    found: dict[str, Any] = {
        "faults": 0,
        "survived": 0,
        "ended_by_an_error_of_ours": 0,
        "wrong": [],
    }
    for fault in FAULTS:
        for phase in PHASES:
            folder = root / f"{fault}-{phase}".replace(" ", "_")
            code = _forked(partial(_suffer, phase, FAULTS[fault], folder, load))
            rows = rows_of(folder)
            said = {0: "ended well", 1: "an error that is not ours", 2: ""}.get(
                code, f"code {code}"
            )
            found["faults"] += 1
            found["ended_by_an_error_of_ours"] += code == 2
            wrong = said if code not in (0, 2) else ""
            if rows != truth[: len(rows)]:
                wrong = "changed"
            healed = _forked(partial(go, folder, load))
            if healed != 0 or rows_of(folder) != truth:
                wrong = wrong or "does not go on"
            elif (folder / "front.json").read_bytes() != (peace / "front.json").read_bytes():
                wrong = wrong or "another front"
            found["survived"] += not wrong
            if wrong:
                found["wrong"].append(f"{fault}, {phase}: {wrong}")
    return found


def _forked(work: Callable[[], object]) -> int:
    """Exit code of a child process that does it."""
    return Forked(lambda _: work()).end()


def _suffer(
    phase: str, fault: Callable[[Path], AbstractContextManager[None]], folder: Path, load
) -> None:
    """Drive a run into a fault; exit code 2 says that an error of ours ended it."""
    try:
        if phase == "before the run":
            folder.mkdir()
            with fault(folder):
                go(folder, load)
        elif phase == "on resuming":
            go(folder, load, stop=_After(2))
            with fault(folder):
                go(folder, load)
        else:
            trials = {"at the first trials": 20, "in the middle": 60, "at the end": 120}[phase]
            listener = _FaultAt(trials, lambda: fault(folder))
            with listener.stack:
                go(folder, load, listener)
    except DseError as error:
        if "\n" in str(error):
            raise
        sys.stderr.flush()
        os._exit(2)


class _After:
    """A stop after so many batches."""

    def __init__(self, batches: int) -> None:
        self._left = 40 * batches
        self.folder = None

    def wanted(self) -> bool:
        """Counts the looks."""
        self._left -= 1
        return self._left < 0

    @contextmanager
    def draining(self) -> Iterator[None]:
        """As a stop does."""
        yield
