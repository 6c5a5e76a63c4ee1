"""Who is dominated by whom: a thin gate of ours in front of moocore."""

import moocore
import numpy as np
from numpy.typing import NDArray

from dse.errors import EvaluationError
from dse.parameters import FloatArray


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
    return np.asarray(moocore.is_nondominated(matrix, keep_weakly=True), dtype=bool)
