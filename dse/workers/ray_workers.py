"""Rows on Ray, started here or found at an address; the only importer of ray."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dse.core.errors import DseError
from dse.core.evaluation import Evaluator
from dse.core.extras import require_extra
from dse.core.failure import Failure, one_line
from dse.core.space import Columns
from dse.workers.dispatch import Dispatcher, News
from dse.workers.transport import add_folders, folders, pack
from dse.workers.workers import PLAIN, Needs, Outcome, evaluate_one, never

PATIENCE = 5.0
"""Seconds in which a cluster may give back what somebody else has just left."""


class RayWorkers:
    """One resident actor per worker, so that a model is loaded once per process.

    The evaluator lies once in the shared memory of each node, whoever reads it there.

    Args:
        workers: Number of actors, at least 1.
        address: Of a running cluster; None starts Ray on this machine, dashboard off, on loopback.
        stopping: Whether nothing new shall be begun.

    Raises:
        DseError: If `workers` is below 1, or (on entering) above the processors that are free.
        MissingDependency: If ray is not installed.
    """

    def __init__(
        self,
        workers: int,
        *,
        address: str | None = None,
        stopping: Callable[[], bool] = never,
    ) -> None:
        if workers < 1:
            raise DseError(f"workers = {workers}: Ray needs at least 1")
        require_extra("the executor 'ray'", "ray")
        self._workers = workers
        self._address = address
        self._started = False
        self._needs = PLAIN
        self._crew = _Actors()
        self._dispatcher = Dispatcher(self._crew, workers, stopping)

    def __enter__(self) -> "RayWorkers":
        # Ray's own notice about accelerators that it does not hide from workers; there are none to
        # hide.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if self._address is None:
            # Else Ray takes the machine's address for every loopback one, and listens on all. Read
            # when ray is imported, whatever the name says.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        import ray

        if not ray.is_initialized():
            on_terminate = signal.getsignal(signal.SIGTERM)
            self._start()
            self._started = True
            # Ray takes SIGTERM for itself; what a run does on it is the driver's to say.
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, on_terminate)
        try:
            self._require_free(PLAIN)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self) -> None:
        import ray

        if self._address is not None:
            _require_somebody(self._address)
            try:
                ray.init(address=self._address, logging_level=logging.ERROR, log_to_driver=False)
            except (ConnectionError, ValueError) as error:
                raise DseError(f"no Ray cluster at {self._address}: {error}") from error
            return
        try:
            # Without "local" Ray joins a node that another program has started on this machine.
            ray.init(
                address="local",
                num_cpus=self._workers,
                include_dashboard=False,
                logging_level=logging.ERROR,
                log_to_driver=False,
                _node_ip_address="127.0.0.1",
            )
        except Exception as error:  # nothing narrower is promised
            raise DseError(f"Ray does not start on this machine: {one_line(error)}") from error

    def _require_free(self, needs: Needs) -> None:
        # An actor that finds no place is waited for without end. Only what is free counts: another
        # driver may have the rest.
        import ray

        wanted = {"CPU": self._workers * needs.cpus, "GPU": self._workers * needs.gpus}
        give_up = time.monotonic() + PATIENCE
        while True:
            free = ray.available_resources()  # type: ignore[no-untyped-call]  # ray leaves it so
            short = {k: n for k, n in wanted.items() if n > free.get(k, 0.0)}
            if not short:
                return
            total = ray.cluster_resources()  # type: ignore[no-untyped-call]  # ray leaves it so
            hopeless = any(n > total.get(k, 0.0) for k, n in short.items())
            if hopeless or time.monotonic() > give_up:
                break
            time.sleep(0.1)
        said = ", ".join(
            f"{n:g} {k} are needed, {free.get(k, 0.0):g} of Ray's {total.get(k, 0.0):g} are free"
            for k, n in short.items()
        )
        raise DseError(f"workers = {self._workers}: {said}")

    def map(
        self,
        evaluator: Evaluator,
        rows: Sequence[Columns],
        done: Callable[[], None],
        needs: Needs = PLAIN,
    ) -> list[Outcome]:
        """Evaluate the rows; each free actor takes the next one.

        Raises:
            DseError: If Ray has not free what the workers need.
        """
        self._crew.prepare(evaluator, needs)
        if needs != self._needs:
            # Actors keep what they were given; other needs are other actors.
            self._dispatcher.close()
            self._require_free(needs)
            self._needs = needs
        return self._dispatcher.map(rows, needs.timeout, done)

    def __exit__(self, *exc: object) -> None:
        """End the actors, and Ray itself if it was started here."""
        import ray

        self._dispatcher.close()
        self._crew.forget()
        if self._started:
            ray.shutdown()
            self._started = False


def _require_somebody(address: str) -> None:
    """Refuse at once what Ray would try to reach for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return  # `auto` and the like are Ray's to understand
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise DseError(f"no Ray cluster at {address}: {error}") from error


