"""A machine as flat numbers in SI units: what the kernel reads, and nothing of where they are from.

`hw_models.machine` builds it from tables. Energies and leakage hold at the nominal supply.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw_models.columns import FloatArray
from hw_models.cost.array import ArrayKind
from hw_models.cost.memory import MemoryRows
from hw_models.cost.multiply import FloatLaw, ZeroGating
from hw_models.grid import Lines
from hw_models.operating_points import OperatingPoints
from hw_models.supply import Supply


class Unit(NamedTuple):
    """A special-function unit: rows (per_vector ceil(length/n) + per_row) states.

    Attributes:
        per_vector: States for each n elements [1].
        per_row: States for each row beside them [1].
        interval: Cycles of a state [cycle].
    """

    per_vector: float
    per_row: float
    interval: float

    def states(self, rows: FloatArray, length: FloatArray, side: FloatArray | float) -> FloatArray:
        """States of vector work on n lanes [1].

        Args:
            rows: [1].
            length: Elements of a row [1].
            side: n [1].
        """
        return np.asarray(rows * (self.per_vector * np.ceil(length / side) + self.per_row))


@dataclass(frozen=True, slots=True, eq=False)
class Technology:
    """A machine of an array, special-function units, buffers, memories and a supply.

    Attributes:
        array: Kind of array.
        multiply: Energy of a multiply-accumulate.
        gating: When a zero weight saves the energy of its multiplication.
        units: Special-function unit by kind of vector work; a kind that begins with `activation:`
            and is not here is fused with the product before it and costs nothing.
        lane: Energy of a lane of a special-function unit in one state [J].
        lane_bits: Width of a lane [bit].
        read: Energy of reading a word from the weight or the input buffer [J] over its bits.
        auxiliary: The same of the special-function units' buffer.
        write_bit: Energy of writing a streamed bit into the weight buffer [J].
        buffer_bytes: Capacity of the input buffer [byte].
        port: Width of the port off the chip [bit/cycle].
        overlap: Whether streaming hides behind computing (the longer counts) or precedes it.
        memory: Memories.
        stores: Rows of `memory` by place of the parameters: with the embeddings (-1), banks, DRAM.
        logic_area: Of everything but the array [m^2].
        unit_area: Of one multiply-accumulate [m^2].
        leakage_density: Of the accelerator [W/m^2].
        points: Voltage/frequency pairs.
        supply: Regulator and clock generator whose draw is added; None: the load alone.
    """

    array: ArrayKind
    multiply: FloatLaw
    gating: ZeroGating
    units: Mapping[str, Unit]
    lane: float
    lane_bits: float
    read: Lines
    auxiliary: Lines
    write_bit: float
    buffer_bytes: float
    port: float
    overlap: bool
    memory: MemoryRows
    stores: NDArray[np.intp]
    logic_area: float
    unit_area: float
    leakage_density: float
    points: OperatingPoints
    supply: Supply | None = None
