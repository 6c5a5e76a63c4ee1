"""Rows in processes of this machine."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from dse.core.errors import DseError
from dse.core.evaluation import Evaluator
from dse.core.space import Columns
from dse.workers.dispatch import Dispatcher, News
from dse.workers.pool_process import BEGUN, serve
from dse.workers.transport import pack
from dse.workers.workers import PLAIN, Needs, Outcome, never


class ProcessPool:
    """A pool of fresh interpreters (spawned, so that no thread or lock is copied).

    Unlike the standard library's, it knows which process has which row: a death loses one row's
    work, and a row that does not answer can be ended alone.

    Args:
        workers: Number of processes, at least 1.
        stopping: Whether nothing new shall be begun.

    Raises:
        DseError: If `workers` is below 1.
    """

    def __init__(self, workers: int, stopping: Callable[[], bool] = never) -> None:
        if workers < 1:
            raise DseError(f"workers = {workers}: a pool needs at least 1")
        self._crew = _Processes()
        self._dispatcher = Dispatcher(self._crew, workers, stopping)

    def map(
        self,
        evaluator: Evaluator,
        rows: Sequence[Columns],
        done: Callable[[], None],
        needs: Needs = PLAIN,
    ) -> list[Outcome]:
        """Evaluate the rows on all processes; rows whose process died are tried again.

        Raises:
            DseError: If a row needs an accelerator, which a pool does not share out.
        """
        if needs.gpus:
            raise DseError(
                f"gpus = {needs.gpus:g}: the executor 'pool' does not share out accelerators; use "
                "'ray', or 'serial' for the whole machine"
            )
        self._crew.prepare(evaluator, needs)
        return self._dispatcher.map(rows, needs.timeout, done)

    def __enter__(self) -> "ProcessPool":
        return self

    def __exit__(self, *exc: object) -> None:
        """End the processes at once; after an interrupt some may be in the middle of a row."""
        self._dispatcher.close()


@dataclass(eq=False, slots=True)
class _Slot:
    process: BaseProcess
    pipe: Connection
    evaluator: bytes = b""


class _Processes:
    """Spawned processes, each at the other end of a pipe. Mutable on purpose."""

    def __init__(self) -> None:
        self._evaluator: Evaluator | None = None
        self._bytes = b""
        self._cpus = 1

    def prepare(self, evaluator: Evaluator, needs: Needs) -> None:
        """What the rows from now on are evaluated with."""
        if evaluator is not self._evaluator:
            self._bytes = pack(evaluator)
            self._evaluator = evaluator
        self._cpus = needs.cpus

    def start(self) -> _Slot:
        """Start a process."""
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        process = context.Process(target=serve, args=(there,))
        # Ctrl-C reaches the whole process group; a process is deaf to it from its first moment on.
        with _threads(self._cpus), _deaf(), _without_main():
            process.start()
        there.close()  # else nobody would notice that its only other holder died
        return _Slot(process, here)

    def give(self, slot: _Slot, row: Columns) -> bool:
        """Send a row, and before it the evaluator where the process has another."""
        with suppress(OSError):  # dead already: `wait` says so
            if slot.evaluator is not self._bytes:
                slot.pipe.send(self._bytes)
                slot.evaluator = self._bytes
            slot.pipe.send(row)
        return False

    def wait(self, slots: Sequence[_Slot], seconds: float) -> list[tuple[_Slot, News]]:
        """What has come through the pipes; the end of a pipe is the end of its process."""
        by_pipe: dict[Any, _Slot] = {slot.pipe: slot for slot in slots}
        return [(by_pipe[pipe], _news(by_pipe[pipe])) for pipe in wait(list(by_pipe), seconds)]

    def end(self, slot: _Slot) -> None:
        """Kill a process and wait for its end."""
        slot.pipe.close()
        slot.process.kill()
        slot.process.join()
        slot.process.close()


def _news(slot: _Slot) -> News:
    try:
        message = slot.pipe.recv()
    except Exception:  # an end in the middle of an answer leaves any kind of ruin
        return "lost"
    if isinstance(message, Outcome):
        return message
    return "begun" if message == BEGUN else "lost"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Numerical libraries of a process started in here use so many threads, as under Ray."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


@contextmanager
def _without_main() -> Iterator[None]:
    """A process started in here does not run the driver's script again; nothing of it is needed."""
    driver = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = driver


@contextmanager
def _deaf() -> Iterator[None]:
    """A process started in here does not hear Ctrl-C; the driver hears one when it is through."""
    resource_tracker.ensure_running()  # started in here it would open the driver's ears again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
