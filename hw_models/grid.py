"""Where numbers fall among increasing points, and straight lines between those points.

No search: one goes left or right at every step, and a processor that guesses half of the steps
wrong takes 20 ns for each number. Here a table of equal bins, half the smallest step wide, leads to
the last point before the bin at once, and what is left is one comparison that nobody guesses.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import FloatArray

MOST_BINS = 4096
"""Bins of a grid [1]. Where steps differ so much that it would need more, bins hold several points
and each of them is compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Increasing points.

    Attributes:
        points: Shape (k,), strictly increasing, k at least 1.
    """

    points: FloatArray
    _first: FloatArray = field(init=False, repr=False)  # shape ()
    _per_unit: FloatArray = field(init=False, repr=False)  # bins, shape ()
    _before: NDArray[np.intp] = field(init=False, repr=False)  # by bin, last point before it, or 0
    _after: FloatArray = field(init=False, repr=False)  # the point after each point
    _most: int = field(init=False, repr=False)  # points in one bin

    def __post_init__(self) -> None:
        points = self.points
        finest = 2.0 / float(np.diff(points).min(initial=np.inf))
        span = float(points[-1] - points[0])
        # NumPy is quicker with an array of no dimension than with a number.
        object.__setattr__(self, "_first", np.array(points[0]))
        per_unit = min(finest, MOST_BINS / span) if span else 0.0
        object.__setattr__(self, "_per_unit", np.array(per_unit))
        counts = np.bincount(self._bins(points))
        # From zero, a power of two brings keys and points into bins without rounding: points that
        # then stand at the edges of bins need no comparison.
        exact = bool(points[0] == 0 and np.frexp(per_unit)[0] == 0.5)
        exact = exact and bool((points * per_unit == np.floor(points * per_unit)).all())
        before = np.cumsum(counts) - 1 if exact else np.cumsum(counts) - counts - 1
        object.__setattr__(self, "_before", np.maximum(before, 0))
        object.__setattr__(self, "_after", np.append(points[1:], np.inf))
        object.__setattr__(self, "_most", 0 if exact else int(counts.max()))

    def below(self, keys: FloatArray) -> NDArray[np.intp]:
        """Index of the last point at or below each key.

        Args:
            keys: Any shape, from the first point to the last.
        """
        # Rounding moves a key and a point alike, so bins may hold the wrong ones and yet the
        # comparison puts every key in its place.
        index = self._before.take(self._bins(keys))
        for _ in range(self._most):
            index += keys >= self._after.take(index)
        return index

    def _bins(self, keys: FloatArray) -> NDArray[np.intp]:
        bins: NDArray[np.intp] = ((keys - self._first) * self._per_unit).astype(np.intp)
        return bins


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Quantities over one key: exact on points, linear between.

    Attributes:
        grid: Points of the key, k of them.
        values: At each point, shape (k,), or (c, k) of c quantities.
    """

    grid: Grid
    values: FloatArray
    _slopes: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        slopes = np.zeros_like(self.values)  # none after the last point
        slopes[..., :-1] = np.diff(self.values) / np.diff(self.grid.points)
        object.__setattr__(self, "_slopes", slopes)

    def at(self, keys: FloatArray) -> FloatArray:
        """The quantities, shape (..., *keys.shape).

        Args:
            keys: Any shape, from the first point to the last.
        """
        index = self.grid.below(keys)
        rise = self._slopes.take(index, axis=-1)
        rise *= keys - self.grid.points.take(index)
        rise += self.values.take(index, axis=-1)
        return rise
