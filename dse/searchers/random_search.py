"""Random search: the baseline that every searcher must beat."""

import numpy as np

from dse.parameters import FloatArray
from dse.searchers.searcher import Answers, check_ask, check_batch, check_tell
from dse.searchers.unseen import Unseen
from dse.space import SearchSpace


class RandomSearch:
    """Draws every knob evenly, no design twice, and learns nothing.

    Args:
        space: What may be chosen.
        seed: With the number of the ask, the seed of its random stream.
        batch: Designs per ask.
    """

    def __init__(self, space: SearchSpace, *, seed: int, batch: int = 50) -> None:
        check_batch("batch", batch)
        self._unseen = Unseen(space)
        self._seed, self._asks = seed, 0
        self._batch = batch
        self._waiting: int | None = None

    def ask(self) -> FloatArray:
        """The next random rows, shape (n, d); fewer than `batch` when nothing else is left."""
        check_ask(self._waiting)
        rows = self._unseen.draw(self._batch, np.random.default_rng([self._seed, self._asks]))
        self._asks += 1
        self._waiting = len(rows)
        return rows

    def tell(self, answers: Answers) -> None:
        """Take note that the batch is answered."""
        check_tell(self._waiting, answers)
        self._waiting = None
