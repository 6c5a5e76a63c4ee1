"""Designs that are evaluated before a searcher proposes any: corners, and those of a warm start."""

import numpy as np

from dse.core.parameters import FloatArray
from dse.searchers.searcher import Answers, Searcher


class WithInitialDesigns:
    """A searcher that proposes given designs first, and then what another searcher proposes.

    Mutable on purpose, as the searcher inside, which is told what became of the given designs.

    Args:
        searcher: Goes on after them; fresh.
        codes: Canonical code rows of the designs, shape (n, d).
        batch: Most of them per ask.
    """

    def __init__(self, searcher: Searcher, codes: FloatArray, batch: int) -> None:
        self._searcher = searcher
        self._left = [codes[i : i + batch] for i in range(0, len(codes), batch)]
        self._asked: FloatArray | None = None

    def ask(self) -> FloatArray:
        """The next given designs; once there are none, the next batch of the searcher."""
        if self._left and self._asked is None:
            self._asked = self._left.pop(0)
            return self._asked.copy()
        return self._searcher.ask()

    def tell(self, answers: Answers) -> None:
        """Pass on what became of the batch last asked."""
        if self._asked is None:
            self._searcher.tell(answers)
            return
        codes, self._asked = self._asked, None
        self._searcher.learn(codes, answers)


def distinct(codes: FloatArray) -> FloatArray:
    """Canonical rows, shape (n, d), the first of equal rows only, in their order."""
    if not len(codes):
        return codes
    _, first = np.unique(codes, axis=0, return_index=True)
    return codes[np.sort(first)]
