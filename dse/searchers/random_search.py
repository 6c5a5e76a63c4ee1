"""Random search: the baseline that every searcher must beat."""

import numpy as np

from dse.parameters import FloatArray
from dse.searchers.searcher import Answers, check_ask, check_batch, check_tell
from dse.space import SearchSpace


class RandomSearch:
    """Draws every knob evenly and learns nothing; repeats are possible.

    Args:
        space: What may be chosen.
        seed: Of its generator.
        batch: Designs per ask.
    """

    def __init__(self, space: SearchSpace, *, seed: int, batch: int = 50) -> None:
        check_batch("batch", batch)
        self._space = space
        self._rng = np.random.default_rng(seed)
        self._batch = batch
        self._waiting: int | None = None

    def ask(self) -> FloatArray:
        """The next `batch` random rows, shape (batch, d)."""
        check_ask(self._waiting)
        self._waiting = self._batch
        return self._space.sample(self._batch, self._rng)

    def tell(self, answers: Answers) -> None:
        """Take note that the batch is answered."""
        check_tell(self._waiting, answers)
        self._waiting = None
