"""Totals taken apart, layer by component, so that the parts sum to the total.

A sentence that exits after layer L runs the input stage once and each of the layers 1 to L once.
Layer l is therefore charged with the share of sentences that reach it.
"""

from typing import Protocol

from hw_models.columns import Breakdown, Columns, FloatArray, require_range
from hw_models.cost.costs import by_layer, executed_shares
from hw_models.cost.kernel import operate
from hw_models.split import break_down_split
from hw_models.systems.chip import Chip

__all__ = ["Breakdown", "break_down", "break_down_split", "executed_shares"]


class OnChip(Protocol):
    """An evaluator of a network on a chip: `Accelerator` or `EarlyExit`."""

    @property
    def chip(self) -> Chip:
        """The network on its machine."""


def break_down(machine: OnChip, columns: Columns, executed: FloatArray) -> Breakdown:
    """Mean energy and latency of each design by layer and component.

    Args:
        machine: The network on its machine.
        columns: Its design columns, shape (n,); the two depth columns are not read.
        executed: Share of sentences that run each layer [1], shape (layers, n), 0 to 1. Its sum
            over layers is the mean exit layer.

    Returns:
        Parts that sum, over layers and components, to the machine's energy at that mean exit layer,
        up to rounding.

    Raises:
        ValueError: If a column is out of range, or `executed` does not fit the network.
    """
    chip = machine.chip
    design = chip.design(columns)
    wanted = (chip.layers, len(next(iter(columns.values()))))
    if executed.shape != wanted:
        raise ValueError(f"executed must have shape (layers, n) = {wanted}, got {executed.shape}")
    require_range("executed", executed, (0.0, 1.0 + 1e-9), "1", "a share of sentences")
    asked = chip.demand(design)
    op = operate(asked, chip.machine.technology, chip.on(design.vdd), parts=True)
    return Breakdown(by_layer(op.parts, asked, executed), by_layer(op.times, asked, executed))
