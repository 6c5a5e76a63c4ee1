"""What a sentence costs before its first layer and in each layer, by component."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hw_models.columns import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Stages:
    """The affine parts of a sentence by component; arrays (n,), or (m, n) on m supplies each.

    Attributes:
        energy_input: Before the first layer [J].
        energy_layer: Of one executed layer with its off-ramp [J].
        time_input: Before the first layer [s].
        time_layer: Of one executed layer with its off-ramp [s].
        duration: Of one executed layer with its off-ramp [s]: `time_layer` but for rounding.
        retention: Power of memories that keep what they hold while nothing is computed [W].
        area: Of the chip [m^2], shape (n,).
    """

    energy_input: Mapping[str, FloatArray]
    energy_layer: Mapping[str, FloatArray]
    time_input: Mapping[str, FloatArray]
    time_layer: Mapping[str, FloatArray]
    duration: FloatArray
    retention: FloatArray
    area: Mapping[str, FloatArray]


def increase(
    before: Mapping[str, FloatArray], after: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """What one layer more adds to each component."""
    # Sums round, so a component that one layer does not touch may differ by a last bit below zero.
    return {name: np.maximum(after[name] - before[name], 0.0) for name in before}


def total(parts: Mapping[str, FloatArray]) -> FloatArray:
    """Sum in the order of the parts: the same bits as a reader who adds them up."""
    first, *rest = parts.values()
    if not rest:
        return first.copy()
    total = first + rest[0]
    for part in rest[1:]:
        total += part
    return total
