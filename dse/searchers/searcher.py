"""The one seam between the loop and everything that proposes designs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import CallOrderError, CompositionError, DseError
from dse.core.parameters import FloatArray, Parameter
from dse.core.problem import Constraint, Objective, Problem
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
    """Proposes code rows of a problem and learns from their losses.

    Mutable on purpose: it learns. With the same seed and the same answers it proposes the same
    rows, so a stopped search is continued by asking again and answering from memory; a searcher
    has no other state on disk.

    At most one batch waits for its answers: batches are committed in the order of asking, whatever
    the number of workers, and rows of one batch are chosen knowing of each other.

    The searchers of this package are made by `Searcher(problem, seed=..., batch=...)`.

    Attributes:
        learns: Whether answers change what is proposed.
        limited: Whether violations steer it; where not, limits only sort out what was found.
        continuous: Whether it takes a space with a `Real` knob.
    """

    learns: ClassVar[bool]
    limited: ClassVar[bool]
    continuous: ClassVar[bool]

    @property
    def problem(self) -> Problem:
        """What it was made for.

        It has the space of the rows, and the m objectives and c constraints of the answers.
        """

    @property
    def batch(self) -> int:
        """Most rows per ask where nothing else is wanted, at least 1."""

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
            CompositionError: If the answers are not those of the searcher's problem.
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
            CompositionError: If codes or answers are not those of the searcher's problem.
        """


class BatchSearcher(ABC):
    """The order of calls and the shapes of answers, checked once for every searcher.

    A searcher that derives from it writes `_propose`, `_told` and `_learnt`, which are only called
    in order and with arrays of the problem's shapes.

    Args:
        problem: What is searched.
        batch: Most designs per ask.

    Raises:
        DseError: If batch < 1.
    """

    learns: ClassVar[bool]
    limited: ClassVar[bool]
    continuous: ClassVar[bool]

    def __init__(self, problem: Problem, batch: int) -> None:
        check_batch("batch", batch)
        self.problem = problem
        self.batch = batch
        self._waiting: FloatArray | None = None

    @abstractmethod
    def _propose(self, n: int) -> FloatArray:
        """The next allowed canonical rows, shape (k, d), k <= n; n >= 1."""

    @abstractmethod
    def _told(self, codes: FloatArray, answers: Answers) -> None:
        """Learn what became of the rows last proposed, shape (k, d)."""

    @abstractmethod
    def _learnt(self, codes: FloatArray, answers: Answers) -> None:
        """Learn of rows that somebody else chose, shape (k, d)."""

    def ask(self, n: int | None = None) -> FloatArray:
        """The next rows, shape (k, d), k <= n; see `Searcher.ask`."""
        if self._waiting is not None:
            rows = len(self._waiting)
            raise CallOrderError(f"ask came before the {rows} designs last asked were told")
        if n is not None:
            check_batch("n", n)
        self._waiting = self._propose(self.batch if n is None else min(n, self.batch))
        return self._waiting.copy()

    def tell(self, answers: Answers) -> None:
        """Learn what became of the rows last asked; see `Searcher.tell`."""
        if self._waiting is None:
            raise CallOrderError("tell came before ask: no design waits for an answer")
        rows = len(self._waiting)
        if len(answers) != rows:
            raise CallOrderError(f"{rows} designs wait for an answer, {len(answers)} answers came")
        check_answers(self, rows, answers)
        codes, self._waiting = self._waiting, None
        self._told(codes, answers)

    def learn(self, codes: FloatArray, answers: Answers) -> None:
        """Learn of rows that somebody else chose; see `Searcher.learn`."""
        if self._waiting is not None:
            rows = len(self._waiting)
            raise CallOrderError(f"learn came before the {rows} designs last asked were told")
        if len(codes) != len(answers):
            raise CallOrderError(f"{len(codes)} designs to learn, {len(answers)} answers came")
        check_codes(self, codes)
        check_answers(self, len(codes), answers)
        self._learnt(codes, answers)


def check_batch(name: str, rows: int) -> None:
    """Refuse a batch size below 1, with which a search would end before it begins."""
    if rows < 1:
        raise DseError(f"{name} = {rows}: at least 1 design per ask is needed")


def check_codes(searcher: Searcher, codes: FloatArray) -> None:
    """Refuse rows that have not one code per knob of a searcher's problem.

    Raises:
        CompositionError: With the searcher, its knobs and the shape that came.
    """
    knobs = searcher.problem.space.names
    if np.ndim(codes) != 2 or np.shape(codes)[1] != len(knobs):
        raise CompositionError(
            f"{type(searcher).__name__} searches {_listed('knob', knobs)}: codes must have shape "
            f"(n, {len(knobs)}), got {np.shape(codes)}"
        )


def check_answers(searcher: Searcher, rows: int, answers: Answers) -> None:
    """Refuse answers that are not those of a searcher's problem, one for each of some designs.

    Raises:
        CompositionError: With the searcher, what its problem asks and the shape that came.
    """
    objectives = tuple(o.name for o in searcher.problem.objectives)
    constraints = tuple(c.name for c in searcher.problem.constraints)
    wanted = {
        "losses": (answers.losses, (rows, len(objectives))),
        "violations": (answers.violations, (rows, len(constraints))),
        "ok": (answers.ok, (rows,)),
    }
    if answers.stopped is not None:
        wanted["stopped"] = answers.stopped, (rows,)
    for name, (values, shape) in wanted.items():
        if np.shape(values) != shape:
            raise CompositionError(
                f"{type(searcher).__name__} searches a problem with "
                f"{_listed('objective', objectives)} and {_listed('constraint', constraints)}: "
                f"{name} of {rows} designs must have shape {shape}, got {np.shape(values)}"
            )


_Named: TypeAlias = Parameter | Objective | Constraint


def _listed(kind: str, names: tuple[str, ...]) -> str:
    """Names with their number, as in `2 knobs (vdd, bits)`."""
    said = f"{len(names)} {kind}{'' if len(names) == 1 else 's'}"
    return f"{said} ({', '.join(names)})" if names else said


def check_problem(searcher: Searcher, problem: Problem) -> None:
    """Refuse a searcher that was made for another problem than the one that is explored.

    Two problems are the same to a searcher if they have the same knobs, objectives and constraints;
    who evaluates them does not matter.

    Raises:
        CompositionError: With what differs, as the searcher has it and as the problem has it.
    """
    made_for = searcher.problem
    sides: dict[str, tuple[tuple[_Named, ...], tuple[_Named, ...]]] = {
        "knob": (made_for.space.parameters, problem.space.parameters),
        "objective": (made_for.objectives, problem.objectives),
        "constraint": (made_for.constraints, problem.constraints),
    }
    differing = [_difference(kind, *both) for kind, both in sides.items() if both[0] != both[1]]
    if differing:
        raise CompositionError(
            f"{type(searcher).__name__} was made for another problem than the one explored; make "
            f"it from this one. {'. '.join(differing)}"
        )


def _difference(kind: str, own: tuple[_Named, ...], asked: tuple[_Named, ...]) -> str:
    names = (tuple(part.name for part in side) for side in (own, asked))
    ours, theirs = (_listed(kind, side) for side in names)
    changed = [
        f"{one} against {other}"
        for one, other in zip(own, asked, strict=False)
        if one.name == other.name and one != other
    ]
    return "; ".join([f"The searcher has {ours}, the problem {theirs}", *changed])
