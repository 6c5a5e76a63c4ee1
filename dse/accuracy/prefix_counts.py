"""How many points lie below a limit, and sums over them: exact, for a column of limits.

With n points in the order of their values, those below a limit are the first k, k = one binary
search, and a sum over them is a difference of prefix sums. For two values at once,

    S(k, m) = sum of the weights of the points that are not among the first k of one order
              and are among the first m of the other

compares the places of all points with k and m: n comparisons for a pair of limits, and nothing is
stored. A tree of sorted blocks would need O(log^2 n) steps and O(n log n) memory, but building it
costs as much as some 100 sums, and every combination of split, rule and signal would need its own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CELLS = 1 << 18
"""Points times limits that are compared at a time: the temporary arrays stay in cache."""

MOST = 1 << 24
"""Integers of float32 are exact below."""


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """Points in the order of a value.

    Attributes:
        rising: Values, rising, shape (n,).
        place: Of each point in that order, from 0, shape (n,): it is below a limit if and only if
            its place is less than the number of points below.
    """

    rising: FloatArray
    place: NDArray[np.int32]

    @classmethod
    def of(cls, values: FloatArray) -> "Order":
        """The order of points.

        Args:
            values: Shape (n,), not NaN.
        """
        order = np.argsort(values, kind="stable")
        place = np.empty(len(values), dtype=np.int32)
        place[order] = np.arange(len(values), dtype=np.int32)
        return cls(values[order], place)

    def below(self, limits: FloatArray) -> IntArray:
        """Points with a value below each limit, shape (q,); all of them for NaN.

        Args:
            limits: Shape (q,).
        """
        return np.searchsorted(self.rising, limits, side="left")

    def sums(self, weights: NDArray[np.integer]) -> IntArray:
        """Sums over the first k points, k = 0 to n, shape (n + 1,).

        Args:
            weights: Of each point, shape (n,).
        """
        found = np.zeros(len(weights) + 1, dtype=np.int64)
        found[self.place + 1] = weights
        return found.cumsum()


def sums_between(
    behind: Order, k: IntArray, among: Order, m: IntArray, weights: NDArray[np.integer]
) -> IntArray:
    """S(k, m) of the module's page, shape (q, w).

    Args:
        behind: Order of which the first k points do not count.
        k: Shape (q,).
        among: Order of the same points, of which only the first m count.
        m: Shape (q,).
        weights: Of each point -1, 0 or 1, shape (n, w).

    Raises:
        ValueError: If there are too many points for exact sums.
    """
    n, parts = weights.shape
    if n >= MOST:
        raise ValueError(f"{n} points; sums in float32 are exact for fewer than {MOST}: split them")
    found = np.empty((len(k), parts), dtype=np.int64)
    k, m, addends = k.astype(np.int32), m.astype(np.int32), weights.astype(np.float32)
    step = max(1, CELLS // max(1, n))
    for start in range(0, len(k), step):
        rows = slice(start, start + step)
        counts = (behind.place >= k[rows, np.newaxis]) & (among.place < m[rows, np.newaxis])
        found[rows] = counts.astype(np.float32) @ addends
    return found
