"""The loop: ask, evaluate what is new, tell, until the budget is spent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from dse.errors import DseError, SpaceError
from dse.parameters import FloatArray
from dse.problem import Problem, Trials
from dse.searchers.searcher import Answers, Searcher

IDLE = 100
"""Batches in a row without a new design after which a search is over."""

Ending: TypeAlias = Literal["budget", "exhausted", "nothing new"]


@dataclass(frozen=True, slots=True, eq=False)
class Exploration:
    """All distinct designs that were evaluated, in the order of asking, and why it ended.

    `budget`: as many as allowed. `exhausted`: the whole space, or the searcher had no more.
    `nothing new`: the searcher proposed only known designs for `IDLE` batches.
    """

    trials: Trials
    ending: Ending
    repeats: int


def unwatched(_: Trials) -> None:
    """The `on_batch` of those who do not watch."""


def explore(
    problem: Problem,
    searcher: Searcher,
    *,
    budget: int,
    on_batch: Callable[[Trials], None] = unwatched,
) -> Exploration:
    """Evaluate batch after batch until `budget` distinct designs are known.

    A design that is proposed again is answered from memory and counts neither as a trial nor as
    cost.

    Args:
        problem: What is searched.
        searcher: Proposes and learns.
        budget: Distinct designs, at least 1.
        on_batch: Called with the new trials of each batch, before the searcher learns of them.

    Raises:
        DseError: If the budget is below 1.
        SpaceError: If the searcher proposes a design that does not exist.
    """
    if budget < 1:
        raise DseError(f"trials = {budget}: at least 1 is needed")
    memory = _Memory(problem)
    idle = 0
    ending: Ending = "budget"
    while len(memory) < budget:
        codes = _proposed(problem, searcher)
        if not len(codes):
            ending = "exhausted"
            break
        fresh = memory.fresh(codes)[: budget - len(memory)]
        idle = 0 if len(fresh) else idle + 1
        if len(fresh):
            trials = problem.evaluate(codes[fresh])
            memory.add(trials)
            on_batch(trials)
        if len(memory) == problem.space.size:
            ending = "exhausted"
            break
        if idle == IDLE:
            ending = "nothing new"
            break
        if len(memory) < budget:
            searcher.tell(memory.answers(codes))
    return Exploration(memory.trials(), ending, memory.repeats)


def _proposed(problem: Problem, searcher: Searcher) -> FloatArray:
    codes = problem.space.canonical(searcher.ask())
    strange = codes[~problem.space.allowed(codes)]
    if len(strange):
        design = problem.space.decode(strange[:1])
        said = ", ".join(f"{name} = {column[0]}" for name, column in design.items())
        raise SpaceError(f"{type(searcher).__name__} proposed the forbidden design {said}")
    return codes


class _Memory:
    """Every design evaluated so far. Mutable on purpose."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
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
        places = [self._place[code.tobytes()] for code in codes]
        losses = np.array([self._batches[b].losses[r] for b, r in places])
        violations = np.array([self._batches[b].violations[r] for b, r in places])
        ok = np.array([not self._batches[b].failures[r] for b, r in places])
        return Answers(losses, violations.reshape(len(places), -1), ok)

    def trials(self) -> Trials:
        """All batches as one."""
        if not self._batches:
            empty = np.empty((0, len(self._problem.space.parameters)))
            return self._problem.evaluate(empty)
        parts = self._batches
        return Trials(
            np.concatenate([t.codes for t in parts]),
            {k: np.concatenate([t.designs[k] for t in parts]) for k in parts[0].designs},
            {k: np.concatenate([t.metrics[k] for t in parts]) for k in parts[0].metrics},
            np.concatenate([t.losses for t in parts]),
            np.concatenate([t.violations for t in parts]),
            tuple(reason for t in parts for reason in t.failures),
        )
