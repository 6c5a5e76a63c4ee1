"""Exhaustive search: every design of a finite space, once, in order."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from dse.core.errors import SpaceError
from dse.core.parameters import FloatArray
from dse.core.problem import Problem
from dse.core.space import CHUNK
from dse.searchers.searcher import Answers, BatchSearcher


class Exhaustive(BatchSearcher):
    """Proposes all designs in mixed-radix order and then nothing.

    Args:
        problem: What is searched; its space is finite.
        seed: Without effect, because nothing is drawn; taken so that all searchers are made alike.
        batch: Largest number of designs per ask.

    Raises:
        SpaceError: If the space is not finite.
    """

    learns: ClassVar[bool] = False
    limited: ClassVar[bool] = False
    continuous: ClassVar[bool] = False

    def __init__(self, problem: Problem, *, seed: int = 0, batch: int = CHUNK) -> None:  # noqa: ARG002
        super().__init__(problem, batch)
        space = problem.space
        if space.size is None:
            raise SpaceError("an exhaustive search needs a finite space; a Real knob is continuous")
        self._chunks: Iterator[FloatArray] = space.enumerate(batch)
        self._ready = np.empty((0, len(space.parameters)))
        self._known: set[bytes] = set()

    def _propose(self, n: int) -> FloatArray:
        """No row at the end."""
        while not len(self._ready) and (chunk := next(self._chunks, None)) is not None:
            self._ready = self._unknown(chunk)
        rows, self._ready = self._ready[:n], self._ready[n:]
        return rows

    def _unknown(self, codes: FloatArray) -> FloatArray:
        if not self._known:
            return codes
        return codes[[code.tobytes() not in self._known for code in codes]]

    def _told(self, codes: FloatArray, answers: Answers) -> None:
        """Nothing is learnt."""

    def _learnt(self, codes: FloatArray, answers: Answers) -> None:  # noqa: ARG002
        """Leave these designs out, as far as they have not been proposed."""
        self._known.update(code.tobytes() for code in codes)
        self._ready = self._unknown(self._ready)
