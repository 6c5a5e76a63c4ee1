"""Rows on Ray, started here or found at an address; the only importer of ray."""

import importlib.util
import logging
import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Any

from dse.errors import DseError, MissingDependency
from dse.evaluation import Evaluator
from dse.space import Columns
from dse.workers.workers import Outcome, evaluate_one, require_picklable

RETRIES = 2
"""How often a row is tried again whose process died; an evaluator's exceptions are final."""


class RayWorkers:
    """One resident actor per worker, so that a model is loaded once per process.

    Args:
        workers: Number of actors, at least 1.
        address: Of a running cluster; None starts Ray on this machine, dashboard off, on loopback.

    Raises:
        DseError: If `workers` is below 1, or (on entering) above the processors of a cluster.
        MissingDependency: If ray is not installed.
    """

    def __init__(self, workers: int, *, address: str | None = None) -> None:
        if workers < 1:
            raise DseError(f"workers = {workers}: Ray needs at least 1")
        if importlib.util.find_spec("ray") is None:
            raise MissingDependency(
                "the executor 'ray' needs the library ray: pip install 'edge-dse[ray]'"
            )
        self._workers = workers
        self._address = address
        self._actors: list[Any] = []
        self._started = False

    def __enter__(self) -> "RayWorkers":
        # Ray's own notice about accelerators that it does not hide from workers; there are none to
        # hide.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        import ray

        if not ray.is_initialized():
            on_terminate = signal.getsignal(signal.SIGTERM)
            if self._address is None:
                ray.init(
                    num_cpus=self._workers,
                    include_dashboard=False,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    _node_ip_address="127.0.0.1",
                )
            else:
                ray.init(address=self._address, logging_level=logging.ERROR, log_to_driver=False)
            self._started = True
            # Ray takes SIGTERM for itself; what a run does on it is the driver's to say.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, on_terminate)
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]  # ray leaves it so
        self._require_processors(float(resources.get("CPU", 0.0)))
        actor = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=RETRIES)(_Resident)
        self._actors = [actor.remote() for _ in range(self._workers)]
        return self

    def _require_processors(self, processors: float) -> None:
        # An actor that finds no processor is waited for without end.
        if self._workers > processors:
            self.__exit__()
            raise DseError(
                f"workers = {self._workers}: Ray has {processors:g} processors, one per worker is "
                "needed"
            )

    def map(
        self, evaluator: Evaluator, rows: Sequence[Columns], done: Callable[[], None]
    ) -> list[Outcome]:
        """Evaluate the rows; each free actor takes the next one."""
        import ray

        lost = (
            ray.exceptions.RayActorError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.OutOfMemoryError,
        )
        require_picklable(evaluator)
        shared = ray.put(evaluator)
        outcomes: dict[int, Outcome] = {}
        free = list(self._actors)
        running: dict[Any, tuple[int, Any]] = {}
        waiting = list(range(len(rows)))
        while waiting or running:
            while waiting and free:
                row, actor = waiting.pop(0), free.pop()
                running[actor.evaluate.remote(shared, rows[row])] = (row, actor)
            finished, _ = ray.wait(list(running), num_returns=1)
            row, actor = running.pop(finished[0])
            free.append(actor)
            try:
                outcomes[row] = ray.get(finished[0])
            except lost:
                reason = f"worker lost: its process died {RETRIES + 1} times on this design"
                outcomes[row] = Outcome(None, reason)
            done()
        return [outcomes[row] for row in range(len(rows))]

    def __exit__(self, *exc: object) -> None:
        """End the actors, and Ray itself if it was started here."""
        import ray

        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        if self._started:
            ray.shutdown()
            self._started = False


class _Resident:
    """Lives in a worker process."""

    def evaluate(self, evaluator: Evaluator, row: Columns) -> Outcome:
        """Evaluate a one-row batch."""
        return evaluate_one(evaluator, row)
