"""The runs that a grey box search has paid for, and what they taught."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dse.core.parameters import Column, FloatArray

ATTEMPTS = 2
"""Designs of an unknown run that may fail before the run is given up."""


@dataclass(eq=False)
class Runs:
    """What is known of runs. Mutable on purpose: it grows."""

    place: dict[bytes, int] = field(default_factory=dict)
    x: list[FloatArray] = field(default_factory=list)
    handed: list[dict[str, Column]] = field(default_factory=list)
    learned: list[dict[str, FloatArray]] = field(default_factory=list)
    failures: dict[bytes, int] = field(default_factory=dict)
    feasible: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.x)

    def known(self, x: FloatArray) -> NDArray[np.int64]:
        """Number of each run, shape (g,); -1 where it is unknown, -2 where it is given up."""
        return np.array([self._number(row.tobytes()) for row in x], dtype=np.int64)

    def _number(self, key: bytes) -> int:
        given_up = key not in self.place and self.failures.get(key, 0) >= ATTEMPTS
        return -2 if given_up else self.place.get(key, -1)

    def failed(self, x: FloatArray) -> None:
        """A design of this run failed; whether the run itself did, another design may tell."""
        self.failures[x.tobytes()] = self.failures.get(x.tobytes(), 0) + 1

    def stopped(self, x: FloatArray) -> None:
        """This run was broken off for all of its designs: it is given up at once."""
        self.failures[x.tobytes()] = ATTEMPTS
