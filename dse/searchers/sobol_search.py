"""Sobol search: an even net of designs; the only user of scipy's quasi-random numbers."""

from typing import ClassVar

import numpy as np

from dse.core.parameters import FloatArray
from dse.core.space import SearchSpace
from dse.searchers.deduplication import ROUNDS, Unseen
from dse.searchers.searcher import (
    Answers,
    check_ask,
    check_batch,
    check_learn,
    check_tell,
    rows_wanted,
)

NET = 256
"""Points drawn at a time; a power of 2, as the evenness of the sequence asks for."""


class SobolSearch:
    """Walks a scrambled Sobol sequence (scipy), no design twice, and learns nothing.

    A point of the unit cube is read knob by knob: level k of c owns the k-th of c equal intervals.
    Points that fall on a forbidden or known design are passed over; where a small space has no
    other left for a long while, random unseen designs follow.

    Args:
        space: What may be chosen.
        seed: Of the scrambling.
        batch: Designs per ask.
    """

    learns: ClassVar[bool] = False
    limited: ClassVar[bool] = False
    continuous: ClassVar[bool] = True

    def __init__(self, space: SearchSpace, *, seed: int, batch: int = 50) -> None:
        check_batch("batch", batch)
        # Here and not above: scipy.stats takes half a second that other searchers need not wait.
        from scipy.stats.qmc import Sobol

        self._space = space
        self._unseen = Unseen(space)
        self._rng = np.random.default_rng(seed)
        self._sobol = Sobol(len(space.parameters), rng=np.random.default_rng(seed))
        self._counts = np.array([float(p.count or 0) for p in space.parameters])
        self._batch = batch
        self._ready = np.empty((0, len(space.parameters)))
        self._waiting: int | None = None

    def ask(self, n: int | None = None) -> FloatArray:
        """The next rows, shape (n, d); fewer than `batch` when nothing else is left."""
        check_ask(self._waiting)
        batch = rows_wanted(n, self._batch)
        for _ in range(ROUNDS):
            if len(self._ready) >= batch:
                break
            codes = self._codes(self._sobol.random(NET))
            codes = codes[self._space.allowed(codes)]
            codes = codes[self._unseen.mask(codes)]
            self._unseen.add(codes)
            self._ready = np.concatenate([self._ready, codes])
        if len(self._ready) < batch:
            more = self._unseen.draw(batch - len(self._ready), self._rng)
            self._ready = np.concatenate([self._ready, more])
        rows, self._ready = self._ready[:batch], self._ready[batch:]
        self._waiting = len(rows)
        return rows.copy()

    def _codes(self, points: FloatArray) -> FloatArray:
        finite = self._counts > 0
        codes = points.copy()
        codes[:, finite] = np.floor(points[:, finite] * self._counts[finite])
        return self._space.canonical(codes)

    def tell(self, answers: Answers) -> None:
        """Take note that the batch is answered."""
        check_tell(self._waiting, answers)
        self._waiting = None

    def learn(self, codes: FloatArray, answers: Answers) -> None:
        """Take note of designs that need not be proposed."""
        check_learn(self._waiting, codes, answers)
        known = {code.tobytes() for code in codes}
        self._ready = self._ready[[row.tobytes() not in known for row in self._ready]]
        self._unseen.add(codes)
