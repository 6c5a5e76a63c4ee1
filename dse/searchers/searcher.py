"""The one seam between the loop and everything that proposes designs."""

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import CallOrderError, DseError
from dse.core.parameters import FloatArray
from dse.core.space import Columns


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What became of designs, row for row.

    Attributes:
        losses: Shape (n, m), smaller is better; NaN where `ok` is False.
        violations: Shape (n, c), feasible at <= 0; NaN where `ok` is False.
        ok: Shape (n,); False marks a failed row, which is unknown, not bad.
        metrics: All output columns, each shape (n,), for searchers that know what they mean;
            meaningless in failed rows.
        stopped: Shape (n,), among the failed rows those whose run was broken off because none of
            its designs can join the front any more; None: no row.
    """

    losses: FloatArray
    violations: FloatArray
    ok: NDArray[np.bool_]
    metrics: Columns = field(default_factory=dict)
    stopped: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.losses)


class Searcher(Protocol):
    """Proposes code rows and learns from their losses; the batch size is its own affair.

    Mutable on purpose: it learns. With the same seed and the same answers it proposes the same
    rows, so a stopped search is continued by asking again and answering from memory; a searcher
    has no other state on disk.

    At most one batch waits for its answers: batches are committed in the order of asking, whatever
    the number of workers, and rows of one batch are chosen knowing of each other.

    Attributes:
        learns: Whether answers change what is proposed.
        limited: Whether violations steer it; where not, limits only sort out what was found.
        continuous: Whether it takes a space with a `Real` knob.
    """

    learns: ClassVar[bool]
    limited: ClassVar[bool]
    continuous: ClassVar[bool]

    def ask(self, n: int | None = None) -> FloatArray:
        """Propose the next batch of allowed code rows, shape (k, d), k <= n.

        k = 0 says that there is nothing left to propose. Every ask is followed by one tell.

        Args:
            n: Most rows, at least 1; None leaves it to the searcher.

        Raises:
            CallOrderError: If the last batch has not been answered.
            DseError: If n < 1.
        """

    def tell(self, answers: Answers) -> None:
        """Learn what became of the batch last asked.

        Raises:
            CallOrderError: If nothing is waiting for an answer, or the number of rows differs.
        """

    def learn(self, codes: FloatArray, answers: Answers) -> None:
        """Learn of designs that it did not propose: another run's trials, or corners.

        They are not proposed for want of ideas any more. Rows that it knows already change
        nothing. The rows are the caller's afterwards.

        Args:
            codes: Allowed code rows, shape (k, d).
            answers: Of these rows; failed ones too.

        Raises:
            CallOrderError: If a batch waits for its answers, or the numbers of rows differ.
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


def check_learn(waiting: int | None, codes: FloatArray, answers: Answers) -> None:
    """Refuse foreign rows in the middle of a batch, and rows without an answer each."""
    if waiting is not None:
        raise CallOrderError(f"learn came before the {waiting} designs last asked were told")
    if len(codes) != len(answers):
        raise CallOrderError(f"{len(codes)} designs to learn, {len(answers)} answers came")


def rows_wanted(n: int | None, batch: int) -> int:
    """Rows of this ask: the searcher's own batch, or at most n.

    Raises:
        DseError: If n < 1.
    """
    if n is None:
        return batch
    check_batch("n", n)
    return min(n, batch)
