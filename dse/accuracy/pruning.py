"""Magnitude pruning of single matrices (EdgeBERT, arXiv 2011.14203: magnitude method, one shot)."""

import torch

from dse.errors import DseError


def pruned(matrix: torch.Tensor, ratio: float) -> torch.Tensor:
    """A copy in which the `ratio` smallest magnitudes are zero.

    Exactly round(ratio x elements) elements are cleared; of equal magnitudes the first ones in
    storage order, so that the result never depends on a sorting algorithm.

    Args:
        matrix: Any shape.
        ratio: Share of zeros [1], 0 <= ratio < 1.

    Raises:
        DseError: If the ratio is outside its range.
    """
    if not 0.0 <= ratio < 1.0:
        raise DseError(f"pruning_ratio = {ratio} is outside 0 <= ratio < 1, a share of zeros")
    count = round(ratio * matrix.numel())
    copy = matrix.detach().clone()
    if count:
        magnitude = copy.abs().flatten()
        limit = torch.kthvalue(magnitude, count).values
        below = magnitude < limit
        ties = torch.nonzero(magnitude == limit).flatten()
        flat = copy.view(-1)
        flat[below] = 0.0
        flat[ties[: count - int(below.sum())]] = 0.0
    return copy
