"""Pruning of single matrices: by magnitude or by movement, at once or along a cubic schedule.

Magnitude keeps the largest |w|; movement keeps the largest learned scores, whose gradient is that
of the masked weight times the weight (arXiv 2005.07683). EdgeBERT (arXiv 2011.14203) uses either,
by task, along the cubic schedule of `share_pruned`.
"""

from typing import Protocol

import torch
from torch.nn.utils import parametrize

from dse.core.errors import DseError


def kept(importance: torch.Tensor, ratio: float) -> torch.Tensor:
    """Which elements stay: all but the round(ratio x elements) least important ones.

    Of equal importances the first ones in storage order go, so that the result never depends on a
    sorting algorithm.

    Args:
        importance: Any shape, finite.
        ratio: Share that goes [1], 0 <= ratio < 1.

    Returns:
        Booleans of the same shape.

    Raises:
        DseError: If the ratio is outside its range.
    """
    if not 0.0 <= ratio < 1.0:
        raise DseError(f"pruning_ratio = {ratio} is outside 0 <= ratio < 1, a share of zeros")
    count = round(ratio * importance.numel())
    flat = importance.detach().flatten()
    stay = torch.ones_like(flat, dtype=torch.bool)
    if count:
        limit = torch.kthvalue(flat, count).values
        below = flat < limit
        ties = torch.nonzero(flat == limit).flatten()
        stay[below] = False
        stay[ties[: count - int(below.sum())]] = False
    return stay.view(importance.shape)


def pruned(matrix: torch.Tensor, ratio: float) -> torch.Tensor:
    """A copy in which the `ratio` smallest magnitudes are zero.

    Args:
        matrix: Any shape.
        ratio: Share of zeros [1], 0 <= ratio < 1.

    Raises:
        DseError: If the ratio is outside its range.
    """
    return torch.where(kept(matrix.abs(), ratio), matrix.detach(), torch.zeros(()))


def share_pruned(step: int, steps: int, target: float, ramp: tuple[float, float]) -> float:
    """Cubic schedule: the share of zeros that a step of training works with.

    Zero until `ramp[0]` of the steps, the target from `ramp[1]` of them on, and in between
    target (1 - (1 - t)^3): fast while much can go, slow towards the end.

    Args:
        step: Counted from 0.
        steps: Of the whole training, at least 1.
        target: Final share of zeros [1].
        ramp: Where the ramp begins and ends, shares of the steps, 0 <= first < second <= 1.
    """
    begin, end = ramp
    progress = min(max((step / steps - begin) / (end - begin), 0.0), 1.0)
    return target * (1.0 - (1.0 - progress) ** 3)


class MagnitudeMask(torch.nn.Module):
    """Masks a weight by its own magnitude; the mask is renewed by `refresh`, not at every step."""

    mask: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight with zeros where the mask is."""
        return weight * self.mask

    def refresh(self, weight: torch.Tensor, ratio: float) -> None:
        """Choose anew what stays."""
        self.mask.copy_(kept(weight.abs(), ratio))


class MovementMask(torch.nn.Module):
    """Masks a weight by learned scores (arXiv 2005.07683)."""

    mask: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))
        self.scores = torch.nn.Parameter(torch.zeros_like(weight))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight with zeros where the mask is; scores learn as if the mask were the scores."""
        masked: torch.Tensor = _Masked.apply(weight, self.scores, self.mask)  # type: ignore[no-untyped-call]
        return masked

    def refresh(self, weight: torch.Tensor, ratio: float) -> None:
        """Choose anew what stays; before scores have moved, magnitude decides."""
        moved = bool(self.scores.detach().any())
        self.mask.copy_(kept(self.scores if moved else weight.abs(), ratio))


class _Saved(Protocol):
    """What is used of torch's function context."""

    saved_tensors: tuple[torch.Tensor, ...]

    def save_for_backward(self, *tensors: torch.Tensor) -> None:
        """Keep for the gradient."""


class _Masked(torch.autograd.Function):
    """Straight-through: d/dscores = gradient x weight, d/dweight = gradient x mask."""

    @staticmethod
    def forward(
        ctx: _Saved, weight: torch.Tensor, _scores: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Weight x mask."""
        ctx.save_for_backward(weight, mask)
        return weight * mask

    @staticmethod
    def backward(ctx: _Saved, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Gradients of weight and scores."""
        weight, mask = ctx.saved_tensors
        return grads[0] * mask, grads[0] * weight, None


Mask = MagnitudeMask | MovementMask


def masked_matrices(encoder: torch.nn.Module, method: str) -> list[tuple[torch.nn.Module, Mask]]:
    """Put a mask on every matrix of the encoder layers, in place; shared ones get one mask.

    Args:
        encoder: A transformers model.
        method: `magnitude` or `movement`.

    Raises:
        DseError: If there is no such method.
    """
    if method not in ("magnitude", "movement"):
        raise DseError(f"pruning_method = {method!r} is neither magnitude nor movement")
    kind = MagnitudeMask if method == "magnitude" else MovementMask
    found: list[tuple[torch.nn.Module, Mask]] = []
    for name, module in encoder.named_modules():
        if isinstance(module, torch.nn.Linear) and in_layers(name):
            mask = kind(module.weight)
            parametrize.register_parametrization(module, "weight", mask)
            found.append((module, mask))
    return found


def refresh(matrices: list[tuple[torch.nn.Module, Mask]], ratio: float) -> None:
    """Renew all masks for a share of zeros."""
    with torch.no_grad():
        for module, mask in matrices:
            mask.refresh(module.parametrizations.weight.original, ratio)  # type: ignore[union-attr, arg-type]


def bake(matrices: list[tuple[torch.nn.Module, Mask]]) -> None:
    """Make the masked weights plain weights again."""
    for module, _ in matrices:
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def in_layers(name: str) -> bool:
    """Whether a module or parameter is of the layers, and not of embeddings or pooler."""
    return not {"embeddings", "pooler"} & set(name.split("."))
