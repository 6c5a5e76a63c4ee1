"""Random search: the baseline that every searcher must beat."""

from typing import ClassVar

import numpy as np

from dse.core.parameters import FloatArray
from dse.core.problem import Problem
from dse.searchers.deduplication import Unseen
from dse.searchers.searcher import Answers, BatchSearcher


class RandomSearch(BatchSearcher):
    """Draws every knob evenly, no design twice, and learns nothing.

    Args:
        problem: What is searched.
        seed: With the number of the ask, the seed of its random stream.
        batch: Designs per ask.
    """

    learns: ClassVar[bool] = False
    limited: ClassVar[bool] = False
    continuous: ClassVar[bool] = True

    def __init__(self, problem: Problem, *, seed: int, batch: int = 50) -> None:
        super().__init__(problem, batch)
        self._unseen = Unseen(problem.space)
        self._seed, self._asks = seed, 0

    def _propose(self, n: int) -> FloatArray:
        """Fewer than n rows when nothing else is left."""
        rng = np.random.default_rng([self._seed, self._asks])
        self._asks += 1
        return self._unseen.draw(n, rng)

    def _told(self, codes: FloatArray, answers: Answers) -> None:
        """Nothing is learnt."""

    def _learnt(self, codes: FloatArray, answers: Answers) -> None:  # noqa: ARG002
        """Take note of designs that need not be proposed."""
        self._unseen.add(codes)
