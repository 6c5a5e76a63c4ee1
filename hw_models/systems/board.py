"""A finished board on its processor as the device of a journey: no silicon of ours, so no area."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from dse.core.signature import Label
from hw_models.columns import Columns, FloatArray, pick, require_range, require_whole
from hw_models.cost.costs import executed_shares
from hw_models.edge_device import EdgeDevice
from hw_models.systems.depths import Depths


@dataclass(frozen=True, slots=True, eq=False)
class Board:
    """A board that runs the first layers without an accelerator, on one clock for all sentences.

    Attributes:
        device: Characterised for the network.
    """

    device: EdgeDevice

    inputs: ClassVar[Mapping[str, str]] = {"split_layer": "layer", "cpu_frequency": "Hz"}
    outputs: ClassVar[Mapping[str, str]] = MappingProxyType({})
    by_row: ClassVar[Collection[str]] = ()

    @property
    def layers(self) -> int:
        """L of the network."""
        return self.device.layers

    @property
    def evidence(self) -> Mapping[str, Label]:
        """As the board is characterised."""
        founded = self.device.founded
        return {"energy": founded, "latency": founded, "area": "closed form"}

    def depths(
        self,
        columns: Columns,
        deadline: FloatArray,  # noqa: ARG002  (one clock for all sentences)
        sent: FloatArray,  # noqa: ARG002
    ) -> Depths:
        """As `Device.depths`."""
        time, power = self._run(columns)
        held, none = np.asarray(columns["split_layer"]).astype(np.intp), np.zeros(time.shape[1])
        last = time[held, np.arange(len(held))]
        return Depths(power * time, time, power * last, last, none, none)

    def by_layer(
        self, columns: Columns, limits: Mapping[str, tuple[FloatArray, FloatArray]]
    ) -> dict[str, FloatArray]:
        """As `Device.by_layer`; a board has one component."""
        time, power = self._run(columns)
        share = np.sum([share for _, share in limits.values()], axis=0)
        layers = np.diff(time, axis=0, prepend=0.0)
        return {"board": power * layers * executed_shares(share)}

    def _run(self, columns: Columns) -> tuple[FloatArray, FloatArray]:
        """Time of the first 0 to L layers [s], shape (L + 1, n), and power [W], shape (n,)."""
        split, clock = pick(columns, tuple(self.inputs))
        require_range(
            "split_layer", split, (0.0, float(self.layers)), "layer", "the board's layers"
        )
        require_whole("split_layer", split, "layer", "a place to cut")
        frequency = np.asarray(clock, dtype=np.float64)
        off = np.full(len(frequency), self.device.modes[0])
        time = [
            self.device.latency(np.full(len(frequency), k), frequency, off)
            for k in range(self.layers + 1)
        ]
        return np.stack(time), self.device.power(frequency, off)
