"""Exhaustive search: every design of a finite space, once, in order."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from dse.core.errors import SpaceError
from dse.core.parameters import FloatArray
from dse.core.space import CHUNK, SearchSpace
from dse.searchers.searcher import (
    Answers,
    check_ask,
    check_batch,
    check_learn,
    check_tell,
    rows_wanted,
)


class Exhaustive:
    """Proposes all designs in mixed-radix order and then nothing.

    Args:
        space: What may be chosen; finite.
        batch: Largest number of designs per ask.

    Raises:
        SpaceError: If the space is not finite.
    """

    learns: ClassVar[bool] = False
    limited: ClassVar[bool] = False
    continuous: ClassVar[bool] = False

    def __init__(self, space: SearchSpace, *, batch: int = CHUNK) -> None:
        check_batch("batch", batch)
        if space.size is None:
            raise SpaceError("an exhaustive search needs a finite space; a Real knob is continuous")
        self._chunks: Iterator[FloatArray] = space.enumerate(batch)
        self._batch = batch
        self._ready = np.empty((0, len(space.parameters)))
        self._known: set[bytes] = set()
        self._waiting: int | None = None

    def ask(self, n: int | None = None) -> FloatArray:
        """The next designs, shape (k, d); k = 0 at the end."""
        check_ask(self._waiting)
        batch = rows_wanted(n, self._batch)
        while not len(self._ready) and (chunk := next(self._chunks, None)) is not None:
            self._ready = self._unknown(chunk)
        rows, self._ready = self._ready[:batch], self._ready[batch:]
        self._waiting = len(rows)
        return rows.copy()

    def _unknown(self, codes: FloatArray) -> FloatArray:
        if not self._known:
            return codes
        return codes[[code.tobytes() not in self._known for code in codes]]

    def tell(self, answers: Answers) -> None:
        """Take note that the batch is answered."""
        check_tell(self._waiting, answers)
        self._waiting = None

    def learn(self, codes: FloatArray, answers: Answers) -> None:
        """Leave these designs out, as far as they have not been proposed."""
        check_learn(self._waiting, codes, answers)
        self._known.update(code.tobytes() for code in codes)
        self._ready = self._unknown(self._ready)
