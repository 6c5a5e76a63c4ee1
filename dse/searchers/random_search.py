"""Random search: the baseline that every searcher must beat."""

from typing import ClassVar

import numpy as np

from dse.core.parameters import FloatArray
from dse.core.space import SearchSpace
from dse.searchers.deduplication import Unseen
from dse.searchers.searcher import (
    Answers,
    check_ask,
    check_batch,
    check_learn,
    check_tell,
    rows_wanted,
)


class RandomSearch:
    """Draws every knob evenly, no design twice, and learns nothing.

    Args:
        space: What may be chosen.
        seed: With the number of the ask, the seed of its random stream.
        batch: Designs per ask.
    """

    learns: ClassVar[bool] = False
    limited: ClassVar[bool] = False
    continuous: ClassVar[bool] = True

    def __init__(self, space: SearchSpace, *, seed: int, batch: int = 50) -> None:
        check_batch("batch", batch)
        self._unseen = Unseen(space)
        self._seed, self._asks = seed, 0
        self._batch = batch
        self._waiting: int | None = None

    def ask(self, n: int | None = None) -> FloatArray:
        """The next random rows, shape (n, d); fewer than `batch` when nothing else is left."""
        check_ask(self._waiting)
        rng = np.random.default_rng([self._seed, self._asks])
        rows = self._unseen.draw(rows_wanted(n, self._batch), rng)
        self._asks += 1
        self._waiting = len(rows)
        return rows

    def tell(self, answers: Answers) -> None:
        """Take note that the batch is answered."""
        check_tell(self._waiting, answers)
        self._waiting = None

    def learn(self, codes: FloatArray, answers: Answers) -> None:
        """Take note of designs that need not be proposed."""
        check_learn(self._waiting, codes, answers)
        self._unseen.add(codes)
