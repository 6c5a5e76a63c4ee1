"""Fewer rows for a small device: keep the corners and as much hypervolume as they allow."""

import moocore
import numpy as np
from numpy.typing import NDArray

from dse.core.errors import DseError
from dse.core.parameters import FloatArray
from dse.pareto.hypervolume import Reference, hypervolume

MOST_EXCHANGES = 20_000
"""Pairs of a row that stays and one that left: with more, none is tried."""


def thinned(losses: FloatArray, rows: int) -> NDArray[np.intp]:
    """Row numbers that stay, ascending.

    The best row of each objective stays. Then the row that adds least hypervolume leaves, again
    and again, and at last any exchange of one row for another that gains hypervolume is made. A
    local optimum: no single exchange improves it.

    Args:
        losses: Of a front, shape (n, m), less is better.
        rows: How many may stay.

    Raises:
        DseError: If the corners alone are more than `rows`.
    """
    kept = np.arange(len(losses))
    corners = np.unique(losses.argmin(axis=0)) if len(losses) else kept
    if rows < len(corners):
        raise DseError(
            f"{rows} rows cannot hold the {len(corners)} best rows of single objectives; "
            f"ask for {len(corners)} or more"
        )
    if len(losses) <= rows:
        return kept
    frame = Reference.of(losses)
    ideal, nadir = np.array(frame.ideal), np.array(frame.nadir)
    scaled = (losses - ideal) / (nadir - ideal)
    reference = np.full(losses.shape[1], 1.1)
    while len(kept) > rows:
        if losses.shape[1] == 1:
            gain = -scaled[kept, 0]
        else:
            gain = np.array(moocore.hv_contributions(scaled[kept], ref=reference))
        gain[np.isin(kept, corners)] = np.inf
        kept = np.delete(kept, int(np.argmin(gain)))
    if rows * (len(losses) - rows) <= MOST_EXCHANGES:
        kept = _exchanged(losses, frame, kept, corners)
    return np.sort(kept)


def _exchanged(
    losses: FloatArray, frame: Reference, kept: NDArray[np.intp], corners: NDArray[np.intp]
) -> NDArray[np.intp]:
    """The rows after every exchange that gains; ends, since each gain is strict."""
    best, free = hypervolume(losses[kept], frame), np.flatnonzero(~np.isin(kept, corners))
    improved = True
    while improved:
        improved = False
        for place in free:
            for other in np.setdiff1d(np.arange(len(losses)), kept):
                tried = kept.copy()
                tried[place] = other
                volume = hypervolume(losses[tried], frame)
                if volume > best * (1 + 1e-12):
                    kept, best, improved = tried, volume, True
    return kept
