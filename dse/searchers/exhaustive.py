"""Exhaustive search: every design of a finite space, once, in order."""

from collections.abc import Iterator

import numpy as np

from dse.errors import SpaceError
from dse.parameters import FloatArray
from dse.searchers.searcher import Answers, check_ask, check_batch, check_tell
from dse.space import CHUNK, SearchSpace


class Exhaustive:
    """Proposes all designs in mixed-radix order and then nothing.

    Args:
        space: What may be chosen; finite.
        batch: Largest number of designs per ask.

    Raises:
        SpaceError: If the space is not finite.
    """

    def __init__(self, space: SearchSpace, *, batch: int = CHUNK) -> None:
        check_batch("batch", batch)
        if space.size is None:
            raise SpaceError("an exhaustive search needs a finite space; a Real knob is continuous")
        self._chunks: Iterator[FloatArray] = space.enumerate(batch)
        self._width = len(space.parameters)
        self._waiting: int | None = None

    def ask(self) -> FloatArray:
        """The next designs, shape (n, d); n = 0 at the end."""
        check_ask(self._waiting)
        rows = next(self._chunks, np.empty((0, self._width)))
        self._waiting = len(rows)
        return rows

    def tell(self, answers: Answers) -> None:
        """Take note that the batch is answered."""
        check_tell(self._waiting, answers)
        self._waiting = None
