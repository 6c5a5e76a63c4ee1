"""How good a front is: hypervolume on a reference that is fixed and recorded."""

from dataclasses import dataclass

import numpy as np

from dse.core.errors import EvaluationError
from dse.core.parameters import FloatArray
from dse.pareto.dominance import non_dominated, require_finite

MARGIN = 0.1
"""How far behind the worst value of a front the reference lies, as a share of the front's range."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The frame in which hypervolume is measured.

    Losses are mapped so that `ideal` becomes 0 and `nadir` 1; the reference point is 1 + MARGIN
    in each axis.

    Args:
        ideal: Best loss per objective, length m.
        nadir: Worst loss per objective, length m, above `ideal`.

    Raises:
        EvaluationError: If the lengths differ or the frame has no finite volume.
    """

    ideal: tuple[float, ...]
    nadir: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.ideal) != len(self.nadir) or not self.ideal:
            raise EvaluationError(f"ideal {self.ideal} and nadir {self.nadir} differ in length")
        if not all(a < b for a, b in zip(self.ideal, self.nadir, strict=True)):
            raise EvaluationError(f"nadir {self.nadir} must lie above ideal {self.ideal}")
        if not np.isfinite([*self.ideal, *self.nadir]).all():
            raise EvaluationError(f"ideal {self.ideal} and nadir {self.nadir} must be finite")

    @classmethod
    def of(cls, losses: FloatArray) -> "Reference":
        """The frame that the non-dominated rows of a loss matrix, shape (n, m) with n >= 1, span.

        An axis without extent gets the extent 1 (or the size of its value), so that one point has
        a volume.

        Raises:
            EvaluationError: If there is no row or a loss is not finite.
        """
        matrix = require_finite(losses)
        if not len(matrix):
            raise EvaluationError(f"a frame needs at least one row, got shape {matrix.shape}")
        front = matrix[non_dominated(matrix)]
        ideal, nadir = front.min(axis=0), front.max(axis=0)
        flat = nadir - ideal <= 1e-12 * np.maximum(np.abs(ideal), 1e-300)
        nadir = np.where(flat, ideal + np.where(ideal == 0, 1.0, np.abs(ideal)), nadir)
        return cls(tuple(ideal.tolist()), tuple(nadir.tolist()))


def hypervolume(losses: FloatArray, reference: Reference) -> float:
    """Volume that a set dominates, as a share of the reference box.

    From 0 to 1, and above 1 where a row is better than the ideal. Rows outside the reference point
    add nothing; an empty set has 0.

    Args:
        losses: Shape (n, m), smaller is better, finite.
        reference: The frame.

    Raises:
        EvaluationError: If the number of objectives differs, a loss is not finite, or it lies so
            far below the ideal that the volume is not a finite number.
    """
    ideal, nadir = np.array(reference.ideal), np.array(reference.nadir)
    matrix = require_finite(losses)
    if matrix.shape[1] != len(ideal):
        raise EvaluationError(
            f"the losses have {matrix.shape[1]} objectives, the reference has {len(ideal)}"
        )
    with np.errstate(over="ignore"):
        scaled = (matrix - ideal) / (nadir - ideal)
    if np.isneginf(scaled).any():
        raise EvaluationError(f"a loss lies too far below the ideal {reference.ideal} to measure")
    corner = 1.0 + MARGIN
    inside = scaled[(scaled < corner).all(axis=1)]
    if not len(inside):
        return 0.0
    import moocore  # here and not above, as in `dominance`

    volume = float(moocore.hypervolume(inside, ref=np.full(len(ideal), corner)))
    return volume / corner ** len(ideal)
