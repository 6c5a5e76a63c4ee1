"""Who is dominated by whom: a thin gate of ours in front of moocore."""

import numpy as np
from numpy.typing import NDArray

from dse.core.errors import EvaluationError
from dse.core.parameters import FloatArray


def require_finite(losses: FloatArray) -> FloatArray:
    """The same matrix, shape (n, m), after a check.

    moocore takes a row with NaN for non-dominated, so such a row must never get there.

    Raises:
        EvaluationError: If the shape is wrong or a value is not finite.
    """
    matrix = np.asarray(losses, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[1] < 1:
        raise EvaluationError(f"losses must have shape (n, m) with m >= 1, got {matrix.shape}")
    if not np.isfinite(matrix).all():
        row = int(np.flatnonzero(~np.isfinite(matrix).all(axis=1))[0])
        raise EvaluationError(f"losses must be finite, row {row} is {matrix[row].tolist()}")
    return matrix


def non_dominated(losses: FloatArray) -> NDArray[np.bool_]:
    """Rows that no other row dominates, shape (n,); smaller is better, equal rows are all kept."""
    matrix = require_finite(losses)
    if not len(matrix):
        return np.zeros(0, dtype=bool)
    import moocore  # here and not above: it brings along a client for HTTP

    return np.asarray(moocore.is_nondominated(matrix, keep_weakly=True), dtype=bool)


class DominanceGrid:
    """Tells in constant time of most dominated rows that they are.

    The axes are cut at some of the front's own values. A cell is marked if a row of the front lies
    strictly below its lower corner in every axis; whatever falls into it is dominated. Nothing is
    computed, only compared, so no rounding can reject a row wrongly.

    Args:
        front: Shape (k, m), finite, k >= 1.
        cells: Most cells of the grid.
    """

    def __init__(self, front: FloatArray, cells: int = 2_000_000) -> None:
        matrix = require_finite(front)
        m = matrix.shape[1]
        cuts = max(2, int(cells ** (1 / m)) - 1)
        self._edges = [_some(np.unique(column), cuts) for column in matrix.T]
        marked = np.zeros([len(edges) + 1 for edges in self._edges], dtype=bool)
        # Cell i + 1 begins at edge i: the first edge above a value opens the cells it dominates.
        places = [
            np.searchsorted(edges, column, side="right") + 1
            for edges, column in zip(self._edges, matrix.T, strict=True)
        ]
        inside = np.all([p <= len(e) for p, e in zip(places, self._edges, strict=True)], axis=0)
        marked[tuple(place[inside] for place in places)] = True
        for axis in range(m):
            marked = np.logical_or.accumulate(marked, axis=axis)
        self._marked = marked

    def undecided(self, losses: FloatArray) -> NDArray[np.bool_]:
        """Rows that may be non-dominated, shape (n,); the others are dominated for certain."""
        places = [
            np.searchsorted(edges, column, side="right")
            for edges, column in zip(self._edges, losses.T, strict=True)
        ]
        return np.asarray(~self._marked[tuple(places)])


def _some(values: FloatArray, most: int) -> FloatArray:
    """At most so many of sorted values, evenly by rank, the last included."""
    if len(values) <= most:
        return values
    return np.asarray(values[np.unique(np.linspace(0, len(values) - 1, most).astype(np.int64))])
