"""The one seam between the loop and everything that proposes designs."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dse.errors import CallOrderError, DseError
from dse.parameters import FloatArray
from dse.space import Columns


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What became of the batch last asked, row for row.

    Attributes:
        losses: Shape (n, m), smaller is better; NaN where `ok` is False.
        violations: Shape (n, c), feasible at <= 0; NaN where `ok` is False.
        ok: Shape (n,); False marks a failed row, which is unknown, not bad.
        metrics: All output columns, each shape (n,), for searchers that know what they mean;
            meaningless in failed rows.
    """

    losses: FloatArray
    violations: FloatArray
    ok: NDArray[np.bool_]
    metrics: Columns = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.losses)


class Searcher(Protocol):
    """Proposes code rows and learns from their losses; the batch size is its own affair.

    Mutable on purpose: it learns. With the same seed and the same answers it proposes the same
    rows.
    """

    def ask(self) -> FloatArray:
        """Propose the next batch of allowed code rows, shape (n, d).

        n = 0 says that there is nothing left to propose. Every ask is followed by one tell.

        Raises:
            CallOrderError: If the last batch has not been answered.
        """

    def tell(self, answers: Answers) -> None:
        """Learn what became of the batch last asked.

        Raises:
            CallOrderError: If nothing is waiting for an answer, or the number of rows differs.
        """


def check_batch(name: str, rows: int) -> None:
    """Refuse a batch size below 1, with which a search would end before it begins."""
    if rows < 1:
        raise DseError(f"{name} = {rows}: at least 1 design per ask is needed")


def check_ask(waiting: int | None) -> None:
    """Refuse a second ask before the answer to the first."""
    if waiting is not None:
        raise CallOrderError(f"ask came before the {waiting} designs last asked were told")


def check_tell(waiting: int | None, answers: Answers) -> None:
    """Refuse answers that nothing waits for, or that are too many or too few."""
    if waiting is None:
        raise CallOrderError("tell came before ask: no design waits for an answer")
    if len(answers) != waiting:
        raise CallOrderError(f"{waiting} designs wait for an answer, {len(answers)} answers came")
