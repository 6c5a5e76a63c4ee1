"""How many bits an element takes where it is kept."""

import numpy as np

from hw_models.columns import FloatArray


def stored_bits(bits: FloatArray, sparsity: FloatArray) -> FloatArray:
    """Mean storage of one element: bit mask and packed non-zeros, or dense where that is smaller.

    The format is chosen per tensor at design time, so a tensor whose mask would not pay has none.

    Args:
        bits: Width of a non-zero element [bit], shape (n,).
        sparsity: Fraction of zeros [1], shape (n,), 0 to 1.

    Returns:
        min(b, (1 - s) b + 1) [bit], shape (n,).
    """
    return np.minimum(bits, (1.0 - sparsity) * bits + 1.0)


def mask_bits(bits: FloatArray, sparsity: FloatArray) -> FloatArray:
    """Part of `stored_bits` that is bit mask [bit], shape (n,): 1, or 0 where dense is smaller."""
    return np.asarray((1.0 - sparsity) * bits + 1.0 < bits, dtype=np.float64)
