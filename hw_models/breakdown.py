"""Totals taken apart, layer by component, so that the parts sum to the total.

A sentence that exits after layer L runs the input stage once and each of the layers 1 to L once.
Layer l is therefore charged with the share of sentences that reach it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hw_models.accelerator import Accelerator
from hw_models.columns import Columns, FloatArray, require_range


@dataclass(frozen=True, slots=True, eq=False)
class Breakdown:
    """Parts of two means; each array of shape (layers + 1, n), row 0 the input stage.

    Attributes:
        energy: Component -> mean energy [J].
        latency: Component -> mean latency [s]; the p95 latency has no parts per mean layer.
    """

    energy: Mapping[str, FloatArray]
    latency: Mapping[str, FloatArray]


def executed_shares(exit_shares: FloatArray) -> FloatArray:
    """Share of sentences that run each layer [1], shape (layers, n).

    Args:
        exit_shares: Share of sentences that exit after each layer [1], shape (layers, n); their sum
            over the layers is 1.
    """
    return np.asarray(np.cumsum(exit_shares[::-1], axis=0)[::-1], dtype=np.float64)


def break_down(accelerator: Accelerator, columns: Columns, executed: FloatArray) -> Breakdown:
    """Mean energy and latency of each design by layer and component.

    Args:
        accelerator: The machine.
        columns: Its design columns, shape (n,); the two depth columns are not read.
        executed: Share of sentences that run each layer [1], shape (layers, n), 0 to 1. Its sum
            over layers is the mean exit layer.

    Returns:
        Parts that sum, over layers and components, to the machine's energy at that mean exit layer,
        up to rounding.

    Raises:
        ValueError: If a column is out of range, or `executed` does not fit the network.
    """
    stages = accelerator.stages(columns)
    wanted = (accelerator.shape.layers, len(next(iter(stages.energy_input.values()))))
    if executed.shape != wanted:
        raise ValueError(f"executed must have shape (layers, n) = {wanted}, got {executed.shape}")
    require_range("executed", executed, (0.0, 1.0 + 1e-9), "1", "a share of sentences")
    return Breakdown(
        _apart(stages.energy_input, stages.energy_layer, executed),
        _apart(stages.time_input, stages.time_layer, executed),
    )


def _apart(
    once: Mapping[str, FloatArray], each: Mapping[str, FloatArray], executed: FloatArray
) -> dict[str, FloatArray]:
    n = executed.shape[1]
    return {
        name: np.vstack([np.broadcast_to(start, (1, n)), executed * each[name]])
        for name, start in once.items()
    }
