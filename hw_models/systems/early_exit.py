"""Sentences that leave a chip early: energy, tail latency, area and power-on of each design."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dse.core.signature import Signature
from hw_models.columns import Columns, FloatArray, in_chunks, pick, require_range, total
from hw_models.cost.costs import at_depth
from hw_models.cost.kernel import Demand, areas, operate
from hw_models.systems.chip import Chip, Design
from hw_models.systems.knobs import BY_ROW, as_float
from hw_models.systems.power_on import OUTPUTS as POWER_ON
from hw_models.systems.power_on import power_on

CHUNK = 8_192
"""Most rows evaluated at a time [1]: a column of them stays in cache and off the page allocator."""


@dataclass(frozen=True, slots=True)
class EarlyExit:
    """Evaluator: designs and how deep their sentences run to energy, tail latency and area.

    T grows with the layers run, so the p95 exit layer gives the exact p95 latency; where all layers
    are alike the mean exit layer gives the exact mean energy.

    Attributes:
        chip: The chip, all of whose sentences run on one supply.
    """

    chip: Chip

    outputs: ClassVar[Mapping[str, str]] = {
        "energy": "J", "latency_p95": "s", "area": "m^2", **POWER_ON
    }  # fmt: skip
    depth_inputs: ClassVar[Mapping[str, str]] = {
        "mean_exit_layer": "layer",
        "p95_exit_layer": "layer",
    }

    def __post_init__(self) -> None:
        for name in ("dvfs", "predict_layer", "split_layer"):
            if name in self.chip.searched or name in self.chip.fixed:
                raise ValueError(f"{name} is no knob of a chip alone; a journey prices it")

    @property
    def signature(self) -> Signature:
        """Each output's evidence is its weakest link among the tables used."""
        known = self.chip.evidence
        evidence = {n: known["latency" if n == "latency_p95" else n] for n in self.outputs}
        return Signature({**self.chip.inputs, **self.depth_inputs}, self.outputs, evidence)

    def __call__(self, columns: Columns) -> dict[str, FloatArray]:
        """Mean energy [J], p95 latency [s], area [m^2] and power-on of each design, shape (n,).

        Args:
            columns: The chip's knobs; mean_exit_layer and p95_exit_layer [layer], 1 to the
                network's depth, fractions allowed.

        Raises:
            ValueError: If a column is missing, a value is out of range, or sentences of several
                depths are to run on layers that are not alike.
        """
        return in_chunks(self._priced, columns, tuple(self.signature.inputs), CHUNK, BY_ROW)

    def _priced(self, columns: Columns) -> dict[str, FloatArray]:
        mean, p95 = exit_layers(columns, self.chip.layers)
        design, tech = self.chip.design(columns), self.chip.machine.technology
        asked, on = self._demand(design, mean, p95), self.chip.on(design.vdd)
        op = operate(asked, tech, on)
        found = {
            "energy": at_depth(op.energy, asked, mean),
            "latency_p95": at_depth(op.time, asked, p95),
            "area": total(areas(asked, tech)),
            **power_on(asked, tech, on),
        }
        return {name: np.broadcast_to(values, mean.shape) for name, values in found.items()}

    def parts(self, columns: Columns) -> dict[str, dict[str, FloatArray]]:
        """Energy, latency and area by component; a power-on has none.

        Args:
            columns: As for the call.

        Returns:
            energy [J]: mac, buffer, sfu, embedding_read, weight_read, logic_leakage, envm_leakage,
            bank_leakage, and with a supply regulator, clock_generator. latency_p95 [s]:
            embedding_read, matmul, sfu, stall. area [m^2]: accelerator, envm, banks. They sum to
            the outputs up to rounding (1e-12).

        Raises:
            ValueError: As the call.
        """
        pick(columns, tuple(self.signature.inputs), BY_ROW)  # all of one length
        mean, p95 = exit_layers(columns, self.chip.layers)
        design, tech = self.chip.design(columns), self.chip.machine.technology
        asked, none = self._demand(design, mean, p95), np.zeros(mean.shape)
        op = operate(asked, tech, self.chip.on(design.vdd), parts=True)
        return {
            "energy": {n: none + at_depth(part, asked, mean) for n, part in op.parts.items()},
            "latency_p95": {n: none + at_depth(part, asked, p95) for n, part in op.times.items()},
            "area": {name: none + area for name, area in areas(asked, tech).items()},
        }

    def _demand(self, design: Design, mean: FloatArray, p95: FloatArray) -> Demand:
        """What designs ask for, if two depths say what their sentences cost."""
        asked = self.chip.demand(design)
        if not asked.repeated and ((mean != p95) | (mean != np.floor(mean))).any():
            raise ValueError(
                "mean_exit_layer says what sentences cost only where all layers are alike; these "
                "differ, by the network or by knobs, so give one whole depth as mean and as p95, "
                "or price the share of each exit in a journey"
            )
        return asked


def exit_layers(columns: Columns, layers: int) -> tuple[FloatArray, FloatArray]:
    """Mean and p95 exit layer of some designs [layer], shape (n,) each.

    Raises:
        ValueError: If one is missing or outside 1 to the network's depth.
    """
    limits = (1.0, float(layers))
    taken = pick(columns, tuple(EarlyExit.depth_inputs))
    for name, column in zip(EarlyExit.depth_inputs, taken, strict=True):
        require_range(name, column, limits, "layer", "the network's depth")
    mean, p95 = taken
    return as_float(mean), as_float(p95)
