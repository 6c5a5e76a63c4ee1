"""Totals taken apart, layer by component, so that the parts sum to the total.

A sentence that exits after layer L runs the input stage once and each of the layers 1 to L once.
Layer l is therefore charged with the share of sentences that reach it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from hw_models.columns import Columns, FloatArray, pick, require_range
from hw_models.split import SplitComputing
from hw_models.stages import Stages
from hw_models.workload import EncoderShape


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


class Staged(Protocol):
    """A machine whose sentences are an input stage and some layers."""

    @property
    def shape(self) -> EncoderShape:
        """Of the network."""

    def stages(self, columns: Columns) -> Stages:
        """What both cost."""


def break_down(accelerator: Staged, columns: Columns, executed: FloatArray) -> Breakdown:
    """Mean energy and latency of each design by layer and component.

    Args:
        accelerator: The machine; `Accelerator` or `SizedAccelerator`.
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


def break_down_split(model: SplitComputing, columns: Columns) -> Breakdown:
    """Energy and latency of each request by layer and component.

    Args:
        model: Board, link and node, characterised for every split.
        columns: Of the model, shape (n,).

    Returns:
        Parts that sum to the outputs up to rounding. Row 0 is what belongs to no layer: loading the
        input, transfer and waiting.

    Raises:
        ValueError: If a column is out of range, or a split in between was not characterised.
    """
    split, frequency, mode, gpu, _ = pick(columns, tuple(model.inputs))
    frequency = frequency.astype(np.float64)
    whole = model.parts(columns)
    layers = range(model.edge.layers + 1)
    board = [
        model.edge.latency(np.minimum(split, k).astype(np.intp), frequency, mode) for k in layers
    ]
    node = [model.cloud.latency(np.maximum(split, k), gpu) for k in layers]
    none = np.zeros_like(board[0])
    edge = np.diff(np.stack([none, *board]), axis=0)
    cloud = np.stack([none, *(before - after for before, after in pairwise(node))])
    between = np.zeros((len(edge), 1))
    between[0] = 1.0
    spent = whole["energy"]
    return Breakdown(
        {
            "edge": model.edge.power(frequency, mode) * edge,
            "cloud": model.cloud.energy(cloud, gpu),
            "transfer": between * spent["transfer"],
            "waiting": between * spent["waiting"],
        },
        {"edge": edge, "cloud": cloud, "transfer": between * whole["latency"]["transfer"]},
    )


def _apart(
    once: Mapping[str, FloatArray], each: Mapping[str, FloatArray], executed: FloatArray
) -> dict[str, FloatArray]:
    n = executed.shape[1]
    return {
        name: np.vstack([np.broadcast_to(start, (1, n)), executed * each[name]])
        for name, start in once.items()
    }
