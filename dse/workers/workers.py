"""The seam between an evaluator and the processes that run it."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dse.errors import EvaluationError, RowsFailed
from dse.evaluation import Cost, Evaluator, evaluate_rows, one_line, unanswered
from dse.parameters import Column
from dse.space import Columns, length, take


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of one row: output columns, each shape (1,), or the reason why there are none."""

    columns: Columns | None
    failure: str = ""


def require_picklable(evaluator: Evaluator) -> None:
    """Check that an evaluator can travel, before a process is lost over it.

    Raises:
        EvaluationError: If it cannot be pickled; the message names what is in the way.
    """
    try:
        pickle.dumps(evaluator)
    except Exception as error:
        name = type(evaluator).__name__
        raise EvaluationError(f"{name} cannot travel to a worker: {one_line(error)}") from error


class Workers(Protocol):
    """Evaluates rows somewhere; which row runs where never changes a result.

    A context manager: leaving it ends every process it started.
    """

    def map(
        self, evaluator: Evaluator, rows: Sequence[Columns], done: Callable[[], None]
    ) -> list[Outcome]:
        """Evaluate one-row batches, each on its own.

        Args:
            evaluator: Picklable.
            rows: One-row column mappings.
            done: Called in this process each time a row is finished.

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


@dataclass(frozen=True, eq=False)
class Spread:
    """An evaluator whose rows are evaluated by workers, one row a task.

    Args:
        evaluator: Usually a measured one; microseconds of arithmetic are not worth the journey.
        workers: Already entered.
        done: Called each time a row is finished.
    """

    evaluator: Evaluator
    workers: Workers
    done: Callable[[], None] = nothing

    @property
    def inputs(self) -> Mapping[str, str]:
        """As the evaluator inside."""
        return self.evaluator.inputs

    @property
    def outputs(self) -> Mapping[str, str]:
        """As the evaluator inside."""
        return self.evaluator.outputs

    @property
    def evidence(self) -> Mapping[str, str]:
        """As the evaluator inside."""
        return self.evaluator.evidence

    @property
    def cost(self) -> Cost:
        """As the evaluator inside."""
        return self.evaluator.cost

    def __call__(self, columns: Columns) -> Columns:
        """The evaluator's outputs, in the order of the rows whoever was first."""
        n = length(columns)
        if n == 0:
            return evaluate_rows(self.evaluator, columns)
        rows = [take(columns, np.array([row])) for row in range(n)]
        outcomes = self.workers.map(self.evaluator, rows, self.done)
        reasons = {i: o.failure for i, o in enumerate(outcomes) if o.columns is None}
        good = [o.columns for o in outcomes if o.columns is not None]
        if not good:
            raise RowsFailed(reasons, unanswered(self, n))
        # A failed row repeats a good one's values as filler; RowsFailed tells nobody to read them.
        parts = [o.columns if o.columns is not None else good[0] for o in outcomes]
        results: dict[str, Column] = {
            name: np.concatenate([part[name] for part in parts]) for name in self.outputs
        }
        if reasons:
            raise RowsFailed(reasons, results)
        return results
