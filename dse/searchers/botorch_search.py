"""BoTorch's acquisition over a pool of candidates, behind our protocol."""

import warnings
from types import ModuleType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.extras import require_extra
from dse.core.parameters import FloatArray
from dse.core.problem import Problem
from dse.pareto.dominance import non_dominated
from dse.searchers.candidate_pool import CandidatePool, coordinates
from dse.searchers.deduplication import Unseen
from dse.searchers.searcher import Answers, BatchSearcher

STARTS = 20
"""Answers before the first model."""

CANDIDATES = 1024
"""Designs to choose from per ask: half random, half next to the front."""

LEARNT = 200
"""Most designs that the models are fitted to; a fit grows with their cube."""

FRONT = 50
"""Most designs of the front that are kept among these, however old."""


class BotorchSearch(BatchSearcher):
    """Log noisy expected hypervolume improvement over a pool of designs that exist.

    Nothing is relaxed and rounded: `botorch_acquisition.best_of` ranks designs that the space
    allows and that were not proposed before. A failed row teaches nothing and is not proposed
    again. The models learn the front (its youngest `FRONT` rows) and the most recent designs,
    `LEARNT` in all, so that the time per proposal stays bounded.

    Args:
        problem: What is searched; time grows steeply beyond 4 objectives.
        seed: Of every random choice.
        batch: Designs per ask; each is chosen with those before it pending, all by one model.
        starts: Answers before the first model, at least 2; until then proposals are random.

    Raises:
        MissingDependency: If botorch is not installed.
        DseError: If batch < 1 or starts < 2.
    """

    learns: ClassVar[bool] = True
    limited: ClassVar[bool] = True
    continuous: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        seed: int,
        batch: int = 4,
        starts: int = STARTS,
    ) -> None:
        super().__init__(problem, batch)
        if starts < 2:
            raise DseError(f"starts = {starts}: a model needs at least 2 answers")
        require_extra("the searcher 'botorch'", "botorch")
        self._space = space = problem.space
        self._unseen = Unseen(space)
        self._pool = CandidatePool(space, self._unseen, most=CANDIDATES)
        self._rng = np.random.default_rng(seed)
        self._starts = starts
        self._known = np.empty((0, len(space.parameters)))
        self._losses = np.empty((0, len(problem.objectives)))
        self._violations = np.empty((0, len(problem.constraints)))

    def _propose(self, n: int) -> FloatArray:
        """No row only when all designs are proposed."""
        if len(self._known) < self._starts:
            return self._unseen.draw(min(n, self._starts), self._rng)
        return self._chosen(n)

    def _chosen(self, wanted: int) -> FloatArray:
        codes = self._pool.drawn(self._known[self._parents()], self._rng)
        if not len(codes):
            return self._unseen.draw(wanted, self._rng)
        rows = self._fitted_rows()
        best = acquisition().best_of(
            coordinates(self._space, codes),
            coordinates(self._space, self._known[rows]),
            self._losses[rows],
            self._violations[rows],
            q=wanted,
            seed=int(self._rng.integers(2**31)),
        )
        chosen: FloatArray = codes[best]
        self._unseen.add(chosen)
        return chosen

    def _front(self) -> NDArray[np.int64]:
        """Feasible designs that no other one dominates, as row numbers, shape (k,), k >= 0."""
        feasible = np.flatnonzero((self._violations <= 0).all(axis=1))
        return feasible[non_dominated(self._losses[feasible])] if len(feasible) else feasible

    def _parents(self) -> NDArray[np.int64]:
        """Rows beside which it is worth looking: the front, or what misses the limits least."""
        front = self._front()
        if len(front):
            return front
        spread = np.maximum(self._violations.std(axis=0), 1e-300)
        missed = (np.maximum(self._violations, 0.0) / spread).sum(axis=1)
        return np.argsort(missed, kind="stable")[:FRONT]

    def _fitted_rows(self) -> NDArray[np.int64]:
        """Rows that the models are fitted to, in the order in which they were told."""
        front = self._front()[-FRONT:]
        others = np.setdiff1d(np.arange(len(self._known)), front)
        return np.sort(np.concatenate([front, others[-(LEARNT - len(front)) :]]))

    def _told(self, codes: FloatArray, answers: Answers) -> None:
        """Take note of the rows that did not fail."""
        self._note(codes, answers)

    def _learnt(self, codes: FloatArray, answers: Answers) -> None:
        """Take note of designs that another searcher chose; they count as random starts."""
        new = self._unseen.mask(codes)
        self._unseen.add(codes[new])
        self._note(
            codes[new], Answers(answers.losses[new], answers.violations[new], answers.ok[new])
        )

    def _note(self, codes: FloatArray, answers: Answers) -> None:
        ok = answers.ok
        self._known = np.concatenate([self._known, codes[ok]])
        self._losses = np.concatenate([self._losses, answers.losses[ok]])
        self._violations = np.concatenate([self._violations, answers.violations[ok]])


def acquisition() -> ModuleType:
    """The part that imports torch and botorch, imported only now."""
    with warnings.catch_warnings():
        # linear_operator 0.6 compiles two small functions in the old way when it is imported.
        warnings.filterwarnings("ignore", "`torch.jit.script", DeprecationWarning)
        from dse.searchers import botorch_acquisition

    return botorch_acquisition