@dataclass(eq=False, slots=True)
class _Slot:
    actor: Any
    pending: Any
    """What is waited for: the evaluator's arrival before a row, or the row's outcome."""
    evaluator: Any = None
    row: Columns | None = None
    """The row that waits for the evaluator's arrival."""


class _Actors:
    """Ray actors, one slot each. Mutable on purpose."""

    def __init__(self) -> None:
        self._evaluator: Evaluator | None = None
        self._shared: Any = None
        self._needs = PLAIN

    def prepare(self, evaluator: Evaluator, needs: Needs) -> None:
        """What the rows from now on are evaluated with; put into shared memory once."""
        import ray

        if evaluator is not self._evaluator:
            pack(evaluator)  # says in our words what cannot travel
            self._shared = ray.put(evaluator)
            self._evaluator = evaluator
        self._needs = needs

    def forget(self) -> None:
        """Let go of the shared memory."""
        self._evaluator = None
        self._shared = None

    def start(self) -> _Slot:
        """Ask for an actor; Ray starts it where there is room."""
        import ray

        # What is lost is given out again by us, so that it is counted in one place.
        remote = ray.remote(
            num_cpus=self._needs.cpus,
            num_gpus=self._needs.gpus,
            max_restarts=0,
            max_task_retries=0,
        )(_Resident)
        return _Slot(remote.remote(folders()), None)

    def give(self, slot: _Slot, row: Columns) -> bool:
        """Send a row, and before it the evaluator where the actor has another."""
        if slot.evaluator is self._shared:
            slot.pending = slot.actor.evaluate.remote(row)
            return True
        slot.evaluator, slot.row = self._shared, row
        slot.pending = slot.actor.load.remote(self._shared)
        return False

    def wait(self, slots: Sequence[_Slot], seconds: float) -> list[tuple[_Slot, News]]:
        """What has become of the calls."""
        import ray

        by_call = {slot.pending: slot for slot in slots}
        finished, _ = ray.wait(list(by_call), num_returns=1, timeout=seconds)
        return [(by_call[call], self._news(by_call[call])) for call in finished]

    def _news(self, slot: _Slot) -> News:
        import ray

        try:
            outcome = ray.get(slot.pending)
            if slot.row is not None:
                slot.pending, slot.row = slot.actor.evaluate.remote(slot.row), None
                return "begun"
        except (
            ray.exceptions.RayActorError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.ObjectLostError,
        ):
            return "lost"
        except ray.exceptions.RayTaskError as error:  # its own errors are part of an outcome
            slot.row = None
            why = f"the evaluator does not arrive at the worker: {one_line(error)}"
            return Outcome(None, Failure("raised", why))
        return outcome if isinstance(outcome, Outcome) else "lost"

    def end(self, slot: _Slot) -> None:
        """Kill an actor."""
        import ray

        ray.kill(slot.actor)


class _Resident:
    """Lives in a worker process.

    Args:
        paths: Folders to import from, before any evaluator comes.
    """

    def __init__(self, paths: tuple[str, ...]) -> None:
        add_folders(paths)

    def load(self, evaluator: Evaluator) -> None:
        """Take the evaluator of the rows that follow."""
        self._evaluator = evaluator

    def evaluate(self, row: Columns) -> Outcome:
        """Evaluate a one-row batch."""
        return evaluate_one(self._evaluator, row)
