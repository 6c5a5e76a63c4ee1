"""The loop: ask, evaluate what is new, tell, until the budget is spent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from dse.core.errors import DseError, SpaceError
from dse.core.parameters import FloatArray
from dse.core.problem import Problem, Trials
from dse.search.initial_designs import WithInitialDesigns, boundary_designs, distinct
from dse.searchers.searcher import Answers, Searcher, check_problem

IDLE = 100
"""Batches in a row without a new design after which a search is over."""

Ending: TypeAlias = Literal["budget", "exhausted", "nothing new", "plateau"]


@dataclass(frozen=True, slots=True, eq=False)
class Exploration:
    """All distinct designs that were evaluated, in the order of asking, and why it ended.

    `budget`: as many as allowed. `exhausted`: the whole space, or the searcher had no more.
    `nothing new`: the searcher proposed only known designs for `IDLE` batches. `plateau`: `enough`
    had enough; `why` is what it said, and empty otherwise.
    """

    trials: Trials
    ending: Ending
    repeats: int
    why: str = ""


def unwatched(_: Trials) -> None:
    """The `on_batch` of those who do not watch."""


def never_enough(_: Trials) -> str:
    """The `enough` of those who spend their budget."""
    return ""


def explore(  # noqa: PLR0913  (one argument per thing that a caller may want to have a say in)
    problem: Problem,
    searcher: Searcher,
    *,
    budget: int,
    opening: FloatArray | None = None,
    on_batch: Callable[[Trials], None] = unwatched,
    known: Trials | None = None,
    given: Trials | None = None,
    enough: Callable[[Trials], str] = never_enough,
) -> Exploration:
    """Evaluate batch after batch until `budget` distinct designs are known.

    A design that is proposed again is answered from memory and counts neither as a trial nor as
    cost.

    An exploration that was stopped goes on where it was: with its trials as `known` and the same
    opening, an equal searcher goes the same way again, and what it proposes is recalled and not
    evaluated as long as it is known. Everything else is as if nothing had happened, to the last
    bit.

    Args:
        problem: What is searched.
        searcher: Proposes and learns; fresh, and made for this problem.
        budget: Distinct designs, at least 1; the recalled ones count.
        opening: Code rows of designs that are evaluated before the searcher proposes any, shape
            (n, d), at most a batch of the searcher at a time; it learns of them. None: the
            `boundary_designs` of the space. An empty array: the searcher begins.
        on_batch: Called with the newly evaluated trials of each batch, before the searcher learns
            of them; never with recalled ones.
        known: Trials of an earlier exploration of the same problem by an equal searcher: all of
            them, the first so many, or all batches but a part of the last.
        given: Trials that somebody else evaluated with an equal evaluator: a design among them is
            new to this exploration, but is not evaluated.
        enough: Called with the new designs of each batch, recalled ones too, once all of them are
            known; what it says, if it says anything, ends the search.

    Raises:
        DseError: If the budget is below 1, or the searcher goes another way than `known` did.
        SpaceError: If the searcher proposes, or the opening holds, a design that does not exist.
        CompositionError: If the searcher was made for other knobs, objectives or constraints.
    """
    if budget < 1:
        raise DseError(f"trials = {budget}: at least 1 is needed")
    check_problem(searcher, problem)
    name = type(searcher).__name__
    proposer = WithInitialDesigns(searcher, _opening(problem, opening))
    memory = _Memory(problem)
    past = _Past(problem, known, given)
    idle, why = 0, ""
    ending: Ending | None = None
    while ending is None:
        codes = _existing(problem, proposer.ask(), f"{name} proposed")
        new = memory.fresh(codes)
        fresh = new[: budget - len(memory)]
        idle = 0 if len(fresh) else idle + 1
        if len(fresh):
            trials = past.trials(codes[fresh], on_batch)
            memory.add(trials)
            # A batch that the budget cuts says nothing: a larger budget would not have cut it.
            why = enough(trials) if len(fresh) == len(new) else ""
        ending = _ending(memory, budget, idle, why) if len(codes) else "exhausted"
        if ending is None:
            proposer.tell(memory.answers(codes))
    return Exploration(memory.trials(), ending, memory.repeats, why)


def _ending(memory: "_Memory", budget: int, idle: int, why: str) -> Ending | None:
    if len(memory) == memory.problem.space.size:
        return "exhausted"
    if idle == IDLE:
        return "nothing new"
    if why:
        return "plateau"
    return "budget" if len(memory) >= budget else None


def _opening(problem: Problem, codes: FloatArray | None) -> FloatArray:
    if codes is None:
        return boundary_designs(problem.space)
    if not len(codes):
        return np.empty((0, len(problem.space.parameters)))
    return distinct(_existing(problem, codes, "the opening holds"))


def _existing(problem: Problem, codes: FloatArray, whose: str) -> FloatArray:
    """The canonical rows of designs that the problem has, or an error that says whose they are."""
    names = problem.space.names
    if np.ndim(codes) != 2 or np.shape(codes)[1] != len(names):
        raise SpaceError(
            f"{whose} codes of shape {np.shape(codes)}; the problem has {len(names)} knobs "
            f"({', '.join(names)}), so they must have shape (n, {len(names)})"
        )
    rows = problem.space.canonical(codes)
    strange = rows[~problem.space.allowed(rows)]
    if len(strange):
        raise SpaceError(f"{whose} the forbidden design {_said(problem, strange[:1])}")
    return rows


class _Past:
    """Trials of earlier explorations. Mutable on purpose: it counts what was recalled."""

    def __init__(self, problem: Problem, known: Trials | None, given: Trials | None) -> None:
        self._problem = problem
        self._known = known
        self._row = _places(problem, known)
        self._left = len(self._row)
        self._given = given
        self._given_row = _places(problem, given)

    def trials(self, codes: FloatArray, on_batch: Callable[[Trials], None]) -> Trials:
        """Trials of distinct designs that this exploration sees for the first time, in order."""
        if self._known is None or not self._left:
            trials = self._evaluated(codes)
            on_batch(trials)
            return trials
        rows = [self._row.get(code.tobytes(), -1) for code in codes]
        recalled = [row for row in rows if row >= 0]
        self._left -= len(recalled)
        if len(recalled) == len(rows):
            return self._known.rows(np.array(rows))
        unknown = np.flatnonzero(np.array(rows) < 0)
        if self._left:
            raise DseError(
                f"the search goes another way than before: it leaves out {self._left} of the "
                f"{len(self._row)} trials already known and wants the unknown design "
                f"{_said(self._problem, codes[unknown[:1]])}; another seed, batch, searcher, space "
                "or library version explains that"
            )
        fresh = self._evaluated(codes[unknown])
        on_batch(fresh)
        return _merged(self._known, rows, fresh)

    def _evaluated(self, codes: FloatArray) -> Trials:
        """Trials of designs that nobody knows but, perhaps, `given`."""
        if self._given is None:
            return self._problem.evaluate(codes)
        rows = [self._given_row.get(code.tobytes(), -1) for code in codes]
        unknown = np.flatnonzero(np.array(rows) < 0)
        if len(unknown) == len(rows):
            return self._problem.evaluate(codes)
        if not len(unknown):
            return self._given.rows(np.array(rows))
        return _merged(self._given, rows, self._problem.evaluate(codes[unknown]))


def _places(problem: Problem, trials: Trials | None) -> dict[bytes, int]:
    if trials is None:
        return {}
    codes = problem.space.canonical(trials.codes)
    return {code.tobytes(): row for row, code in enumerate(codes)}


def _merged(known: Trials, rows: list[int], fresh: Trials) -> Trials:
    """The known trials of these rows; where a row is -1, the next fresh trial instead."""
    recalled = np.array([row for row in rows if row >= 0], dtype=np.int64)
    order = np.empty(len(rows), dtype=np.int64)
    there = np.array(rows) >= 0
    order[there] = np.arange(len(recalled))
    order[~there] = len(recalled) + np.arange(len(fresh))
    return _joined([known.rows(recalled), fresh]).rows(order)


def _joined(parts: list[Trials]) -> Trials:
    return Trials(
        np.concatenate([t.codes for t in parts]),
        {k: np.concatenate([t.designs[k] for t in parts]) for k in parts[0].designs},
        {k: np.concatenate([t.metrics[k] for t in parts]) for k in parts[0].metrics},
        np.concatenate([t.losses for t in parts]),
        np.concatenate([t.violations for t in parts]),
        tuple(reason for t in parts for reason in t.failures),
    )


def _said(problem: Problem, codes: FloatArray) -> str:
    design = problem.space.decode(codes)
    return ", ".join(f"{name} = {column[0]}" for name, column in design.items())


class _Memory:
    """Every design evaluated so far. Mutable on purpose."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._batches: list[Trials] = []
        self._place: dict[bytes, tuple[int, int]] = {}
        self.repeats = 0

    def __len__(self) -> int:
        return len(self._place)

    def fresh(self, codes: FloatArray) -> list[int]:
        """Rows whose design is not known, the first of equal rows only."""
        seen: dict[bytes, int] = {}
        for row, code in enumerate(codes):
            key = code.tobytes()
            if key not in self._place:
                seen.setdefault(key, row)
        self.repeats += len(codes) - len(seen)
        return list(seen.values())

    def add(self, trials: Trials) -> None:
        """Remember a batch of new designs."""
        batch = len(self._batches)
        self._batches.append(trials)
        for row, code in enumerate(trials.codes):
            self._place[code.tobytes()] = (batch, row)

    def answers(self, codes: FloatArray) -> Answers:
        """What is known of code rows that are all known."""
        places = np.array([self._place[code.tobytes()] for code in codes]).reshape(-1, 2)
        batches, part = np.unique(places[:, 0], return_inverse=True)
        parts = [self._batches[batch].rows(places[part == i, 1]) for i, batch in enumerate(batches)]
        order = np.empty(len(codes), dtype=np.int64)
        order[np.argsort(part, kind="stable")] = np.arange(len(codes))
        known = _joined(parts).rows(order)
        return Answers(known.losses, known.violations, known.ok, known.metrics, known.stopped)

    def trials(self) -> Trials:
        """All batches as one."""
        if not self._batches:
            empty = np.empty((0, len(self.problem.space.parameters)))
            return self.problem.evaluate(empty)
        return _joined(self._batches)
