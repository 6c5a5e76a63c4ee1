"""Rows one after the other, in this process."""

from collections.abc import Callable, Sequence

from threadpoolctl import threadpool_limits

from dse.core.errors import DseError
from dse.core.evaluation import Evaluator
from dse.core.space import Columns
from dse.workers.workers import NOT_BEGUN, PLAIN, Needs, Outcome, evaluate_one, never


class Serial:
    """No second process: the executor to debug with.

    Args:
        stopping: Whether nothing new shall be begun; asked before each row.
    """

    def __init__(self, stopping: Callable[[], bool] = never) -> None:
        self._stopping = stopping

    def map(
        self,
        evaluator: Evaluator,
        rows: Sequence[Columns],
        done: Callable[[], None],
        needs: Needs = PLAIN,
    ) -> list[Outcome]:
        """Evaluate the rows in order.

        Raises:
            DseError: If a row may take only so long: nobody is there to break it off.
        """
        if needs.timeout is not None:
            raise DseError(
                f"timeout = {needs.timeout:g} s: the executor 'serial' cannot break off an "
                "evaluation in its own process; use 'pool' or 'ray'"
            )
        # As in a process of a pool: with more threads, sums differ in their last bits.
        with threadpool_limits(needs.cpus):
            return [self._outcome(evaluator, row, done) for row in rows]

    def _outcome(self, evaluator: Evaluator, row: Columns, done: Callable[[], None]) -> Outcome:
        if self._stopping():
            return Outcome(None, NOT_BEGUN)
        outcome = evaluate_one(evaluator, row)
        done()
        return outcome

    def __enter__(self) -> "Serial":
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing to end."""
