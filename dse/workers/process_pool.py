"""Rows in processes of this machine."""

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from dse.errors import DseError
from dse.evaluation import Evaluator
from dse.space import Columns
from dse.workers.workers import Outcome, evaluate_one, require_picklable

ATTEMPTS = 3
"""How often a row is tried whose process died; the row itself may be what kills it."""


class ProcessPool:
    """A pool of fresh interpreters (spawned, so that no thread or lock is copied).

    Args:
        workers: Number of processes, at least 1.

    Raises:
        DseError: If `workers` is below 1.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise DseError(f"workers = {workers}: a pool needs at least 1")
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def map(
        self, evaluator: Evaluator, rows: Sequence[Columns], done: Callable[[], None]
    ) -> list[Outcome]:
        """Evaluate the rows on all processes; rows whose process died are tried again."""
        require_picklable(evaluator)
        outcomes: dict[int, Outcome] = {}
        for attempt in range(ATTEMPTS):
            left = [i for i in range(len(rows)) if i not in outcomes]
            # After a death nobody knows whose row did it: one row at a time tells.
            groups = [left] if attempt == 0 else [[i] for i in left]
            for group in groups:
                self._try(evaluator, rows, group, outcomes, done)
        for i in range(len(rows)):
            if i not in outcomes:
                reason = f"worker lost: its process died {ATTEMPTS} times on this design"
                outcomes[i] = Outcome(None, reason)
                done()
        return [outcomes[i] for i in range(len(rows))]

    def _try(
        self,
        evaluator: Evaluator,
        rows: Sequence[Columns],
        group: list[int],
        outcomes: dict[int, Outcome],
        done: Callable[[], None],
    ) -> None:
        if not group:
            return
        pool = self._started()
        try:
            futures: dict[Future[Outcome], int] = {
                pool.submit(evaluate_one, evaluator, rows[i]): i for i in group
            }
            for future in as_completed(futures):
                outcomes[futures[future]] = future.result()
                done()
        except BrokenProcessPool:
            pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            # Ctrl-C reaches the whole process group; only the driver decides what it means.
            self._pool = ProcessPoolExecutor(
                self._workers,
                mp_context=context,
                initializer=signal.signal,
                initargs=(signal.SIGINT, signal.SIG_IGN),
            )
        return self._pool

    def __enter__(self) -> "ProcessPool":
        return self

    def __exit__(self, *exc: object) -> None:
        """End the processes; after an interrupt, what has not started is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
