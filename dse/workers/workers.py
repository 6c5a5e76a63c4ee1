"""The seam between an evaluator and the processes that run it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dse.core.errors import DseError, RowsFailed
from dse.core.evaluation import Evaluator, evaluate_rows, unanswered
from dse.core.failure import Failure
from dse.core.parameters import Column
from dse.core.signature import Signature
from dse.core.space import Columns, length, take

NOT_BEGUN = Failure("not begun", "an end was asked for")
"""The failure of a row that nobody began; never stored."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one row of an evaluator takes.

    Args:
        cpus: Processors, at least 1.
        gpus: Accelerators; a share of one is allowed.
        timeout: Seconds after which a row is given up; None waits without end.

    Raises:
        DseError: If a number is below its limit.
    """

    cpus: int = 1
    gpus: float = 0.0
    timeout: float | None = None

    def __post_init__(self) -> None:
        if self.cpus < 1:
            raise DseError(f"cpus = {self.cpus}: a row needs at least 1")
        if not 0 <= self.gpus < float("inf"):
            raise DseError(f"gpus = {self.gpus}: 0 or more are wanted")
        if self.timeout is not None and not 0 < self.timeout < float("inf"):
            raise DseError(f"timeout = {self.timeout} s: a positive time is wanted")


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of one row.

    Attributes:
        columns: Output columns, each shape (1,); None if the row failed.
        failure: Why there are none; None if there are.
    """

    columns: Columns | None
    failure: Failure | None = None


PLAIN = Needs()
"""One processor, no accelerator, no hurry."""


class Workers(Protocol):
    """Evaluates rows somewhere; which row runs where never changes a result.

    A context manager: leaving it ends every process it started.
    """

    def map(
        self,
        evaluator: Evaluator,
        rows: Sequence[Columns],
        done: Callable[[], None],
        needs: Needs = PLAIN,
    ) -> list[Outcome]:
        """Evaluate one-row batches, each on its own, begun in their order.

        Args:
            evaluator: Picklable.
            rows: One-row column mappings.
            done: Called in this process each time a row is finished.
            needs: What a row takes.

        Returns:
            One outcome per row, in the order of `rows`.
        """

    def __enter__(self) -> "Workers": ...

    def __exit__(self, *exc: object) -> None: ...


def evaluate_one(evaluator: Evaluator, row: Columns) -> Outcome:
    """Evaluate a one-row batch; a failure becomes part of the outcome."""
    try:
        return Outcome(evaluate_rows(evaluator, row))
    except RowsFailed as error:
        return Outcome(None, error.reasons[0])


def nothing() -> None:
    """The `done` of those who do not watch."""


def never() -> bool:
    """The `stopping` of those whom nobody stops."""
    return False


@dataclass(frozen=True, eq=False)
class Spread:
    """An evaluator whose rows are evaluated by workers, one row a task.

    Args:
        evaluator: Usually a measured one; microseconds of arithmetic are not worth the journey.
        workers: Already entered.
        done: Called each time a row is finished.
        needs: What a row takes.
    """

    evaluator: Evaluator
    workers: Workers
    done: Callable[[], None] = nothing
    needs: Needs = PLAIN

    @property
    def signature(self) -> Signature:
        """As the evaluator inside."""
        return self.evaluator.signature

    def __call__(self, columns: Columns) -> Columns:
        """The evaluator's outputs, in the order of the rows whoever was first."""
        n = length(columns)
        if n == 0:
            return evaluate_rows(self.evaluator, columns)
        rows = [take(columns, np.array([row])) for row in range(n)]
        outcomes = self.workers.map(self.evaluator, rows, self.done, self.needs)
        reasons = {i: o.failure for i, o in enumerate(outcomes) if o.failure is not None}
        good = [o.columns for o in outcomes if o.columns is not None]
        if not good:
            raise RowsFailed(reasons, unanswered(self, n))
        # A failed row repeats a good one's values as filler; RowsFailed tells nobody to read them.
        parts = [o.columns if o.columns is not None else good[0] for o in outcomes]
        results: dict[str, Column] = {
            name: np.concatenate([part[name] for part in parts]) for name in self.signature.outputs
        }
        if reasons:
            raise RowsFailed(reasons, results)
        return results
