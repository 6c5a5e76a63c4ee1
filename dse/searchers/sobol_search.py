"""Sobol search: an even net of designs; the only user of scipy's quasi-random numbers."""

from typing import ClassVar

import numpy as np

from dse.core.parameters import FloatArray
from dse.core.problem import Problem
from dse.searchers.deduplication import ROUNDS, Unseen
from dse.searchers.searcher import Answers, BatchSearcher

NET = 256
"""Points drawn at a time; a power of 2, as the evenness of the sequence asks for."""


class SobolSearch(BatchSearcher):
    """Walks a scrambled Sobol sequence (scipy), no design twice, and learns nothing.

    A point of the unit cube is read knob by knob: level k of c owns the k-th of c equal intervals.
    Points that fall on a forbidden or known design are passed over; where a small space has no
    other left for a long while, random unseen designs follow.

    Args:
        problem: What is searched.
        seed: Of the scrambling.
        batch: Designs per ask.
    """

    learns: ClassVar[bool] = False
    limited: ClassVar[bool] = False
    continuous: ClassVar[bool] = True

    def __init__(self, problem: Problem, *, seed: int, batch: int = 50) -> None:
        super().__init__(problem, batch)
        # Here and not above: scipy.stats takes half a second that other searchers need not wait.
        from scipy.stats.qmc import Sobol

        self._space = space = problem.space
        self._unseen = Unseen(space)
        self._rng = np.random.default_rng(seed)
        self._sobol = Sobol(len(space.parameters), rng=np.random.default_rng(seed))
        self._counts = np.array([float(p.count or 0) for p in space.parameters])
        self._ready = np.empty((0, len(space.parameters)))

    def _propose(self, n: int) -> FloatArray:
        """Fewer than n rows when nothing else is left."""
        for _ in range(ROUNDS):
            if len(self._ready) >= n:
                break
            codes = self._codes(self._sobol.random(NET))
            codes = codes[self._space.allowed(codes)]
            codes = codes[self._unseen.mask(codes)]
            self._unseen.add(codes)
            self._ready = np.concatenate([self._ready, codes])
        if len(self._ready) < n:
            more = self._unseen.draw(n - len(self._ready), self._rng)
            self._ready = np.concatenate([self._ready, more])
        rows, self._ready = self._ready[:n], self._ready[n:]
        return rows

    def _codes(self, points: FloatArray) -> FloatArray:
        finite = self._counts > 0
        codes = points.copy()
        codes[:, finite] = np.floor(points[:, finite] * self._counts[finite])
        return self._space.canonical(codes)

    def _told(self, codes: FloatArray, answers: Answers) -> None:
        """Nothing is learnt."""

    def _learnt(self, codes: FloatArray, answers: Answers) -> None:  # noqa: ARG002
        """Take note of designs that need not be proposed."""
        known = {code.tobytes() for code in codes}
        self._ready = self._ready[[row.tobytes() not in known for row in self._ready]]
        self._unseen.add(codes)
