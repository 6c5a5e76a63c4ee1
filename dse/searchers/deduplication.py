"""Designs that a searcher has not proposed yet, so that it repeats nothing for want of ideas."""

import numpy as np
from numpy.typing import NDArray

from dse.core.parameters import FloatArray
from dse.core.space import SearchSpace

LISTED = 1 << 20
"""Largest space whose last unseen designs are found by listing it."""

ROUNDS = 20
"""Random draws in a row that find too few new designs before the space is listed."""


class Unseen:
    """Remembers proposals and draws what is not among them. Mutable on purpose.

    Args:
        space: What may be chosen.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self._seen: set[bytes] = set()
        self._rest: FloatArray | None = None

    def __len__(self) -> int:
        """Distinct designs proposed."""
        return len(self._seen)

    def mask(self, codes: FloatArray) -> NDArray[np.bool_]:
        """Which canonical rows are new, shape (n,), the first of equal rows only."""
        batch: set[bytes] = set()
        new = np.zeros(len(codes), dtype=bool)
        for row, code in enumerate(codes):
            key = code.tobytes()
            new[row] = key not in self._seen and key not in batch
            batch.add(key)
        return new

    def add(self, codes: FloatArray) -> None:
        """Take note of proposed canonical rows."""
        self._seen.update(code.tobytes() for code in codes)

    def draw(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Up to n new allowed designs at random, shape (k, d); taken note of.

        k < n only when nothing else is left (or, in a space of more than `LISTED` designs, when
        random draws find nothing else).
        """
        found = np.empty((0, len(self._space.parameters)))
        for _ in range(ROUNDS):
            if len(found) == n or self._rest is not None:
                break
            codes = self._space.sample(n - len(found), rng)
            codes = codes[self.mask(codes)]
            self.add(codes)
            found = np.concatenate([found, codes])
        if len(found) < n and self._space.size is not None and self._space.size <= LISTED:
            found = np.concatenate([found, self._listed(n - len(found), rng)])
        return found

    def _listed(self, n: int, rng: np.random.Generator) -> FloatArray:
        if self._rest is None:
            rest = [codes[self.mask(codes)] for codes in self._space.enumerate()]
            self._rest = rng.permutation(np.concatenate(rest))
        left = self._rest[self.mask(self._rest)]
        self._rest = left[n:]
        self.add(left[:n])
        return left[:n]
