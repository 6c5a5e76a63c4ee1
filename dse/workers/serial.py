"""Rows one after the other, in this process."""

from collections.abc import Callable, Sequence

from dse.evaluation import Evaluator
from dse.space import Columns
from dse.workers.workers import Outcome, evaluate_one


class Serial:
    """No second process: the executor to debug with."""

    def map(
        self, evaluator: Evaluator, rows: Sequence[Columns], done: Callable[[], None]
    ) -> list[Outcome]:
        """Evaluate the rows in order."""
        outcomes = []
        for row in rows:
            outcomes.append(evaluate_one(evaluator, row))
            done()
        return outcomes

    def __enter__(self) -> "Serial":
        return self

    def __exit__(self, *exc: object) -> None:
        """Nothing to end."""
